"""ps tasks are added to a job and go again while it trains (`parley scale`), and one of them is killed in the middle of a move: the
synchronous job ends with the same bits as one that nobody disturbed.
"""

import random
import time
import unittest

from tests import etcd_job, job


class ScaleTest(etcd_job.EtcdJobTest):
    shards = 6

    def setUp(self):
        super().setUp()
        self.start_job(2)
        self.workers[0].wait_for("progress: ")

    def test_a_task_is_added_and_goes_again(self):
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
        self.finish()

    def test_a_task_is_killed_in_the_middle_of_a_move(self):
        seed = random.SystemRandom().randrange(1 << 32)
        source = random.Random(seed)
        print("seed", seed)
        self.servers.append(self.start_ps_task(2))
        scaled = self.parley("scale", "--ps=3", "--wait=120s")
        # Two shards move, one after another or at the same time.
        victim = source.choice([0, 1, 2])
        job.wait_until(lambda: None in self.leaders() or 2 in self.leaders(), "nothing moves")
        time.sleep(source.uniform(0, 0.02))  # not a wait for anything: a moment at random
        self.servers[victim].kill()
        self.servers[victim] = self.start_ps_task(victim)
        self.assertEqual(scaled.exit_code(), 0, self.everything())
        # It may have been killed just after the command had seen all at home.
        job.wait_until(lambda: self.leaders() == [0, 1, 2, 2, 1, 0], "the shards do not come home")
        self.finish()


if __name__ == "__main__":
    unittest.main(verbosity=2)
