#!/usr/bin/python3
"""How long pushes stand still when a ps task dies, in a job whose tasks take over from each other.

    bazel build -c opt //ps:parley_ps //bench:outage
    bench/takeover.py --bin=bazel-bin --kills=200

One JSON line. Three ps tasks with --replicas=1 and an etcd on one host, and a worker that pushes and pulls all the time (bench/outage.cc),
which checks that each push counts once. A task that leads a shard is killed (-9) at a random moment, and started again within a second; when
all copies are whole the next is. The outage is the longest step between a kill and the next: p50 and max over the kills, in milliseconds.
"""

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tests import job  # pylint: disable=wrong-import-position

SHARDS = 3


def records(etcd):
    """Of each shard: the leader and who has its copy, each (task, start), or None where it has no leader or no copy."""
    keys = job.etcd_keys(etcd, "/parley/bench/shard/")
    found = []
    for shard in range(SHARDS):
        leader = keys.get(f"/parley/bench/shard/{shard}/leader", "").split()
        copies = keys.get(f"/parley/bench/shard/{shard}/copies", "").split()
        whole = len(leader) >= 4 and len(copies) >= 5
        found.append(((int(leader[2]), leader[3]), (int(copies[3]), copies[4])) if whole else None)
    return found


class Lines:
    """What a program prints."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="bazel-bin", help="where the programs were built")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    source = random.Random(options.seed)
    processes = []

    def start(*command, **more):
        processes.append(subprocess.Popen(command, text=True, start_new_session=True, **more))
        return processes[-1]

    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w", encoding="utf-8") as log:
        try:
            anywhere = "http://127.0.0.1:0"
            etcd_log = Lines(start("etcd", f"--data-dir={folder}/etcd", f"--listen-client-urls={anywhere}",
                                   f"--advertise-client-urls={anywhere}", f"--listen-peer-urls={anywhere}",
                                   "--enable-grpc-gateway=false", "--logger=zap", "--log-outputs=stderr",
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
            address = lambda: next((m for m in (re.search(r'serving client traffic.*"address":"([^"]+)"', line)
                                                for line in list(etcd_log.lines)) if m), None)
            job.wait_until(address, "etcd does not serve")
            etcd = address().group(1)
            cluster = (f"--etcd={etcd}", "--job=bench", f"--ps={SHARDS}")

            def start_ps(index):
                return start(f"{options.bin}/ps/parley_ps", *cluster, "--workers=1", f"--task_index={index}", "--listen=localhost:0",
                             "--replicas=1", stdout=log, stderr=log)

            servers = [start_ps(i) for i in range(SHARDS)]
            worker = Lines(start(f"{options.bin}/bench/outage", *cluster, stdout=subprocess.PIPE, stderr=log))

            dead = set()  # starts that were killed

            def whole():
                if worker.process.poll() is not None:
                    raise RuntimeError(f"the worker ended:\n{open(log.name, encoding='utf-8').read()[-4000:]}")
                return all(found and not dead & set(found) for found in records(etcd))

            job.wait_until(whole, "the copies do not become whole")
            outages = []
            for _ in range(options.kills):
                time.sleep(source.uniform(0.2, 0.7))
                seen = len(worker.lines)
                leaders = sorted({found[0] for found in records(etcd) if found})
                victim, begun = source.choice(leaders)
                dead.add((victim, begun))
                servers[victim].kill()
                servers[victim].wait()
                time.sleep(source.uniform(0, 1))
                servers[victim] = start_ps(victim)
                job.wait_until(whole, "the copies do not become whole")
                time.sleep(0.2)  # so that a step that began before has ended
                slow = [float(line.split()[1]) for line in worker.lines[seen:] if line.startswith("slow")]
                outages.append(max(slow, default=0.0))
            worker.process.send_signal(signal.SIGTERM)
            if worker.process.wait(60) != 0:
                raise RuntimeError(f"the worker failed:\n{open(log.name, encoding='utf-8').read()[-4000:]}")
            outages.sort()
            print(json.dumps({"benchmark": "takeover", "case": "outage", "kills": len(outages), "unit": "ms",
                              "p50": round(statistics.median(outages), 1), "p90": round(outages[int(0.9 * len(outages))], 1),
                              "max": round(outages[-1], 1), "steps": int(worker.lines[-1].split()[1]), "seed": options.seed}))
        finally:
            for process in processes:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
