#!/usr/bin/python3
"""How long pushes stand still while shards move to another ps task and back, and how long that takes.

    bazel build -c opt //ps:parley_ps //deploy:parley //bench:outage
    bench/scale.py --bin=bazel-bin --moves=20 --bytes=16777216

One JSON line. Six shards on two ps tasks with --replicas=1 and an etcd on one host, and a worker that pushes and pulls all the time
(bench/outage.cc), which checks that each push counts once. Again and again a third task is started, `parley scale --ps=3` has two shards
move to it, and `parley scale --ps=2` back. The outage is the longest step of each of these, in milliseconds: p50 and max, beside the
longest step while nothing moved. `seconds` is how long the command took, p50; a shard that moves travels once, and is copied once in its
task.
"""

import argparse
import json
import os
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

SHARDS = 6


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
    parser.add_argument("--moves", type=int, default=20, help="there and back")
    parser.add_argument("--bytes", type=int, default=1 << 17, help="of each of the six tensors")
    options = parser.parse_args()
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

            def start_ps(index):
                return start(f"{options.bin}/ps/parley_ps", f"--etcd={etcd}", "--job=bench", "--ps=2", f"--shards={SHARDS}", "--workers=1",
                             f"--task_index={index}", "--listen=localhost:0", "--replicas=1", stdout=log, stderr=log)

            for index in range(2):
                start_ps(index)
            worker = Lines(start(f"{options.bin}/bench/outage", f"--etcd={etcd}", "--job=bench", f"--ps={SHARDS}", "--slow_ms=1",
                                 f"--bytes={options.bytes}", stdout=subprocess.PIPE, stderr=log))
            longest = lambda first: max((float(line.split()[1]) for line in worker.lines[first:] if line.startswith("slow")), default=0.0)
            job.wait_until(lambda: len(worker.lines) > 20, "the worker makes no steps")
            time.sleep(2)

            def scale(tasks):
                seen = len(worker.lines)
                began = time.monotonic()
                subprocess.run([f"{options.bin}/deploy/parley", "scale", f"--etcd={etcd}", "--job=bench", f"--ps={tasks}"], check=True,
                               stdout=subprocess.DEVNULL)
                took = time.monotonic() - began
                time.sleep(0.5)  # so that a step that began before has ended
                return longest(seen), took

            quiet, outages, seconds = [], [], []
            for _ in range(options.moves):
                third = start_ps(2)
                seen = len(worker.lines)
                time.sleep(2.5)  # it is there for a while, and nothing moves
                quiet.append(longest(seen))
                for tasks in (3, 2):
                    outage, took = scale(tasks)
                    outages.append(outage)
                    seconds.append(took)
                if third.wait(60) != 0:
                    raise RuntimeError("the third task did not end well")
            worker.process.send_signal(signal.SIGTERM)
            if worker.process.wait(60) != 0:
                raise RuntimeError(f"the worker failed:\n{open(log.name, encoding='utf-8').read()[-4000:]}")
            print(json.dumps({"benchmark": "scale", "case": f"6x{options.bytes}", "moves": len(outages), "unit": "ms",
                              "p50": round(statistics.median(outages), 1), "max": round(max(outages), 1),
                              "quiet_p50": round(statistics.median(quiet), 1), "quiet_max": round(max(quiet), 1),
                              "seconds": round(statistics.median(seconds), 2), "steps": int(worker.lines[-1].split()[1])}))
        finally:
            for process in processes:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
