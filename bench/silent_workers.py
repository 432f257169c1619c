#!/usr/bin/python3
"""How long a synchronous round lasts when a worker is killed, stopped or cut off.

    bazel build -c opt //ps:parley_ps //worker:parley_worker
    bench/silent_workers.py --bin=bazel-bin --times=500

Three workers train on Fashion-MNIST over gRPC, the third behind a link of its own between two network namespaces. Again and again the
third is killed and started again, stopped and continued, or cut off and connected again, for longer than its lease. The shard's own
numbers are asked every few milliseconds; one JSON line for each way of falling silent has the longest time in which no round was
applied, from the third's silence until it is in the job again, and as the limit the lease and a second. Needs root, iproute2 and
util-linux.
"""

import argparse
import ctypes
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from durability import DATA, Task, free_ports  # noqa: E402
from rated_link import HOSTS, RatedLink  # noqa: E402

CLONE_NEWNET = 0x40000000
WORKERS = 3


def enter(path):
    namespace = os.open(path, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(namespace)


class Rounds:
    """Watches the shard's rounds. A thread asks; longest() is the longest time without one since reset()."""

    def __init__(self, address):
        self.address = address
        self.lock = threading.Lock()
        self.rounds, self.clocks = 0, {}
        self.last, self.longest_gap = time.monotonic(), 0.0
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def end(self):
        self.ending.set()
        self.thread.join()

    def watch(self):
        while not self.ending.is_set():
            text = urllib.request.urlopen(f"http://{self.address}/metrics", timeout=20).read().decode()
            rounds = sum(float(value) for value in re.findall(r"^parley_shard_rounds_applied_total(?:{[^}]*})? (\S+)$", text, re.M))
            clocks = {int(worker): float(value) for worker, value in
                      re.findall(r'^parley_shard_worker_clock_steps{[^}]*worker="(\d+)"[^}]*} (\S+)$', text, re.M)}
            with self.lock:
                now = time.monotonic()
                self.longest_gap = max(self.longest_gap, now - self.last)
                if rounds != self.rounds:
                    self.rounds, self.last = rounds, now
                self.clocks = clocks
            time.sleep(0.01)

    def reset(self):
        with self.lock:
            self.longest_gap = 0.0

    def longest(self):
        with self.lock:
            return self.longest_gap

    def step(self, worker):
        with self.lock:
            return self.clocks[worker]

    def wait_until(self, what, condition):
        end = time.monotonic() + 60
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError("in 60 s not: " + what)
            time.sleep(0.02)


def start_worker(options, link, hosts, index, end):
    return Task(*link.command(end, f"{options.bin}/worker/parley_worker", f"--ps_hosts={hosts}",
                              "--worker_hosts=" + ",".join(["localhost:0"] * WORKERS), f"--task_index={index}", f"--data_dir={DATA}",
                              "--transport=grpc", "--model=mlp", "--max_train_examples=6400", "--max_test_examples=64", "--batch_size=32",
                              "--steps=100000000", "--timeout=60s"))


def run(options, link, seed):
    picked = random.Random(seed)
    enter(link.ends[0].path)
    port, metrics = free_ports(2)
    hosts = f"{HOSTS[0]}:{port}"
    shard = Task(f"{options.bin}/ps/parley_ps", f"--ps_hosts={hosts}", "--worker_hosts=" + ",".join(["localhost:0"] * WORKERS),
                 "--task_index=0", f"--lease={options.lease}s", f"--metrics_port={metrics}")
    time.sleep(1)
    workers = [start_worker(options, link, hosts, index, 0) for index in (0, 1)]
    third = start_worker(options, link, hosts, 2, 1)
    rounds = Rounds(f"localhost:{metrics}")
    rounds.wait_until("rounds are applied", lambda: rounds.rounds > 100)
    device = link.devices[1]
    longest = {"killed": [], "stopped": [], "cut off": []}
    for _ in range(options.times):
        how = picked.choice(sorted(longest))
        time.sleep(picked.uniform(0, 0.3))
        rounds.reset()
        if how == "killed":
            third.process.kill()
            third.process.wait()
        elif how == "stopped":
            subprocess.run(["kill", "-STOP", str(third.process.pid)], check=True)
        else:
            subprocess.run(link.command(1, "ip", "link", "set", device, "down"), check=True)
        time.sleep(options.lease + picked.uniform(0.2, 0.8))
        before = rounds.step(0)
        rounds.wait_until("the others go on", lambda: rounds.step(0) > before)
        if how == "killed":
            third = start_worker(options, link, hosts, 2, 1)
        elif how == "stopped":
            third.process.send_signal(signal.SIGCONT)
        else:
            subprocess.run(link.command(1, "ip", "link", "set", device, "up"), check=True)
        back = rounds.step(2)
        rounds.wait_until("it is in the job again", lambda: rounds.step(2) > back + 2)
        longest[how].append(rounds.longest())
        for task in [shard, third] + workers:
            if task.process.poll() is not None:
                raise RuntimeError("a task ended:\n" + "\n".join(line for line in task.lines[-20:] if line))
    limit = options.lease + 1
    for how, gaps in sorted(longest.items()):
        if gaps:
            print(json.dumps({"benchmark": "silent_workers", "case": how, "figure": round(max(gaps), 3), "unit": "s", "limit_name": "lease + 1 s",
                              "limit": limit, "ratio": round(max(gaps) / limit, 3), "times": len(gaps),
                              "median": round(sorted(gaps)[len(gaps) // 2], 3)}), flush=True)
    rounds.end()
    for task in workers + [third, shard]:
        task.process.kill()
        task.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="bazel-bin", help="where the programs were built")
    parser.add_argument("--times", type=int, default=60, help="that a worker falls silent, in all")
    parser.add_argument("--lease", type=float, default=1.0, help="seconds")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", file=sys.stderr)
    with RatedLink(10000, burst=1 << 20) as link:
        run(options, link, seed)


if __name__ == "__main__":
    main()
