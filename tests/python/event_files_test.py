"""parley_worker --logdir: the event files of real runs, read back. Where Python has TensorBoard, its own reader reads
them too and must see the same."""

import math
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # where the stubs are

import event_files
from tests import job
from worker import event_pb2

try:
    from tensorboard.backend.event_processing import event_accumulator
except ImportError:  # Debian has none
    event_accumulator = None

FLAGS = ("--model=mlp", "--optimizer=sgd", "--learning_rate=0.125", "--batch_size=100", "--max_train_examples=6000",
         "--max_test_examples=1000", "--epochs=1", "--scalars_every=10",
         "--histograms_every=20")


class EventFilesTest(job.JobTest):
    def run_with(self, *flags, workers=1):
        return self.run_job(1, workers, *FLAGS, f"--logdir={self.folder}/logs", *flags)

    def check_with_tensorboard(self, found, steps):
        """TensorBoard's reader sees the scalars that this test sees; `steps` are those of train/loss."""
        if event_accumulator is None:
            return
        run = event_accumulator.EventAccumulator(f"{self.folder}/logs", size_guidance={"tensors": 0, "scalars": 0})
        run.Reload()
        scalars = {tag: seen for tag, seen in found.items() if seen[0][1].WhichOneof("value") == "simple_value"}
        self.assertEqual(set(run.Tags()["scalars"]), set(scalars))
        self.assertEqual([event.step for event in run.Scalars("train/loss")], steps)
        self.assertTrue(run.Tags()["histograms"])
        self.assertIn("flags/text_summary", run.Tags()["tensors"])

    def test_a_run_is_written_down(self):
        output = self.run_with(workers=2)
        (file,) = event_files.events(f"{self.folder}/logs")
        self.assertEqual(file[0].file_version, "brain.Event:2")
        self.assertEqual([event.wall_time for event in file], sorted(event.wall_time for event in file))
        found = event_files.values(file)
        # 30 steps of two workers, 100 samples each.
        steps = [10, 20, 30]
        for tag in ("train/loss", "train/accuracy", "train/epoch", "speed/samples_per_second", "speed/step_seconds",
                    "speed/compute_seconds", "speed/push_seconds", "speed/wait_seconds"):
            self.assertEqual([step for step, _ in found[tag]], steps, tag)
        losses = [value.simple_value for _, value in found["train/loss"]]
        self.assertLess(losses[-1], losses[0])
        self.assertEqual([step for step, _ in found["test/loss"]], [30])
        last = found["test/accuracy"][-1][1].simple_value
        self.assertIn(f"test accuracy {last:.4f}", output)

        for tag in ("parameters/dense1/kernel", "gradients/dense1/kernel"):
            self.assertIn(tag, set(found))
        norm = found["train/gradient_norm"][0][1].simple_value
        squares = 0
        for tag, seen in found.items():
            if not tag.startswith(("parameters/", "gradients/")):
                continue
            ((step, value),) = seen
            self.assertEqual(step, 20)
            self.assertEqual(sum(value.histo.bucket), value.histo.num)
            self.assertEqual(list(value.histo.bucket_limit), sorted(value.histo.bucket_limit))
            self.assertLessEqual(value.histo.min, value.histo.max)
            if tag.startswith("gradients/"):
                squares += value.histo.sum_squares
        self.assertAlmostEqual(norm, math.sqrt(squares), delta=1e-5 * norm)

        ((_, text),) = found["flags/text_summary"]
        self.assertIn(b"| `--learning_rate` | 0.125 |", text.tensor.string_val[0])
        ((_, start),) = found["_hparams_/session_start_info"]
        info = event_pb2.HParamsPluginData.FromString(start.metadata.plugin_data.content).session_start_info
        self.assertEqual(info.hparams["model"].string_value, "mlp")
        self.assertEqual(info.hparams["learning_rate"].number_value, 0.125)
        self.assertEqual(info.hparams["workers"].number_value, 2)
        self.assertNotIn("data_dir", info.hparams)
        ((_, end),) = found["_hparams_/session_end_info"]
        info = event_pb2.HParamsPluginData.FromString(end.metadata.plugin_data.content).session_end_info
        self.assertEqual(info.status, event_pb2.SessionEndInfo.STATUS_SUCCESS)
        self.check_with_tensorboard(found, steps)

    def test_a_run_that_goes_on_from_a_checkpoint_says_from_where(self):
        checkpoints = f"--checkpoint_dir={self.folder}/checkpoints"
        for flags in (("--steps=25",), ("--steps=50", "--resume")):
            self.run_job(1, 1, "--model=linear", "--scalars_every=10", f"--logdir={self.folder}/logs", checkpoints, *flags,
                         ps_flags=(checkpoints,))
        first, second = sorted(event_files.events(f"{self.folder}/logs"), key=lambda file: file[0].wall_time)
        starts = [[event.step for event in file if event.session_log.status == event_pb2.SessionLog.START]
                  for file in (first, second)]
        self.assertEqual(starts, [[1], [26]])
        self.assertEqual([step for step, _ in event_files.values(first)["train/loss"]], [10, 20, 25])
        self.assertEqual([step for step, _ in event_files.values(second)["train/loss"]], [30, 40, 50])

    def test_a_folder_that_cannot_be_written_is_a_warning_and_training_goes_on(self):
        with open(f"{self.folder}/logs", "w", encoding="utf-8"):
            pass
        output = self.run_with()
        self.assertRegex(output, r"W.*nothing for TensorBoard: .*" + self.folder)
        self.assertIn("test accuracy", output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
