"""Tasks of a synchronous job, workers and shards, are killed at random moments of their transfers; one worker's bytes travel
through shared memory, the other's over gRPC. Who waits for the dead ends in time and names it, or goes on when it is back;
what is left continues from its checkpoint; the values are those of a job that nobody disturbed.

PARLEY_KILLS in the environment: how many tasks are killed; 3 unless told: the chief, the other worker, and a shard. Prints how
often which kind of task was killed, and the longest wait.
"""

import collections
import glob
import os
import random
import re
import time
import unittest

from tests import job

KILLS = int(os.environ.get("PARLEY_KILLS", "3"))
SLOW = 10 if os.environ.get("PARLEY_SLOW_BUILD") else 1
TRANSPORTS = ("shm", "grpc")  # of worker 0, the chief, and of worker 1
KINDS = ("worker:0", "worker:1", "ps")
# Small batches of a small model: nearly all the time goes into gradients and parameters on their way.
FLAGS = ("--model=mlp", "--batch_size=4", "--optimizer=momentum", "--learning_rate=0.02", "--seed=5")
TIMEOUT = 8 * SLOW  # seconds, of workers whose shard will die
# What ends a worker later than its timeout: gradients that the dead might still read are waited for, the others are told.
GRACE = 20 * SLOW


def memory_files(pid):
    """How many memory files of Parley's the task has mapped or open."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        count = sum("memfd:parley" in line for line in file)
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += "memfd:parley" in os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass  # closed meanwhile
    return count


class Life:
    """The tasks of a job from their start to the death of a shard."""

    def __init__(self, test, folder, timeout):
        self._test = test
        self.folder = folder
        self._timeout = timeout
        self.servers, self._hosts = test.start_ps(2, 2, "--lease=2m", "--replace_after=500ms", f"--checkpoint_dir={folder}")
        self.workers = [None, None]
        for index in range(2):
            self.start_worker(index, "--resume")

    def start_worker(self, index, *flags):
        self.workers[index] = self._test.start_worker(
            self._hosts, index, 2, *FLAGS, "--steps=1000000", f"--transport={TRANSPORTS[index]}",
            f"--checkpoint_dir={self.folder}", "--checkpoint_every=150", f"--timeout={self._timeout}s", *flags)

    def wait_for_steps(self, index):
        self.workers[index].wait_for(r"progress: .*step \d|checkpoint of step")


class KilledTaskTest(job.JobTest):
    def newest_step(self, folder):
        return max((int(re.search(r"step-(\d+)", name).group(1)) for name in glob.glob(os.path.join(folder, "*.manifest"))),
                   default=0)

    def kill_workers(self, life, victims, random_source):
        """Each is killed and started again, and the job goes on."""
        life.wait_for_steps(0)
        before = [memory_files(server.process.pid) for server in life.servers]
        for index in victims:
            # Not a wait for anything: a moment at random.
            time.sleep(random_source.uniform(0.0, 0.4))
            life.workers[index].kill()
            for task in life.servers + [life.workers[1 - index]]:
                self.assertIsNone(task.process.poll(), task.output())
            life.start_worker(index)
            begin = time.monotonic()
            # The chief's lines stand for both: no step ends without the other worker.
            seen = self.newest_step(life.folder)
            job.wait_until(lambda: self.newest_step(life.folder) > seen,
                           f"no step ended after worker:{index} was back: {[task.output() for task in life.workers]}")
            self.longest["worker back"] = max(self.longest["worker back"], time.monotonic() - begin)
        for server, most in zip(life.servers, before):
            # A buffer more or less in use at the moment, but nothing of each of the dead.
            job.wait_until(lambda: memory_files(server.process.pid) <= most + 4,
                           f"{server.name} keeps memory of {len(victims)} dead workers")

    def kill_shard(self, life, index, random_source):
        """The others end, and name it."""
        life.wait_for_steps(0)
        time.sleep(random_source.uniform(0.0, 0.4))
        dead, other = life.servers[index], life.servers[1 - index]
        for task in life.workers + life.servers:
            self.assertIsNone(task.process.poll(), task.output())
        dead.kill()
        begin = time.monotonic()
        for worker in life.workers:
            self.assertNotEqual(worker.exit_code(TIMEOUT + GRACE), 0, worker.output())
            self.assertIn(dead.name, worker.output(), f"{worker.name} does not name {dead.name}")
        other.exit_code(TIMEOUT + GRACE)
        self.longest["shard gone"] = max(self.longest["shard gone"], time.monotonic() - begin)

    def end(self, life):
        for task in life.workers + life.servers:
            task.kill()
            self.tasks.remove(task)

    def test_no_wrong_value_no_memory_kept_nobody_stuck(self):
        seed = int(os.environ.get("PARLEY_SEED", random.SystemRandom().randrange(1 << 32)))
        print(f"seed {seed}")
        random_source = random.Random(seed)
        self.longest = collections.Counter()
        victims = [KINDS[i % len(KINDS)] for i in range(KILLS)]
        random_source.shuffle(victims)
        folder = os.path.join(self.folder, "disturbed")
        os.makedirs(folder)
        while victims:
            workers = []
            while victims and victims[0] != "ps":
                workers.append(int(victims.pop(0)[-1]))
            if workers:
                life = Life(self, folder, 60 * SLOW)
                self.kill_workers(life, workers, random_source)
                self.end(life)
            if victims:
                victims.pop(0)
                life = Life(self, folder, TIMEOUT)
                self.kill_shard(life, random_source.randrange(2), random_source)
                self.end(life)
        print(f"{KILLS} kills; longest waits in s: {dict(self.longest)}; step {self.newest_step(folder)}")
        # Whole checkpoints, and at most what one that was not finished left.
        self.assertLessEqual(len(os.listdir(folder)), 4 * 3, os.listdir(folder))

        steps = self.newest_step(folder)
        self.assertGreater(steps, 0)
        quiet = os.path.join(self.folder, "quiet")
        self.run_job(2, 2, *FLAGS, f"--steps={steps}", f"--checkpoint_dir={quiet}", ps_flags=(f"--checkpoint_dir={quiet}",))
        self.assertEqual(self.digest(folder), self.digest(quiet), f"after {steps} steps")


if __name__ == "__main__":
    unittest.main()
