"""ps tasks that find each other in etcd are killed again and again: the task with a shard's copy takes it over, and the synchronous job
ends with the same bits as one that nobody disturbed, whether or not the tasks are started again.

PARLEY_KILLS in the environment: how often a job's tasks are killed; 2 unless told.
"""

import os
import random
import signal
import time
import unittest

from tests import job

KILLS = int(os.environ.get("PARLEY_KILLS", "2"))
SHARDS = 3
FLAGS = ("--model=mlp", "--batch_size=32", f"--steps={1200 * (KILLS + 1)}", "--optimizer=momentum", "--learning_rate=0.02", "--seed=5")


def records(etcd):
    """What etcd has of each shard: the leader and who has its copy, each (task, start); None for who is not there."""
    keys = job.etcd_keys(etcd, "/parley/trial/shard/")
    found = []
    for shard in range(SHARDS):
        leader = keys.get(f"/parley/trial/shard/{shard}/leader", "").split()
        copies = keys.get(f"/parley/trial/shard/{shard}/copies", "").split()
        found.append(((int(leader[2]), leader[3]) if leader else None, (int(copies[3]), copies[4]) if len(copies) == 5 else None))
    return found


class TakeoverTest(job.JobTest):
    quiet = {}  # see undisturbed

    ps_flags = ()

    def start_ps_task(self, index):
        return self.start(f"ps:{index}", job.program("ps/parley_ps"), *self.cluster, f"--task_index={index}", "--listen=localhost:0",
                          "--replicas=1", f"--checkpoint_dir={self.folder}/disturbed", *self.ps_flags)

    def start_job(self, *flags):
        self.flags = FLAGS + flags
        self.etcd = self.start_etcd()
        self.dead = set()  # starts of tasks that were killed
        self.cluster = (f"--etcd={self.etcd}", "--job=trial", f"--ps={SHARDS}", "--workers=2")
        self.servers = [self.start_ps_task(i) for i in range(SHARDS)]
        self.workers = [self.start(f"worker:{i}", job.program("worker/parley_worker"), *self.cluster, f"--task_index={i}",
                                   f"--data_dir={job.DATA}", f"--checkpoint_dir={self.folder}/disturbed", *self.flags) for i in range(2)]

    def everything(self):
        return "\n".join(f"--- {task.name}\n{task.output()}" for task in self.tasks if task.name != "etcd")

    def is_over(self):
        return any(task.process.poll() is not None for task in self.workers)

    def wait_for_copies(self):
        """Until each shard has a leader that is there, and a copy at a task that is; False when the job ends before."""
        whole = lambda: all(who and who not in self.dead for found in records(self.etcd) for who in found)
        job.wait_until(lambda: self.is_over() or whole(), "the copies do not become whole")
        return not self.is_over()

    def kill(self, index):
        self.dead |= {who for found in records(self.etcd) for who in found if who and who[0] == index}
        self.servers[index].kill()

    def finish(self):
        for task in self.workers + self.servers:
            if task.process.poll() != -signal.SIGKILL:
                self.assertEqual(task.exit_code(), 0, self.everything())
        # A job that is done leaves nothing, when the leases of those that were killed have ended.
        job.wait_until(lambda: job.etcd_keys(self.etcd, "/parley/trial/") == {}, "something is left in etcd")
        self.assertEqual(self.digest(f"{self.folder}/disturbed"), self.undisturbed())

    def undisturbed(self):
        """The digest of a job that nobody disturbs; the same for all tests with these flags."""
        if self.flags not in TakeoverTest.quiet:
            folder = os.path.join(self.folder, "quiet")
            self.run_job(2, 2, *self.flags, f"--checkpoint_dir={folder}", ps_flags=(f"--checkpoint_dir={folder}",))
            TakeoverTest.quiet[self.flags] = self.digest(folder)
        return TakeoverTest.quiet[self.flags]

    def test_tasks_that_are_killed_one_after_another_and_started_again(self):
        seed = random.SystemRandom().randrange(1 << 32)
        source = random.Random(seed)
        print("seed", seed)
        self.start_job()
        kills = 0
        while kills < KILLS and self.wait_for_copies():
            # Not a wait for anything: a moment at random.
            time.sleep(source.uniform(0, 0.3))
            victim = source.choice(sorted({leader[0] for leader, _ in records(self.etcd) if leader}))
            self.kill(victim)
            time.sleep(source.uniform(0, 0.7))  # likewise
            if self.is_over():
                break  # a task that is started now would wait for another job
            self.servers[victim] = self.start_ps_task(victim)
            kills += 1
        self.assertGreater(kills, 0, "the job was over before a task could be started again")
        self.finish()

    def test_tasks_that_never_come_back(self):
        self.start_job()
        for victim in (1, 0):
            self.assertTrue(self.wait_for_copies(), self.everything())
            self.kill(victim)
        self.finish()
        self.assertIn("it has taken over ps:0", self.servers[2].output())

    def test_norms_over_several_shards_go_on_with_the_copies(self):
        self.start_job("--clip_norm=0.5", "--steps=2000")
        for victim in (1, 2):
            copied = self.wait_for_copies()
            self.assertTrue(copied or victim == 2, self.everything())
            if copied:
                self.kill(victim)
                self.servers[victim] = self.start_ps_task(victim)
        self.finish()

    def test_all_tasks_that_are_killed_at_once_go_on_from_their_logs(self):
        self.ps_flags = ("--durability=disk",)
        self.start_job("--steps=2000")
        self.assertTrue(self.wait_for_copies(), self.everything())
        for victim in range(SHARDS):
            self.kill(victim)
        self.servers = [self.start_ps_task(i) for i in range(SHARDS)]
        for i, server in enumerate(self.servers):
            server.wait_for(f"it goes on with ps:{i} from its log")
        # And then one whose copy has it all.
        if self.wait_for_copies():
            self.kill(0)
            self.servers[0] = self.start_ps_task(0)
        self.finish()
        logs = os.path.join(self.folder, "disturbed", "log")
        self.assertEqual([name for _, _, names in os.walk(logs) for name in names], [])

    def test_a_task_that_was_only_stopped_speaks_no_more(self):
        self.start_job()
        self.assertTrue(self.wait_for_copies(), self.everything())
        self.servers[0].signal(signal.SIGSTOP)
        elsewhere = lambda: all(leader and leader[0] != 0 for leader, _ in records(self.etcd))
        job.wait_until(lambda: self.is_over() or elsewhere(), "nobody takes over")
        self.servers[0].signal(signal.SIGCONT)
        self.servers[0].wait_for("it speaks for ps:0 no more")
        self.finish()


if __name__ == "__main__":
    unittest.main(verbosity=2)
