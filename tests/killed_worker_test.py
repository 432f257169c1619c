"""A worker of a synchronous job is killed again and again, in the middle of whatever it does, and started again: the job ends
with the same bits as one that nobody disturbed, over each transport, and the shards keep nothing of the dead.

PARLEY_KILLS in the environment: how often each job's worker is killed; 4 unless told.
"""

import os
import random
import time
import unittest

from tests import job

KILLS = int(os.environ.get("PARLEY_KILLS", "4"))
STEPS = 500 * (KILLS + 1)
FLAGS = ("--model=mlp", "--batch_size=32", f"--steps={STEPS}", "--optimizer=sgd", "--learning_rate=0.02", "--seed=5")


def mappings(pid):
    """How many memory files of workers and its own the task has mapped."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
        return sum("memfd:parley" in line for line in file)


class KilledWorkerTest(job.JobTest):
    def run_disturbed(self, transport, folder, random_source, flags=FLAGS, most_kills=KILLS):
        servers, hosts = self.start_ps(2, 2, "--lease=2m", "--replace_after=500ms", f"--checkpoint_dir={folder}")
        flags = flags + (f"--transport={transport}", f"--checkpoint_dir={folder}")
        chief = self.start_worker(hosts, 0, 2, *flags)
        kills = 0
        while True:
            worker = self.start_worker(hosts, 1, 2, *flags)
            if kills == most_kills:
                break
            # Not a wait for anything: a moment at random, from its start to well into its steps.
            time.sleep(random_source.uniform(0.2, 1.2))
            if worker.process.poll() is not None:
                break
            worker.process.kill()
            kills += 1
            for server in servers:
                self.assertIsNone(server.process.poll(), server.output())
        for task in (worker, chief):
            self.assertEqual(task.exit_code(), 0, f"{task.name} after {kills} kills:\n{task.output()}")
        return kills, servers

    def test_the_bits_are_those_of_an_undisturbed_job(self):
        seed = random.SystemRandom().randrange(1 << 32)
        random_source = random.Random(seed)
        quiet = os.path.join(self.folder, "quiet")
        self.run_job(2, 2, *FLAGS, f"--checkpoint_dir={quiet}", ps_flags=(f"--checkpoint_dir={quiet}",))
        expected = self.digest(quiet)
        for transport in ("shm", "grpc"):
            with self.subTest(transport=transport, seed=seed):
                folder = os.path.join(self.folder, transport)
                kills, _ = self.run_disturbed(transport, folder, random_source)
                self.assertGreater(kills, 0)
                self.assertEqual(self.digest(folder), expected)

    def test_nor_does_it_matter_to_norms_that_workers_carry_between_shards(self):
        seed = random.SystemRandom().randrange(1 << 32)
        flags = FLAGS + ("--steps=1500", "--clip_norm=0.5")
        quiet = os.path.join(self.folder, "quiet")
        self.run_job(2, 2, *flags, f"--checkpoint_dir={quiet}", ps_flags=(f"--checkpoint_dir={quiet}",))
        folder = os.path.join(self.folder, "disturbed")
        with self.subTest(seed=seed):
            kills, _ = self.run_disturbed("auto", folder, random.Random(seed), flags, 2)
            self.assertGreater(kills, 0)
            self.assertEqual(self.digest(folder), self.digest(quiet))

    def test_a_shard_keeps_no_memory_of_the_dead(self):
        servers, hosts = self.start_ps(1, 1, "--replace_after=300ms", "--keep_serving")
        fewest = None
        for _ in range(5):
            worker = self.start_worker(hosts, 0, 1, "--model=mlp", "--steps=1000000", "--policy=async",
                                       "--transport=shm")
            worker.wait_for("epoch 1/")
            worker.process.kill()
            worker.process.wait()
            pid = servers[0].process.pid
            # What was lent is let go when its round is done and the socket's end is noticed.
            if fewest is None:
                fewest = mappings(pid)
            job.wait_until(lambda: mappings(pid) <= fewest, "a dead worker's memory is still mapped")


if __name__ == "__main__":
    unittest.main()
