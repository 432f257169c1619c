"""A job with an etcd on this host, of ps tasks that take over from each other and a worker (bench/outage.cc) that pushes and pulls all the
time, and says which steps were slow.
"""

import os
import signal
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tests import job  # pylint: disable=wrong-import-position

NAME = "bench"


class OutageJob:
    """A context; what it started is killed at its end."""

    def __init__(self, binaries, tasks, shards):
        self.binaries, self.tasks, self.shards = binaries, tasks, shards
        self.started = []

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        task, self.etcd = job.start_etcd(self.folder.name)
        self.started.append(task)
        return self

    def __exit__(self, *_):
        for task in self.started:
            task.kill()
        self.folder.cleanup()

    def start(self, name, program, *flags):
        self.started.append(job.Task(name, (f"{self.binaries}/{program}", *flags, f"--etcd={self.etcd}", f"--job={NAME}")))
        return self.started[-1]

    def start_ps(self, index):
        return self.start(f"ps:{index}", "ps/parley_ps", f"--ps={self.tasks}", f"--shards={self.shards}", "--workers=1",
                          f"--task_index={index}", "--listen=localhost:0", "--replicas=1")

    def start_worker(self, *flags):
        self.worker = self.start("worker", "bench/outage", f"--ps={self.shards}", *flags)

    def records(self):
        """As job.shard_records."""
        return job.shard_records(self.etcd, NAME, self.shards)

    def longest(self, first):
        """The longest slow step, in milliseconds, that the worker told from this line on."""
        return max((float(line.split()[1]) for line in self.worker.lines[first:] if line.startswith("slow")), default=0.0)

    def end_worker(self):
        """How many steps it made."""
        self.worker.signal(signal.SIGTERM)
        if self.worker.exit_code() != 0:
            raise RuntimeError(f"the worker failed:\n{self.worker.output()[-4000:]}")
        return int(self.worker.wait_for(r"^steps (\d+)").group(1))
