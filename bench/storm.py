#!/usr/bin/python3
"""A storm over training jobs: random tasks are killed, stopped for a while and cut off for a while, and the jobs end with the bits of one that nobody disturbed.

    bazel build -c opt //ps:parley_ps //worker:parley_worker //deploy:parley
    bench/storm.py --bin=bazel-bin --kills=2000

Three ps tasks with --replicas=1 and two workers, each on a host of its own (a network namespace), and an etcd train on Fashion-MNIST, synchronously, one job
after another until enough tasks were killed. A ps task is disturbed when every shard has its copy, since one copy survives one death; etcd itself is killed,
too, and started again. Each job's final parameters are compared, bit for bit, with those of a job that nobody disturbed: a gradient that was acknowledged
and lost, or taken twice, would show. Ends with an error at the first that differs or fails, or of whose tasks a sanitizer reports something, with the
seed and all tasks' output. Prints one JSON line for all jobs, with the number of disturbances by kind. Needs root.
"""

import argparse
import ctypes
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from bench.star_network import StarNetwork  # pylint: disable=wrong-import-position
from tests import job  # pylint: disable=wrong-import-position

SHARDS = 3
WORKERS = 2
CLONE_NEWNET = 0x40000000
FLAGS = ("--model=mlp", "--batch_size=32", "--optimizer=momentum", "--learning_rate=0.02", "--seed=5", "--max_train_examples=6400",
         "--max_test_examples=640", "--transport=grpc", "--timeout=120s")


def digest(options, folder):
    output = subprocess.run([f"{options.bin}/deploy/parley", "inspect", folder], check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.search(r"crc32c 0x([0-9a-f]{8})", output).group(1)


class Job:
    """One job: its tasks, of which index 0 to 2 are ps tasks and the next two workers."""

    def __init__(self, options, network, etcd, name, folder, quiet=False):
        self.options, self.network, self.etcd, self.name, self.folder, self.quiet = options, network, etcd, name, folder, quiet
        self.dead = set()  # starts of ps tasks that were killed
        self.all = []
        self.tasks = [self.start(i) for i in range(SHARDS + WORKERS)]

    def start(self, index):
        cluster = (f"--etcd={self.etcd}", f"--job={self.name}", f"--ps={SHARDS}", f"--workers={WORKERS}",
                   f"--checkpoint_dir={self.folder}/{self.name}")
        if index < SHARDS:
            command = [f"{self.options.bin}/ps/parley_ps", *cluster, f"--task_index={index}", f"--listen={self.network.address(index)}:0",
                       "--replicas=1", "--lease=4s", "--replace_after=400ms"]
        else:
            command = [f"{self.options.bin}/worker/parley_worker", *cluster, f"--task_index={index - SHARDS}", f"--data_dir={job.DATA}",
                       "--await_silent", f"--steps={self.options.steps}", *FLAGS]
        task = job.Task(f"{'ps' if index < SHARDS else 'worker'}:{index % SHARDS}", self.network.command(index, *command))
        self.all.append(task)
        return task

    def is_over(self):
        return any(task.process.poll() is not None for task in self.tasks[SHARDS:])

    def records(self):
        """As job.shard_records; nothing while etcd is away."""
        try:
            return job.shard_records(self.etcd, self.name, SHARDS)
        except job.grpc.RpcError:
            return None

    def wait_for_copies(self):
        def whole():
            found = self.records()
            return found is not None and all(who and who not in self.dead for pair in found for who in pair)

        job.wait_until(lambda: self.is_over() or whole(), f"{self.name}: the copies do not become whole")

    def kill(self, index):
        if index < SHARDS:
            found = self.records()
            self.dead |= {who for pair in found or [] for who in pair if who and who[0] == index}
        self.tasks[index].kill()

    def output(self):
        return "\n".join(f"--- {task.name}\n{task.output()}" for task in self.all)

    def finish(self):
        """The digest of what it ended with."""
        for task in self.tasks[SHARDS:]:
            if task.exit_code(300) != 0:
                raise RuntimeError(f"{task.name} failed")
        for task in self.tasks[:SHARDS]:
            # One that was started when the job was over waits for another.
            try:
                task.process.wait(15)
            except subprocess.TimeoutExpired:
                task.kill()
        for task in self.all:
            report = job.REPORT.search(task.output())
            if report:
                raise RuntimeError(f"{task.name}: {report.group()}")
        return digest(self.options, f"{self.folder}/{self.name}")

    def close(self):
        for task in self.all:
            task.kill()


class Etcd:
    def __init__(self, network, folder):
        self.network, self.folder, self.port = network, folder, 2379
        self.start()

    @property
    def address(self):
        return f"{self.network.address(StarNetwork.HUB)}:{self.port}"

    def start(self):
        here = f"http://{self.address}"
        peers = f"http://{self.network.address(StarNetwork.HUB)}:{self.port + 1}"
        self.task = job.Task("etcd", self.network.command(
            StarNetwork.HUB, "etcd", f"--data-dir={self.folder}/etcd", f"--listen-client-urls={here}", f"--advertise-client-urls={here}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}",
            "--enable-grpc-gateway=false", "--logger=zap", "--log-outputs=stderr"))
        self.task.wait_for("serving client traffic")


def disturb(running, network, etcd, source, counts):
    """One disturbance of a random task."""
    time.sleep(source.uniform(0, 0.3))
    index = source.randrange(SHARDS + WORKERS)
    how = source.choices(("killed", "stopped", "cut off", "etcd killed"), (16, 2, 2, 0.5))[0]
    if index < SHARDS or how == "etcd killed":
        running.wait_for_copies()
    if running.is_over():
        return
    task = running.tasks[index]
    if how == "killed":
        running.kill(index)
        time.sleep(source.uniform(0, 0.5))
        if index < SHARDS and running.is_over():
            return
        running.tasks[index] = running.start(index)
    elif how == "stopped":
        os.killpg(task.process.pid, signal.SIGSTOP)
        time.sleep(source.uniform(0, 4))
        os.killpg(task.process.pid, signal.SIGCONT)
    elif how == "cut off":
        network.cut_off(index)
        time.sleep(source.uniform(0, 4))
        network.connect(index)
    else:
        etcd.task.kill()
        time.sleep(source.uniform(0, 1))
        etcd.start()
    counts[how] = counts.get(how, 0) + 1


def storm(options, network, folder, seed):
    source = random.Random(seed)
    etcd = Etcd(network, folder)
    counts, jobs, expected = {}, 0, None
    started = time.monotonic()
    try:
        while counts.get("killed", 0) < options.kills:
            running = Job(options, network, etcd.address, f"storm{jobs}", folder)
            try:
                while expected is not None and not running.is_over():
                    disturb(running, network, etcd, source, counts)
                found = running.finish()
                if expected is None:  # the first job, which nobody disturbs
                    expected = found
                elif found != expected:
                    raise RuntimeError(f"other bits: 0x{found}, undisturbed 0x{expected}")
            except BaseException:
                with open(options.log, "w", encoding="utf-8") as log:
                    log.write(running.output())
                print(f"{running.name}: see {options.log}; --seed={seed}; so far {counts}", file=sys.stderr)
                raise
            finally:
                running.close()
                shutil.rmtree(f"{folder}/{running.name}", ignore_errors=True)
            jobs += 1
            print(f"{jobs - 1} jobs, {counts}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    finally:
        etcd.task.kill()
    print(json.dumps({"benchmark": "storm", "case": "sync/replicas+etcd", "jobs": jobs - 1, "disturbances": counts,
                      "figure": counts["killed"], "unit": "kills without other bits", "limit_name": "kills asked for", "limit": options.kills,
                      "ratio": round(counts["killed"] / options.kills, 3), "steps": options.steps, "seed": seed}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="bazel-bin", help="where the programs were built")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--steps", type=int, default=8000, help="of each job")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--log", default="storm.log", help="where the output of all tasks goes when a job fails")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    print(f"seed {options.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, StarNetwork(SHARDS + WORKERS) as network:
        # This process asks etcd, which is on the hub.
        hub = os.open(network.namespace(StarNetwork.HUB), os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(hub, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        storm(options, network, folder, options.seed)


if __name__ == "__main__":
    main()
