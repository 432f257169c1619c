"""A ps task's program with an optimizer and a policy of its own, as a user would write one: examples/own_shard.cc."""

import os
import unittest

from tests import job

OWN = "examples/own_shard"
SMALL = ("--model=mlp", "--batch_size=32", "--seed=5")
SIGNUM = ("--optimizer=custom", "--custom_optimizer=signum,momentum=0.9", "--learning_rate=0.0005")
NEAR = ("--policy=custom", "--custom_policy=near_the_mean,limit=1")


class OwnShardTest(job.JobTest):
    def train(self, workers, *flags, ps_flags=()):
        """Returns the chief's summary; every task must end well."""
        path = os.path.join(self.folder, "summary.json")
        servers, hosts = self.start_ps(2, workers, *ps_flags, binary=OWN)
        tasks = [
            self.start_worker(hosts, i, workers, *SMALL, *flags, f"--summary_json={path}") for i in range(workers)
        ]
        for task in tasks + servers:
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")
        return self.summary(path)

    def refusal(self, *flags, binary=OWN):
        """What the chief says of a job that it cannot have."""
        _, hosts = self.start_ps(1, 1, binary=binary)
        chief = self.start_worker(hosts, 0, 1, *SMALL, "--steps=5", *flags)
        self.assertEqual(chief.exit_code(), 1, chief.output())
        return chief.output()

    def test_trains_with_an_optimizer_of_its_own(self):
        summary = self.train(2, "--steps=150", *SIGNUM)
        self.assertGreater(summary["accuracy"], 0.6)  # after 0.16 epochs; without training it is 0.1

    def test_trains_with_a_policy_of_its_own(self):
        summary = self.train(2, "--steps=150", "--optimizer=sgd", *NEAR)
        self.assertGreater(summary["accuracy"], 0.6)

    def test_continues_from_a_checkpoint_with_the_slots_of_its_own(self):
        folder = os.path.join(self.folder, "checkpoints")
        keeping = (f"--checkpoint_dir={folder}",)
        self.train(1, "--steps=20", *SIGNUM, *keeping, ps_flags=keeping)
        half = self.inspect(folder)
        self.assertIn("step: 20", half)
        self.train(1, "--steps=40", *SIGNUM, *keeping, "--resume", ps_flags=keeping)
        resumed = self.digest(folder)
        other = os.path.join(self.folder, "others")
        keeping = (f"--checkpoint_dir={other}",)
        self.train(1, "--steps=40", *SIGNUM, *keeping, ps_flags=keeping)
        self.assertEqual(self.digest(other), resumed)

    def test_names_that_are_not_registered_are_refused_with_those_that_are(self):
        unknown = self.refusal("--optimizer=custom", "--custom_optimizer=signam")
        self.assertIn("optimizer.custom.name is signam, allowed are signum", unknown)
        unknown = self.refusal("--policy=custom", "--custom_policy=far")
        self.assertIn("policy.custom.name is far, allowed are near_the_mean", unknown)
        plain = self.refusal(*SIGNUM, binary="ps/parley_ps")
        self.assertIn("optimizer.custom.name is signum, but this program has registered none", plain)

    def test_options_that_its_factory_refuses_are_named(self):
        self.assertIn(
            "optimizer signum: momentum is 1, allowed are numbers in [0, 1)",
            self.refusal("--optimizer=custom", "--custom_optimizer=signum,momentum=1"),
        )
        self.assertIn(
            "optimizer signum: there is no option mass, there is momentum",
            self.refusal("--optimizer=custom", "--custom_optimizer=signum,mass=1"),
        )


if __name__ == "__main__":
    unittest.main()
