"""A run that is stopped and resumed from its checkpoint ends with the same bits as one that was never stopped."""

import glob
import os
import signal
import unittest

from tests import job

FLAGS = ("--model=cnn", "--batch_size=16", "--optimizer=momentum", "--learning_rate=0.05", "--seed=5")


class ResumeTest(job.JobTest):
    def run_to(self, folder, steps, *flags, ps=2, workers=2):
        return self.run_job(
            ps,
            workers,
            *FLAGS,
            f"--steps={steps}",
            f"--checkpoint_dir={folder}",
            *flags,
            ps_flags=(f"--checkpoint_dir={folder}",),
        )

    def setUp(self):
        super().setUp()
        self.whole = os.path.join(self.folder, "whole")
        self.parts = os.path.join(self.folder, "parts")
        os.makedirs(self.whole)
        os.makedirs(self.parts)

    def test_resuming_gives_the_same_bits(self):
        self.run_to(self.whole, 24)
        self.run_to(self.parts, 10)
        self.run_to(self.parts, 24, "--resume")
        self.assertEqual(self.digest(self.parts), self.digest(self.whole))

    def test_resuming_with_other_shards_gives_the_same_bits(self):
        self.run_to(self.whole, 24, ps=1)
        self.run_to(self.parts, 10, ps=3)
        self.run_to(self.parts, 24, "--resume", ps=2)
        self.assertEqual(self.digest(self.parts), self.digest(self.whole))

    def test_a_killed_run_resumes_from_its_newest_checkpoint(self):
        self.run_to(self.whole, 30)
        servers, hosts = self.start_ps(2, 2, f"--checkpoint_dir={self.parts}")
        flags = FLAGS + (f"--checkpoint_dir={self.parts}", "--checkpoint_every=4", "--steps=1000000")
        workers = [self.start_worker(hosts, i, 2, *flags) for i in range(2)]
        workers[0].wait_for("checkpoint .*step-0*8[^0-9]")
        for task in servers + workers:
            task.signal(signal.SIGKILL)
            task.exit_code()
        for newer in glob.glob(os.path.join(self.parts, "*.manifest")):
            if int(os.path.basename(newer).split("-")[1].split(".")[0]) > 30:
                os.remove(newer)  # it ran further than the run it is compared with
        output = self.run_to(self.parts, 30, "--resume")
        self.assertIn("resum", output)
        self.assertEqual(self.digest(self.parts), self.digest(self.whole))

    def test_a_flipped_bit_is_refused_and_the_checkpoint_before_is_used(self):
        self.run_to(self.whole, 20)
        self.run_to(self.parts, 12, "--checkpoint_every=6")
        manifests = sorted(glob.glob(os.path.join(self.parts, "*.manifest")))
        self.assertGreaterEqual(len(manifests), 2)
        newest = os.path.basename(manifests[-1]).split(".")[0]
        shard = sorted(glob.glob(os.path.join(self.parts, newest + ".shard-*")))[1]
        with open(shard, "r+b") as file:
            file.seek(os.path.getsize(shard) // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 0x10]))
        output = self.run_to(self.parts, 20, "--resume")
        self.assertIn(os.path.basename(shard), output)
        self.assertEqual(self.digest(self.parts), self.digest(self.whole))

    def test_resuming_without_a_checkpoint_starts_anew_and_says_so(self):
        self.run_to(self.whole, 6)
        output = self.run_to(self.parts, 6, "--resume")
        self.assertIn("no checkpoint", output)
        self.assertEqual(self.digest(self.parts), self.digest(self.whole))

    def test_resuming_another_model_is_refused(self):
        self.run_to(self.parts, 4)
        servers, hosts = self.start_ps(2, 1, f"--checkpoint_dir={self.parts}")
        worker = self.start_worker(
            hosts, 0, 1, "--model=mlp", "--optimizer=momentum", "--steps=8", f"--checkpoint_dir={self.parts}", "--resume"
        )
        self.assertEqual(worker.exit_code(), 1)
        self.assertIn("parameter dense1/kernel has shape", worker.output())

    def test_only_the_newest_checkpoints_are_kept(self):
        self.run_to(self.parts, 20, "--checkpoint_every=4", "--keep_checkpoints=2")
        self.assertEqual(len(glob.glob(os.path.join(self.parts, "*.manifest"))), 2)
        self.assertEqual(len(glob.glob(os.path.join(self.parts, "*.shard-*"))), 4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
