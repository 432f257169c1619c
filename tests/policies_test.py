"""Policies among real programs: a warm-up that becomes asynchronous, backup workers when one is stopped or dies, and policies
of groups of parameters."""

import os
import signal
import unittest

from tests import job

SMALL = ("--model=mlp", "--batch_size=32", "--optimizer=sgd", "--learning_rate=0.05", "--seed=3")


class PoliciesTest(job.JobTest):
    def run_to_digest(self, name, *flags):
        """The digest of a job's parameters, and its summary."""
        folder = os.path.join(self.folder, name)
        path = folder + ".json"
        self.run_job(2, 2, *SMALL, f"--checkpoint_dir={folder}", f"--summary_json={path}", *flags,
                     ps_flags=(f"--checkpoint_dir={folder}",))
        return self.digest(folder), self.summary(path)

    def test_a_synchronous_warm_up_has_its_bits_and_then_goes_on_asynchronously(self):
        plain, _ = self.run_to_digest("plain", "--policy=sync", "--steps=60")
        within, summary = self.run_to_digest("within", "--policy=sync:60,async", "--steps=60")
        self.assertEqual(within, plain)
        self.assertEqual(summary["staleness_counts"].keys(), {"0"})
        # In the second phase each of the two workers' gradients is a round.
        _, summary = self.run_to_digest("beyond", "--policy=sync:60,async", "--steps=200")
        self.assertGreater(summary["staleness_mean"], 0)
        self.assertEqual(sum(summary["staleness_counts"].values()), summary["pushes"])
        self.assertEqual(summary["dropped"], 0)
        self.assertGreater(summary["accuracy"], 0.7)

    def test_a_group_has_its_own_policy_and_all_replicas_are_the_plain_policy(self):
        plain, _ = self.run_to_digest("plain", "--steps=40")
        backup, summary = self.run_to_digest("backup", "--replicas_to_aggregate=2", "--steps=40")
        self.assertEqual(backup, plain)
        self.assertEqual(summary["dropped"], 0)
        _, summary = self.run_to_digest("group", "--group_policy=dense1=async", "--steps=40", "--rate_by_staleness",
                                        "--delay_compensation=0.04")
        self.assertGreater(summary["accuracy"], 0.5)

    def start_long(self, *flags):
        """Three workers whose job has two more steps than anybody waits for."""
        path = os.path.join(self.folder, "summary")
        servers, hosts = self.start_ps(2, 3, "--lease=2s")
        flags += SMALL + ("--finish_timeout=3s", f"--summary_json={path}")
        workers = [self.start_worker(hosts, i, 3, *flags) for i in range(3)]
        workers[0].wait_for("progress: ")
        return servers, workers, path

    def steps_of(self, chief, count):
        """Waits until the chief has said its step `count` times; the last one."""
        matches = []
        chief.wait_for_count(r"progress: .* step (\d+)/", count, matches)
        return int(matches[count - 1].group(1))

    def test_a_stopped_worker_holds_nobody_longer_than_its_lease_and_catches_up(self):
        for flags in (("--replicas_to_aggregate=2",), ()):
            with self.subTest(flags=flags):
                self.stop_and_continue(*flags)

    def stop_and_continue(self, *flags):
        _, workers, path = self.start_long(*flags, "--steps=6000")
        workers[2].signal(signal.SIGSTOP)
        before = self.steps_of(workers[0], 2)
        self.assertGreater(self.steps_of(workers[0], 3), before)
        workers[2].signal(signal.SIGCONT)
        for worker in workers:
            self.assertEqual(worker.exit_code(), 0, worker.output())
        summary = self.summary(path)
        self.assertGreater(summary["dropped"], 0)
        self.assertEqual(summary["staleness_max"], 0)
        self.assertNotIn("ending without a worker", workers[0].output())

    def test_a_dead_worker_is_waited_for_until_its_lease_ends(self):
        _, workers, path = self.start_long("--steps=1200")
        workers[1].kill()
        for worker in (workers[0], workers[2]):
            self.assertEqual(worker.exit_code(), 0, worker.output())
        self.assertNotIn("ending without a worker", workers[0].output())
        self.assertEqual(self.summary(path)["steps"], 1200)


if __name__ == "__main__":
    unittest.main()
