"""ps tasks are added to a job and go again while it trains (`parley scale`), and one of them is killed in the middle of a move: the
synchronous job ends with the same bits as one that nobody disturbed.
"""

import os
import random
import signal
import time
import unittest

from tests import job

SHARDS = 6
STEPS = int(os.environ.get("PARLEY_STEPS", "3000"))
FLAGS = ("--model=mlp", "--batch_size=32", f"--steps={STEPS}", "--optimizer=momentum", "--learning_rate=0.02", "--seed=5")


class ScaleTest(job.JobTest):
    quiet = None  # see undisturbed

    def start_ps_task(self, index):
        return self.start(f"ps:{index}", job.program("ps/parley_ps"), *self.cluster, f"--shards={SHARDS}", f"--task_index={index}",
                          "--listen=localhost:0", "--replicas=1", f"--checkpoint_dir={self.folder}/disturbed")

    def start_job(self):
        self.etcd = self.start_etcd()
        self.cluster = (f"--etcd={self.etcd}", "--job=trial", "--ps=2", "--workers=2")
        self.servers = [self.start_ps_task(i) for i in range(2)]
        self.workers = [self.start(f"worker:{i}", job.program("worker/parley_worker"), *self.cluster, f"--shards={SHARDS}",
                                   f"--task_index={i}", f"--data_dir={job.DATA}", f"--checkpoint_dir={self.folder}/disturbed", *FLAGS)
                        for i in range(2)]
        self.workers[0].wait_for("progress: ")

    def parley(self, command, *flags):
        return self.start(f"parley {command}", job.program("deploy/parley"), command, f"--etcd={self.etcd}", "--job=trial", *flags)

    def everything(self):
        return "\n".join(f"--- {task.name}\n{task.output()}" for task in self.tasks if task.name != "etcd")

    def leaders(self):
        """Which task speaks for each shard; None: nobody does now."""
        keys = job.etcd_keys(self.etcd, "/parley/trial/shard/")
        found = [keys.get(f"/parley/trial/shard/{shard}/leader", "").split() for shard in range(SHARDS)]
        return [int(words[2]) if words else None for words in found]

    def finish(self):
        for task in self.workers + self.servers:
            if task.process.poll() != -signal.SIGKILL:
                self.assertEqual(task.exit_code(), 0, self.everything())
        job.wait_until(lambda: job.etcd_keys(self.etcd, "/parley/trial/") == {}, "something is left in etcd")
        self.assertEqual(self.digest(f"{self.folder}/disturbed"), self.undisturbed())

    def undisturbed(self):
        """The digest of a job that nobody disturbs; the same for all tests."""
        if ScaleTest.quiet is None:
            folder = os.path.join(self.folder, "quiet")
            self.run_job(2, 2, *FLAGS, f"--checkpoint_dir={folder}", ps_flags=(f"--checkpoint_dir={folder}",))
            ScaleTest.quiet = self.digest(folder)
        return ScaleTest.quiet

    def test_a_task_is_added_and_goes_again(self):
        self.start_job()
        self.assertEqual(self.leaders(), [0, 1, 0, 1, 1, 0])
        self.servers.append(self.start_ps_task(2))
        scaled = self.parley("scale", "--ps=3", "--wait=120s")
        self.assertEqual(scaled.exit_code(), 0, self.everything())
        self.assertIn("the job has 3 ps tasks", scaled.output())
        self.assertEqual(self.leaders(), [0, 1, 2, 2, 1, 0])
        shown = self.parley("status", "--timeout=60s")
        shown.exit_code()
        self.assertRegex(shown.output(), r"6 of 6 shards")
        self.assertRegex(shown.output(), r"\n +3 +ps:2 ")
        scaled = self.parley("scale", "--ps=2", "--wait=120s")
        self.assertEqual(scaled.exit_code(), 0, self.everything())
        self.assertEqual(self.leaders(), [0, 1, 0, 1, 1, 0])
        self.assertEqual(self.servers[2].exit_code(), 0)
        self.assertIn("ps:2: the job goes on without this task", self.servers[2].output())
        self.assertIsNone(self.workers[0].process.poll(), "the job was over too early")
        self.finish()

    def test_a_task_is_killed_in_the_middle_of_a_move(self):
        seed = random.SystemRandom().randrange(1 << 32)
        source = random.Random(seed)
        print("seed", seed)
        self.start_job()
        self.servers.append(self.start_ps_task(2))
        scaled = self.parley("scale", "--ps=3", "--wait=120s")
        # Two shards move, one after another or at the same time.
        victim = source.choice([0, 1, 2])
        job.wait_until(lambda: None in self.leaders() or 2 in self.leaders(), "nothing moves")
        time.sleep(source.uniform(0, 0.02))  # not a wait for anything: a moment at random
        self.servers[victim].kill()
        self.servers[victim] = self.start_ps_task(victim)
        self.assertEqual(scaled.exit_code(), 0, self.everything())
        self.assertIsNone(self.workers[0].process.poll(), "the job was over too early")
        self.assertEqual(self.leaders(), [0, 1, 2, 2, 1, 0])
        self.finish()


if __name__ == "__main__":
    unittest.main(verbosity=2)
