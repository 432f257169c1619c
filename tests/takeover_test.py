"""ps tasks that find each other in etcd are killed again and again: the task with a shard's copy takes it over, and the synchronous job
ends with the same bits as one that nobody disturbed, whether or not the tasks are started again.

PARLEY_KILLS in the environment: how often a job's tasks are killed; 3 unless told.
"""

import os
import random
import signal
import time
import unittest

from tests import job

KILLS = int(os.environ.get("PARLEY_KILLS", "3"))
SHARDS = 3
FLAGS = ("--model=mlp", "--batch_size=32", "--optimizer=momentum", "--learning_rate=0.02", "--seed=5")


def records(etcd):
    """What etcd has of each shard: (leader's address, leader's task, copy's task or None), or None where it has no leader."""
    keys = job.etcd_keys(etcd, "/parley/trial/shard/")
    found = []
    for shard in range(SHARDS):
        leader = keys.get(f"/parley/trial/shard/{shard}/leader", "").split()
        copies = keys.get(f"/parley/trial/shard/{shard}/copies", "").split()
        found.append((leader[0], int(leader[2]), int(copies[3]) if len(copies) == 5 else None) if leader and copies else None)
    return found


class TakeoverTest(job.JobTest):
    def start_ps_task(self, index):
        return self.start(f"ps:{index}", job.program("ps/parley_ps"), *self.cluster, f"--task_index={index}", "--listen=localhost:0",
                          "--replicas=1", f"--checkpoint_dir={self.folder}/disturbed")

    def start_job(self, *flags):
        self.etcd = self.start_etcd()
        self.cluster = (f"--etcd={self.etcd}", "--job=trial", f"--ps={SHARDS}", "--workers=2")
        self.servers = [self.start_ps_task(i) for i in range(SHARDS)]
        self.workers = [self.start(f"worker:{i}", job.program("worker/parley_worker"), *self.cluster, f"--task_index={i}",
                                   f"--data_dir={job.DATA}", f"--checkpoint_dir={self.folder}/disturbed", *FLAGS, *flags) for i in range(2)]

    def everything(self):
        return "\n".join(f"--- {task.name}\n{task.output()}" for task in self.tasks if task.name != "etcd")

    def is_over(self):
        return any(task.process.poll() is not None for task in self.workers)

    def wait_for_copies(self):
        """Until each shard has a leader that is there, and a copy at a task that is; False when the job ends before."""
        whole = lambda: all(found and found[2] is not None and found[1] in self.there() and found[2] in self.there()
                            for found in records(self.etcd))
        job.wait_until(lambda: self.is_over() or whole(), "the copies do not become whole")
        return not self.is_over()

    def there(self):
        return [i for i in range(SHARDS) if self.servers[i].process.poll() is None]

    def finish(self, quiet_flags):
        quiet = os.path.join(self.folder, "quiet")
        for i in self.there():
            self.assertEqual(self.servers[i].exit_code(), 0, self.everything())
        for worker in self.workers:
            self.assertEqual(worker.exit_code(), 0, self.everything())
        self.assertEqual(job.etcd_keys(self.etcd, "/parley/trial/"), {})  # a job that is done leaves nothing
        self.run_job(2, 2, *FLAGS, *quiet_flags, f"--checkpoint_dir={quiet}", ps_flags=(f"--checkpoint_dir={quiet}",))
        self.assertEqual(self.digest(f"{self.folder}/disturbed"), self.digest(quiet))

    def test_tasks_that_are_killed_one_after_another_and_started_again(self):
        seed = random.SystemRandom().randrange(1 << 32)
        source = random.Random(seed)
        print("seed", seed)
        steps = f"--steps={400 * (KILLS + 1)}"
        self.start_job(steps)
        kills = 0
        while kills < KILLS and self.wait_for_copies():
            # Not a wait for anything: a moment at random.
            time.sleep(source.uniform(0, 0.5))
            victim = source.choice(sorted({found[1] for found in records(self.etcd) if found}))
            self.servers[victim].kill()
            time.sleep(source.uniform(0, 1.0))  # likewise
            self.servers[victim] = self.start_ps_task(victim)
            kills += 1
        self.assertGreater(kills, 0)
        self.finish((steps,))

    def test_tasks_that_never_come_back(self):
        steps = "--steps=900"
        self.start_job(steps)
        for victim in (1, 0):
            self.assertTrue(self.wait_for_copies(), self.everything())
            self.servers[victim].kill()
            if victim == 0:
                break
        self.finish((steps,))
        self.assertIn("it has taken over ps:0", self.servers[2].output())
        self.assertEqual([i for i in range(SHARDS) if self.servers[i].process.poll() == 0], [2])

    def test_a_task_that_was_only_stopped_speaks_no_more(self):
        steps = "--steps=900"
        self.start_job(steps)
        self.assertTrue(self.wait_for_copies(), self.everything())
        self.servers[0].signal(signal.SIGSTOP)
        job.wait_until(lambda: self.is_over() or all(found and found[1] != 0 for found in records(self.etcd)), "nobody takes over")
        self.servers[0].signal(signal.SIGCONT)
        self.servers[0].wait_for("it speaks for ps:0 no more")
        self.finish((steps,))


if __name__ == "__main__":
    unittest.main(verbosity=2)
