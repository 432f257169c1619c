"""A ps task of a job with replicas and etcd is sent SIGTERM: the others go on with what it had, it exits with 0, and the job ends with
the bits of one that nobody disturbed. Where all are sent it, the job ends in order.
"""

import re
import signal
import unittest

from tests import etcd_job, job


class LeavingPsTest(etcd_job.EtcdJobTest):
    def leave(self, index):
        """Sends a task SIGTERM, which ends it."""
        self.servers[index].signal(signal.SIGTERM)
        self.assertEqual(self.servers[index].exit_code(), 0, self.everything())

    def wait_until_at_home(self):
        job.wait_until(lambda: self.leaders() == [0, 1, 2], "the shards are not at home")

    def test_each_task_in_turn_is_started_again(self):
        self.start_job(3)
        self.workers[0].wait_for("progress: ")
        for index in range(3):
            self.wait_until_at_home()
            self.leave(index)
            self.assertRegex(self.servers[index].output(), rf"it hands ps:{index} over to ps:")
            self.assertNotIn(index, self.leaders())
            self.servers[index] = self.start_ps_task(index)
        self.finish()
        # What was there was handed over: nobody had to see that a task was dead.
        self.assertNotIn("goes on without a copy", self.everything())
        self.assertNotIn("a ps task was asked to stop", self.everything())

    def test_one_of_two_tasks_leaves_and_comes_back(self):
        self.shards = 2
        self.start_job(2)
        self.workers[0].wait_for("progress: ")
        job.wait_until(lambda: self.leaders() == [0, 1], "the shards are not at home")
        self.leave(0)
        self.assertEqual(self.leaders(), [1, 1])
        self.servers[0] = self.start_ps_task(0)
        self.finish()

    def test_where_all_are_told_to_stop_the_job_ends_in_order(self):
        self.start_job(3)
        self.workers[0].wait_for("progress: ")
        self.wait_until_at_home()
        for task in self.servers:
            task.signal(signal.SIGTERM)
        for task in self.servers:
            self.assertEqual(task.exit_code(), 0, self.everything())
        for task in self.workers:
            self.assertEqual(task.exit_code(), 1, self.everything())  # it was not asked itself
        step = re.search(r"worker:0: stopped before step (\d+), for a ps task was asked to stop", self.workers[0].output())
        self.assertIsNotNone(step, self.everything())
        self.inspect(f"{self.folder}/disturbed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
