#!/usr/bin/python3
"""What it costs that nothing is lost, and how long a shard takes to come back.

    bazel build -c opt //ps:parley_ps //worker:parley_worker //bench:link_ends
    bench/durability.py --bin=bazel-bin

One JSON line each. cost/MODEL/HOW: the time of a step of a synchronous training job on Fashion-MNIST, two workers and two shards, with a
log on disk, a replica, both, or checkpoints on the way; the limit is the same without. push_pull/HOW: the same of 64 MiB that are pushed and
pulled and nothing else. recovery/HOW: MB/s at which a killed shard that is started again has its state, from its start until it has: of what its
copy brings (values, slots and the values before the last round), or of the log's rounds; the limit is the rate of a copy over a socket of the
loopback device, or from a file that was just written, into memory that was there before.
"""

import argparse
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

DATA = "/usr/share/datasets/fashion-mnist"
MIB = 1 << 20
HOW = {
    "none": (),
    "log": ("--durability=disk",),
    "replica": ("--replicas=1",),
    "log+replica": ("--durability=disk", "--replicas=1"),
}


def free_ports(count):
    ports = []
    while len(ports) < count:
        port = random.randrange(12000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("localhost", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


class Task:
    def __init__(self, *command):
        self.lines = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip())
                self.changed.notify_all()
        with self.changed:
            self.lines.append(None)
            self.changed.notify_all()

    def wait_for(self, pattern, count=1):
        """When the line came, and its match."""
        with self.changed:
            while True:
                found = [m for m in (re.search(pattern, line) for line in self.lines if line) if m]
                if len(found) >= count:
                    return time.monotonic(), found[count - 1]
                if self.lines and self.lines[-1] is None:
                    raise RuntimeError("a task ended without '" + pattern + "':\n" + "\n".join(self.lines[:-1]))
                if not self.changed.wait(120):
                    raise RuntimeError("no '" + pattern + "' in 120 s")

    def end(self):
        if self.process.wait(600) != 0:
            raise RuntimeError("a task failed:\n" + "\n".join(line for line in self.lines if line))

    def kill(self):
        self.process.kill()
        self.process.wait()


def start_ps(options, folder, ports, index, workers, how):
    flags = list(HOW[how])
    if "--durability=disk" in flags:
        flags.append(f"--durable_dir={folder}/log")
    return Task(f"{options.bin}/ps/parley_ps", "--ps_hosts=" + ",".join(f"localhost:{port}" for port in ports),
                "--worker_hosts=" + ",".join(["localhost:0"] * workers), f"--task_index={index}",
                f"--checkpoint_dir={folder}", "--lease=2s", "--report_progress", *flags)


def train(options, model, how, every=0):
    """Seconds a step."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        ports = free_ports(2)
        servers = [start_ps(options, folder, ports, i, 2, how) for i in range(2)]
        summary = f"{folder}/summary.json"
        flags = [f"--model={model}", "--batch_size=64", f"--steps={options.steps}", f"--data_dir={DATA}", f"--summary_json={summary}",
                 "--optimizer=momentum", f"--checkpoint_dir={folder}"]
        if every:
            flags.append(f"--checkpoint_every={every}")
        workers = [Task(f"{options.bin}/worker/parley_worker", "--ps_hosts=" + ",".join(f"localhost:{port}" for port in ports),
                        "--worker_hosts=localhost:0,localhost:0", f"--task_index={i}", *flags) for i in range(2)]
        for task in workers + servers:
            task.end()
        with open(summary, encoding="utf-8") as file:
            return 64 / json.load(file)["samples_per_second_per_worker"]


def push_pull(options, how):
    """Seconds a step of 64 MiB."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        ports = free_ports(2)
        servers = [start_ps(options, folder, ports, i, 1, how) for i in range(2)]
        worker = Task(f"{options.bin}/bench/link_ends", "--role=worker", "--peer=" + ",".join(f"localhost:{port}" for port in ports),
                      "--transport=shm", "--tensors=16", f"--steps={options.steps // 10}")
        worker.end()
        for server in servers:
            server.kill()
        return float(worker.wait_for(r"seconds (\S+) crc32c")[1].group(1))


def warm_memory(size):
    """Another process uses so much memory and ends: what was not used for a while a virtual machine gets from its host, at the host's rate."""
    program = (f"import mmap; m = mmap.mmap(-1, {size}, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS); m.madvise(mmap.MADV_HUGEPAGE)\n"
               f"for i in range(0, {size}, 4096): m[i] = 1")
    subprocess.run([sys.executable, "-c", program], check=True)


def recover(options, how):
    """Bytes that a shard takes in, and seconds until it has its state again."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        ports = free_ports(2)
        servers = [start_ps(options, folder, ports, i, 1, how) for i in range(2)]
        worker = Task(f"{options.bin}/bench/link_ends", "--role=worker", "--peer=" + ",".join(f"localhost:{port}" for port in ports),
                      "--transport=shm", f"--tensors={2 * options.mib // 4}", "--steps=1000000")
        if how == "replica":
            servers[0].wait_for("its copy is whole")
        servers[0].wait_for(r"progress: round [3-9]|progress: round \d\d")
        servers[0].kill()
        warm_memory(3 * options.mib * MIB)
        start = time.monotonic()
        again = start_ps(options, folder, ports, 0, 1, how)
        end, _ = again.wait_for("it has its state back" if how == "replica" else "listening on")
        taken = int(again.wait_for(r" (\d+) bytes of its copy" if how == "replica" else r" records of its log.*, (\d+) bytes")[1].group(1))
        for task in [worker, again, servers[1]]:
            task.kill()
        return taken, end - start


def socket_rate(size):
    """Bytes a second from one process' memory to another's, over the loopback device."""
    with socket.create_server(("localhost", 0)) as server:
        if os.fork() == 0:
            with socket.create_connection(server.getsockname()) as peer:
                peer.sendall(bytearray(size))
            os._exit(0)
        connection, _ = server.accept()
        with connection:
            buffer = memoryview(bytearray(size))
            connection.recv_into(buffer[:1])
            start = time.monotonic()
            got = 1
            while got < size:
                got += connection.recv_into(buffer[got:], min(MIB, size - got))
            seconds = time.monotonic() - start
        os.wait()
    return size / seconds


def file_rate(folder, size):
    """Bytes a second out of a file that was just written."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(bytearray(size))
        file.flush()
        os.fsync(file.fileno())
        start = time.monotonic()
        file.seek(0)
        buffer = bytearray(MIB)
        while file.readinto(buffer):
            pass
        return size / (time.monotonic() - start)


def say(case, figure, unit, limit_name, limit, ratio, **more):
    print(json.dumps({"benchmark": "durability", "case": case, "figure": round(figure, 3), "unit": unit, "limit_name": limit_name,
                      "limit": round(limit, 3), "ratio": round(ratio, 3), **more}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="bazel-bin", help="where the programs were built")
    parser.add_argument("--folder", default=None, help="for logs and checkpoints: of the disk to be measured")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--runs", type=int, default=3, help="of each, of which the median counts")
    parser.add_argument("--mib", type=int, default=256, help="of a shard that comes back")
    parser.add_argument("--cases", default="cost,push_pull,recovery")
    options = parser.parse_args()
    cases = options.cases.split(",")
    if "cost" in cases:
        for model in ("mlp", "cnn"):
            seconds = {}
            for _ in range(options.runs):
                for how in list(HOW) + ["checkpoints"]:
                    step = train(options, model, "none", 50) if how == "checkpoints" else train(options, model, how)
                    seconds.setdefault(how, []).append(step)
            plain = statistics.median(seconds.pop("none"))
            for how, values in seconds.items():
                step = statistics.median(values)
                say(f"cost/{model}/{how}", 1000 * step, "ms a step", "without", 1000 * plain, step / plain)
    if "push_pull" in cases:
        seconds = {}
        for _ in range(options.runs):
            for how in HOW:
                seconds.setdefault(how, []).append(push_pull(options, how))
        plain = statistics.median(seconds.pop("none"))
        for how, values in seconds.items():
            step = statistics.median(values)
            say(f"push_pull/{how}", 1000 * step, "ms a step", "without", 1000 * plain, step / plain)
    for how in ("replica", "log"):
        if "recovery" in cases or "recovery/" + how in cases:
            size, seconds = recover(options, how)
            limit = socket_rate(256 * MIB) if how == "replica" else file_rate(options.folder, 256 * MIB)
            say(f"recovery/{how}/{options.mib}MiB", size / seconds / 1e6, "MB/s", "socket" if how == "replica" else "file", limit / 1e6,
                size / seconds / limit, seconds=round(seconds, 3), taken_mib=size // MIB)


if __name__ == "__main__":
    main()
