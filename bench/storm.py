#!/usr/bin/python3
"""A storm over training jobs: random tasks are killed, stopped for a while and cut off for a while, others are added and go again, and the jobs end with the bits of one that nobody disturbed.

    bazel build -c opt //ps:parley_ps //worker:parley_worker //deploy:parley
    bench/storm.py --bin=bazel-bin --kills=2000

Three ps tasks with --replicas=1 and two workers, each on a host of its own (a network namespace), and an etcd train on Fashion-MNIST, synchronously, one job
after another until enough tasks were killed. A ps task is disturbed when every shard has its copy, since one copy survives one death; etcd itself is killed,
too, and started again. Beside that `parley scale` has the jobs go on with two to four ps tasks, and, every other one, with one to three workers. Each job's
final parameters are compared, bit for bit, with those of a job that nobody disturbed, and which was resumed with as many workers, at the step from which
the other had them: a gradient that was acknowledged and lost, or taken twice, would show. Ends with an error at the first that differs or fails, or of whose
tasks a sanitizer reports something, with the seed and all tasks' output. Prints one JSON line for all jobs, with the number of disturbances by kind. Needs root.
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

SHARDS = 6
PS = 3  # tasks that a job begins with
WORKERS = 2
MOST_PS = 4
MOST_WORKERS = 3
CHANGED = {"ps": "number of ps tasks changed", "workers": "number of workers changed"}
CLONE_NEWNET = 0x40000000
FLAGS = ("--model=mlp", "--batch_size=32", "--optimizer=momentum", "--learning_rate=0.02", "--seed=5", "--max_train_examples=6400",
         "--max_test_examples=640", "--transport=grpc", "--timeout=120s")
# What a worker says that was taken out of the job, or comes when it is no part of it.
OUT_OF_THE_JOB = re.compile("took it out of the job|parley scale|has left the job")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def say_workers(folder, workers):
    """Has the newest checkpoint say that the job had so many workers from step 0 on, as it does when their number was changed. Without, one that is
    resumed with others takes its examples as if they had always been there."""
    path = max(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".manifest"))
    with open(path, "rb") as file:
        found = file.read()
    manifest = found[16:-4] + bytes([10 << 3 | 2, 2, 2 << 3, workers])  # docs/checkpoint_format.md; worker_counts { count: workers }
    head = found[:12] + len(manifest).to_bytes(4, "little")
    with open(path, "wb") as file:
        file.write(head + manifest + crc32c(head + manifest).to_bytes(4, "little"))


class Job:
    """One job: its ps tasks and workers, by index. `workers` are those that it begins with."""

    def __init__(self, options, network, etcd, name, checkpoint, workers=WORKERS, steps=None, flags=()):
        self.options, self.network, self.etcd, self.name, self.checkpoint = options, network, etcd, name, checkpoint
        self.first_workers, self.steps, self.flags = workers, steps or options.steps, flags
        self.dead = set()  # starts of ps tasks that were killed
        self.lingered = 0  # ps tasks that were to go, and had to be killed for it
        self.all = []
        self.ps_tasks, self.num_workers = PS, workers  # that there are, or are to be
        self.scaling = {}  # the `parley scale` under way, by kind: (number, its task)
        self.ps = {i: self.start_ps(i) for i in range(PS)}
        self.workers = {i: self.start_worker(i) for i in range(workers)}

    def start(self, name, host, program, *flags):
        task = job.Task(name, self.network.command(host, f"{self.options.bin}/{program}", *flags))
        self.all.append(task)
        return task

    def cluster(self, workers):
        return (f"--etcd={self.etcd}", f"--job={self.name}", f"--ps={PS}", f"--shards={SHARDS}", f"--workers={workers}",
                f"--checkpoint_dir={self.checkpoint}")

    def start_ps(self, index):
        return self.start(f"ps:{index}", index, "ps/parley_ps", *self.cluster(self.first_workers), f"--task_index={index}",
                          f"--listen={self.network.address(index)}:0", "--replicas=1", "--lease=4s", "--replace_after=400ms")

    def start_worker(self, index):
        return self.start(f"worker:{index}", MOST_PS + index, "worker/parley_worker", *self.cluster(max(self.first_workers, index + 1)),
                          f"--task_index={index}", f"--data_dir={job.DATA}", "--await_silent", f"--steps={self.steps}", *FLAGS, *self.flags)

    def is_over(self):
        """Whether a worker has ended for another reason than that it is no part of the job."""
        return any(task.process.poll() is not None and not self.is_out(index) for index, task in self.workers.items())

    def is_out(self, index):
        task = self.workers[index]
        return index > 0 and task.process.poll() is not None and OUT_OF_THE_JOB.search(task.output()) is not None

    def records(self):
        """As job.shard_records; nothing while etcd is away."""
        try:
            return job.shard_records(self.etcd, self.name, SHARDS)
        except job.grpc.RpcError:
            return None

    def wait_for_copies(self):
        def whole():
            self.tend()
            found = self.records()
            return found is not None and all(who and who not in self.dead for pair in found for who in pair)

        job.wait_until(lambda: self.is_over() or whole(), f"{self.name}: the copies do not become whole")

    def kill_ps(self, index):
        found = self.records()
        self.dead |= {who for pair in found or [] for who in pair if who and who[0] == index}
        self.ps[index].kill()

    def scale(self, kind, number):
        """Has the job go on with so many ps tasks, or workers."""
        if kind == "ps":
            self.ps_tasks = number
            for index in range(number):
                if index not in self.ps:
                    self.ps[index] = self.start_ps(index)
        else:
            self.num_workers = number
        self.scaling[kind] = (number, self.start(f"scale --{kind}={number}", StarNetwork.HUB, "deploy/parley", "scale", f"--etcd={self.etcd}",
                                                 f"--job={self.name}", f"--{kind}={number}", "--wait=20s"))

    def tend(self):
        """What an operator does: starts workers that are to come, and the command again when a task died under it."""
        for index in range(self.num_workers):
            if index not in self.workers or (self.is_out(index) and not self.is_over()):
                self.workers[index] = self.start_worker(index)
        for kind, (number, command) in list(self.scaling.items()):
            if command.process.poll() is None or self.is_over():
                continue
            if command.process.returncode != 0:
                self.scale(kind, number)
                continue
            del self.scaling[kind]
            if kind == "ps":
                self.remove_surplus()

    def remove_surplus(self):
        for index in [i for i in self.ps if i >= self.ps_tasks]:
            task = self.ps.pop(index)
            try:
                task.process.wait(15)
            except subprocess.TimeoutExpired:
                # One that etcd lost, and found again when it had been asked for those that go, waits to be asked for.
                self.lingered += 1
                task.kill()
            if task.exit_code() not in (0, -signal.SIGKILL):
                raise RuntimeError(f"{task.name} failed, which was to go")

    def output(self):
        return "\n".join(f"--- {task.name}\n{task.output()}" for task in self.all)

    def finish(self):
        """What it ended with: the digest of its parameters, and which workers it had: ((from step, how many), ...)."""
        def over():
            self.tend()
            return self.is_over()

        job.wait_until(over, f"{self.name} does not end", 5 * job.DEADLINE)
        if self.workers[0].exit_code(300) != 0:
            raise RuntimeError("worker:0 failed")
        output = subprocess.run([f"{self.options.bin}/deploy/parley", "inspect", self.checkpoint], check=True, stdout=subprocess.PIPE,
                                text=True).stdout
        counts = re.search(r"^workers by step: (.*)$", output, re.M)
        counts = counts and tuple((int(step), int(count)) for count, step in re.findall(r"(\d+) from (\d+) on", counts.group(1)))
        counts = counts or ((0, self.first_workers),)
        for index in range(counts[-1][1]):
            if self.workers[index].exit_code(300) != 0:
                raise RuntimeError(f"worker:{index} failed")
        # Who was started when the job was over waits for another.
        end = time.monotonic() + 15
        for task in self.all:
            try:
                task.process.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                task.kill()
            report = job.REPORT.search(task.output())
            if report:
                raise RuntimeError(f"{task.name}: {report.group()}")
        return re.search(r"crc32c 0x([0-9a-f]{8})", output).group(1), counts

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


class Storm:
    def __init__(self, options, network, folder):
        self.options, self.network, self.folder = options, network, folder
        self.source = random.Random(options.seed)
        self.counts = {}
        self.expected = {}  # by which workers a job had
        self.etcd = Etcd(network, folder)

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def is_enough(self):
        scaled = min(self.counts.get(changed, 0) for changed in CHANGED.values())
        return self.counts.get("killed", 0) >= self.options.kills and scaled >= self.options.scalings

    def disturb(self, running, scales_workers):
        """One disturbance of a random task, or another number of them."""
        time.sleep(self.source.uniform(0, 0.3))
        running.tend()
        tasks = [("ps", i) for i in running.ps] + [("worker", i) for i in running.workers if not running.is_out(i)]
        kind, index = self.source.choice(tasks)
        # Those that there are to be more of come more often.
        scalings = [16 if self.counts.get(CHANGED[each], 0) < self.options.scalings else 1 for each in ("ps", "workers")]
        how = self.source.choices(("killed", "stopped", "cut off", "etcd killed", "ps", "workers"),
                                  (16, 2, 2, 0.5, 2 * scalings[0], scalings[1] if scales_workers else 0))[0]
        if how in ("ps", "workers"):
            if how not in running.scaling:
                self.scale(running, how)
            return
        if kind == "ps" or how == "etcd killed":
            running.wait_for_copies()
        task = (running.ps if kind == "ps" else running.workers).get(index)
        if running.is_over() or task is None or task.process.poll() is not None:
            return
        host = index + (MOST_PS if kind == "worker" else 0)
        if how == "killed":
            self.kill(running, kind, index)
        elif how == "stopped":
            os.killpg(task.process.pid, signal.SIGSTOP)
            time.sleep(self.source.uniform(0, 4))
            os.killpg(task.process.pid, signal.SIGCONT)
        elif how == "cut off":
            self.network.cut_off(host)
            time.sleep(self.source.uniform(0, 4))
            self.network.connect(host)
        else:
            self.etcd.task.kill()
            time.sleep(self.source.uniform(0, 1))
            self.etcd.start()
        self.count(how)
        for changes in running.scaling:
            self.count(f"{how} while the {CHANGED[changes]}".replace("changed", "changes"))

    def scale(self, running, kind):
        now, least, most = (running.ps_tasks, 2, MOST_PS) if kind == "ps" else (running.num_workers, 1, MOST_WORKERS)
        running.scale(kind, self.source.choice([n for n in range(least, most + 1) if n != now]))
        self.count(CHANGED[kind])

    def kill(self, running, kind, index):
        if kind == "worker":
            running.workers[index].kill()
            time.sleep(self.source.uniform(0, 0.5))
            running.workers[index] = running.start_worker(index)
            return
        running.kill_ps(index)
        time.sleep(self.source.uniform(0, 0.5))
        if running.is_over():
            return
        if index < running.ps_tasks:
            running.ps[index] = running.start_ps(index)

    def plain(self, name, counts):
        """The digest of a job that nobody disturbs, with these workers."""
        digest = None
        for i, (_, workers) in enumerate(counts):
            steps = counts[i + 1][0] if i + 1 < len(counts) else self.options.steps
            if i == 1:
                say_workers(f"{self.folder}/{name}", counts[0][1])
            digest = self.run(name, lambda running: None, workers, steps, ("--resume",) if i > 0 else ())[0]
        shutil.rmtree(f"{self.folder}/{name}")
        return digest

    def run(self, name, disturb, *how):
        running = Job(self.options, self.network, self.etcd.address, name, f"{self.folder}/{name}", *how)
        try:
            disturb(running)
            return running.finish()
        except BaseException:
            with open(self.options.log, "w", encoding="utf-8") as log:
                log.write(running.output())
            print(f"{name}: see {self.options.log}; --seed={self.options.seed}; so far {self.counts}", file=sys.stderr)
            raise
        finally:
            running.close()

    def storm(self, number):
        """One job."""
        def disturb(running):
            while not running.is_over() and not self.is_enough():
                self.disturb(running, number % 2 == 0)
            for _ in range(running.lingered):
                self.count("ps tasks that were to go and waited")

        name = f"storm{number}"
        found, counts = self.run(name, disturb)
        shutil.rmtree(f"{self.folder}/{name}")
        if counts not in self.expected:
            self.expected[counts] = self.plain(f"plain{number}", counts)
        if found != self.expected[counts]:
            raise RuntimeError(f"{name}, with (from step, workers) {counts}: other bits: 0x{found}, undisturbed 0x{self.expected[counts]}; "
                               f"--seed={self.options.seed}")

    def go_on(self):
        """Until there is enough; how many jobs that were."""
        jobs = 0
        started = time.monotonic()
        try:
            while not self.is_enough():
                self.storm(jobs)
                jobs += 1
                print(f"{jobs} jobs, {self.counts}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        finally:
            self.etcd.task.kill()
        return jobs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="bazel-bin", help="where the programs were built")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--scalings", type=int, default=1, help="changes of the number of ps tasks, and of workers, at least")
    parser.add_argument("--steps", type=int, default=8000, help="of each job")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--log", default="storm.log", help="where the output of all tasks goes when a job fails")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    print(f"seed {options.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, StarNetwork(MOST_PS + MOST_WORKERS) as network:
        # This process asks etcd, which is on the hub.
        hub = os.open(network.namespace(StarNetwork.HUB), os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(hub, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        storm = Storm(options, network, folder)
        jobs = storm.go_on()
    killed = storm.counts.get("killed", 0)
    print(json.dumps({"benchmark": "storm", "case": "sync/replicas+etcd", "jobs": jobs, "disturbances": storm.counts, "figure": killed,
                      "unit": "kills without other bits", "limit_name": "kills asked for", "limit": options.kills,
                      "ratio": round(killed / max(options.kills, 1), 3), "steps": options.steps, "seed": options.seed}))


if __name__ == "__main__":
    main()
