"""Starts the real programs of a job and watches them, for the tests of this folder.

Every wait has a deadline; when it passes, the test fails with the output of all tasks.
"""

import json
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import grpc

RUNFILES = os.environ.get("TEST_SRCDIR", "") + "/" + os.environ.get("TEST_WORKSPACE", "parley")
DATA = "/usr/share/datasets/fashion-mnist"
DEADLINE = 120 * (10 if os.environ.get("PARLEY_SLOW_BUILD") else 1)  # seconds, for things that take a second or two


# What a program says that was built with a sanitizer, and would say in no other case.
REPORT = re.compile(r"^.*(?:(?:Address|Leak|Thread)Sanitizer:|: runtime error:).*$", re.M)


def program(label):
    return os.path.join(RUNFILES, label)


def free_ports(count):
    """The first of `count` ports in a row that are free on localhost. Out of the range that the system gives to
    others, so that they stay so."""
    while True:
        first = random.randrange(20000, 30000)
        sockets = []
        try:
            for port in range(first, first + count):
                for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                    if family == socket.AF_INET6 and not os.path.exists("/proc/net/if_inet6"):
                        continue
                    sockets.append(socket.socket(family))
                    sockets[-1].bind((host, port))
            return first
        except OSError:
            pass
        finally:
            for each in sockets:
                each.close()


def alive(pid):
    """Whether a process is there and not a zombie that waits for its parent."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, failure, deadline=DEADLINE):
    """Waits for a condition that nobody announces."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(failure)
        time.sleep(0.01)


def etcd_keys(etcd, prefix):
    """What an etcd at this address has under keys that begin with `prefix`: a dictionary, from key to value."""

    def fields(data):
        """The fields of a protobuf message, each a number and an int or bytes."""
        at = 0

        def varint():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value

        while at < len(data):
            tag = varint()
            value = varint()
            if tag & 7 == 2:
                value, at = data[at : at + value], at + value
            yield tag >> 3, value

    def field(number, data):
        return bytes([number << 3 | 2, len(data)]) + data

    first = prefix.encode()
    request = field(1, first) + field(2, first[:-1] + bytes([first[-1] + 1]))
    with grpc.insecure_channel(etcd) as channel:
        answer = channel.unary_unary("/etcdserverpb.KV/Range")(request, timeout=DEADLINE)
    found = {}
    for number, value in fields(answer):
        if number == 2:
            entry = dict(fields(value))
            found[entry[1].decode()] = entry.get(5, b"").decode()
    return found


def shard_records(etcd, name, shards):
    """What etcd has of each shard of job `name`: the leader and who has its copy, each (task, start); None for who is not there."""
    keys = etcd_keys(etcd, f"/parley/{name}/shard/")
    found = []
    for shard in range(shards):
        leader = keys.get(f"/parley/{name}/shard/{shard}/leader", "").split()
        copies = keys.get(f"/parley/{name}/shard/{shard}/copies", "").split()
        found.append(((int(leader[2]), leader[3]) if leader else None, (int(copies[3]), copies[4]) if len(copies) == 5 else None))
    return found


def start_etcd(folder):
    """An etcd of one member on a free port: the task, and its address."""
    anywhere = "http://127.0.0.1:0"
    etcd = Task("etcd", ("etcd", f"--data-dir={folder}/etcd", f"--listen-client-urls={anywhere}", f"--advertise-client-urls={anywhere}",
                         f"--listen-peer-urls={anywhere}", "--enable-grpc-gateway=false", "--logger=zap", "--log-outputs=stderr"))
    return etcd, etcd.wait_for(r'serving client traffic.*"address":"([^"]+)"').group(1)


class Task:
    """One process, its output collected by a thread."""

    def __init__(self, name, command, env=None):
        self.name = name
        self.lines = []
        self._changed = threading.Condition()
        # What describes another cluster, where the tests themselves were launched by something.
        launchers = ("TF_CONFIG", "OMPI_", "PMI_", "SLURM_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(launchers)}
        environment.update(env or {})
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self.lines.append("<end of output>")
            self._changed.notify_all()

    def output(self):
        with self._changed:
            return "\n".join(self.lines)

    def wait_for(self, pattern, deadline=DEADLINE):
        """The match of the first line that has `pattern`."""
        end = time.monotonic() + deadline
        seen = 0
        with self._changed:
            while True:
                while seen < len(self.lines):
                    match = re.search(pattern, self.lines[seen])
                    if match:
                        return match
                    if self.lines[seen] == "<end of output>":
                        raise AssertionError(f"{self.name} ended without '{pattern}':\n" + "\n".join(self.lines))
                    seen += 1
                if not self._changed.wait(max(0.0, end - time.monotonic())) and time.monotonic() >= end:
                    raise AssertionError(f"{self.name} did not say '{pattern}':\n" + "\n".join(self.lines))

    def wait_for_count(self, pattern, count, matches=None, deadline=DEADLINE):
        """Waits for `count` lines that have `pattern`; puts their matches into the list `matches`."""
        end = time.monotonic() + deadline
        with self._changed:
            while True:
                found = [m for m in (re.search(pattern, line) for line in self.lines) if m]
                if len(found) >= count:
                    if matches is not None:
                        matches += found
                    return
                if "<end of output>" in self.lines[-1:] or time.monotonic() >= end:
                    raise AssertionError(f"{self.name} did not say '{pattern}' {count} times:\n" + "\n".join(self.lines))
                self._changed.wait(max(0.0, end - time.monotonic()))

    def exit_code(self, deadline=DEADLINE):
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end in {deadline} s:\n{self.output()}") from None
        self._reader.join(10)
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self._reader.join(10)
        self.process.stdout.close()


class JobTest(unittest.TestCase):
    """A test with tasks that are killed at its end, and a folder that is removed."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = self._folder.name
        self.tasks = []

    def tearDown(self):
        for task in self.tasks:
            task.kill()
        self._folder.cleanup()
        for task in self.tasks:  # those that are killed have no exit code that tells it
            self.assertNotRegex(task.output(), REPORT, task.name)

    def start(self, name, *command, env=None):
        task = Task(name, list(command), env)
        self.tasks.append(task)
        return task

    def start_ps(self, count=1, workers=1, *flags, binary="ps/parley_ps"):
        """`count` ps tasks on free ports. Returns them and the value of --ps_hosts for the workers."""
        hosts = ",".join(["localhost:0"] * count)
        tasks = [
            self.start(
                f"ps:{i}",
                program(binary),
                f"--ps_hosts={hosts}",
                "--worker_hosts=" + ",".join(["localhost:0"] * workers),
                f"--task_index={i}",
                *flags,
            )
            for i in range(count)
        ]
        ports = [task.wait_for(r"ps:\d+ listening on \S+:(\d+)").group(1) for task in tasks]
        return tasks, ",".join(f"localhost:{port}" for port in ports)

    def start_etcd(self):
        """Returns its address."""
        etcd, address = start_etcd(self.folder)
        self.tasks.append(etcd)
        return address

    def start_worker(self, ps_hosts, index=0, workers=1, *flags):
        return self.start(
            f"worker:{index}",
            program("worker/parley_worker"),
            f"--ps_hosts={ps_hosts}",
            "--worker_hosts=" + ",".join(["localhost:0"] * workers),
            f"--task_index={index}",
            f"--data_dir={DATA}",
            *flags,
        )

    def run_job(self, ps=1, workers=1, *flags, ps_flags=()):
        """Runs a job to its end; all tasks must end well. Returns the chief's output."""
        servers, hosts = self.start_ps(ps, workers, *ps_flags)
        tasks = [self.start_worker(hosts, i, workers, *flags) for i in range(workers)]
        for task in tasks + servers:
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")
        return tasks[0].output()

    def inspect(self, path):
        """What `parley inspect` prints; the test fails when it fails."""
        task = self.start("inspect", program("deploy/parley"), "inspect", path)
        self.assertEqual(task.exit_code(), 0, task.output())
        return task.output()

    def digest(self, path):
        return re.search(r"crc32c 0x([0-9a-f]{8})", self.inspect(path)).group(1)

    def summary(self, path):
        with open(path, encoding="utf-8") as file:
            return json.load(file)
