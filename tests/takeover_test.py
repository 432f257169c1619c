"""ps tasks that find each other in etcd are killed again and again: the task with a shard's copy takes it over, and the synchronous job
ends with the same bits as one that nobody disturbed, whether or not the tasks are started again.

PARLEY_KILLS in the environment: how often a job's tasks are killed; 2 unless told.
"""

import os
import random
import signal
import time
import unittest

from tests import etcd_job, job

KILLS = int(os.environ.get("PARLEY_KILLS", "2"))


class TakeoverTest(etcd_job.EtcdJobTest):
    def start_job(self, *flags, steps=None):
        self.dead = set()  # starts of tasks that were killed
        super().start_job(self.shards, *flags, steps=steps)

    def wait_for_copies(self):
        """Until each shard has a leader that is there, and a copy at a task that is."""
        whole = lambda: all(who and who not in self.dead for found in self.records() for who in found)
        job.wait_until(whole, "the copies do not become whole")

    def kill(self, index):
        self.dead |= {who for found in self.records() for who in found if who and who[0] == index}
        self.servers[index].kill()

    def test_tasks_that_are_killed_one_after_another_and_started_again(self):
        seed = random.SystemRandom().randrange(1 << 32)
        source = random.Random(seed)
        print("seed", seed)
        self.start_job()
        for _ in range(KILLS):
            self.wait_for_copies()
            # Not a wait for anything: a moment at random.
            time.sleep(source.uniform(0, 0.3))
            victim = source.choice(sorted({leader[0] for leader, _ in self.records() if leader}))
            self.kill(victim)
            time.sleep(source.uniform(0, 0.7))  # likewise
            self.servers[victim] = self.start_ps_task(victim)
        self.finish()

    def test_tasks_that_never_come_back(self):
        self.start_job()
        for victim in (1, 0):
            self.wait_for_copies()
            self.kill(victim)
        self.finish()
        self.assertIn("it has taken over ps:0", self.servers[2].output())

    def test_norms_over_several_shards_go_on_with_the_copies(self):
        self.start_job("--clip_norm=0.5")
        for victim in (1, 2):
            self.wait_for_copies()
            self.kill(victim)
            self.servers[victim] = self.start_ps_task(victim)
        self.finish()

    def test_all_tasks_that_are_killed_at_once_go_on_from_their_logs(self):
        self.ps_flags = ("--durability=disk",)
        self.start_job(steps=4000)

        self.wait_for_copies()
        for victim in range(self.shards):
            self.kill(victim)
        self.servers = [self.start_ps_task(i) for i in range(self.shards)]
        for i, server in enumerate(self.servers):
            server.wait_for(f"it goes on with ps:{i} from its log")
        # And then one whose copy has it all.
        self.wait_for_copies()
        self.kill(0)
        self.servers[0] = self.start_ps_task(0)
        self.finish()
        logs = os.path.join(self.folder, "disturbed", "log")
        self.assertEqual([name for _, _, names in os.walk(logs) for name in names], [])

    def test_a_task_that_was_only_stopped_speaks_no_more(self):
        self.start_job()
        self.wait_for_copies()
        self.servers[0].signal(signal.SIGSTOP)
        elsewhere = lambda: all(leader and leader[0] != 0 for leader, _ in self.records())
        job.wait_until(elsewhere, "nobody takes over")
        self.servers[0].signal(signal.SIGCONT)
        self.servers[0].wait_for("it speaks for ps:0 no more")
        self.finish()


if __name__ == "__main__":
    unittest.main(verbosity=2)
