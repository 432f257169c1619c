"""Every built-in model learns: in parley_worker with real tasks, and in the examples, with tiny settings."""

import os
import re
import subprocess
import unittest

from tests import job

TEXT = "/usr/share/common-licenses"


class WorkerTest(job.JobTest):
    def visits(self, rows):
        path = os.path.join(self.folder, "visits.csv")
        with open(path, "w", encoding="utf-8") as file:
            subprocess.run([job.program("examples/make_visits.py"), str(rows)], stdout=file, check=True)
        return path

    def test_language_models_learn_from_text(self):
        for model, flags in (("lstm", ()), ("transformer", ("--heads=2", "--dropout=0.1"))):
            with self.subTest(model):
                path = os.path.join(self.folder, model)
                output = self.run_job(2, 2, f"--model={model}", f"--data_dir={TEXT}", "--time=32", "--layers=1",
                                      "--width=32", "--batch_size=8", "--steps=60", "--learning_rate=0.01",
                                      "--max_test_examples=32", f"--summary_json={path}", *flags)
                summary = self.summary(path)
                # From 256 bytes that are as likely as each other; without a look at the ones before, 25 or so.
                self.assertLess(summary["perplexity"], 50, output)
                self.assertIsNone(summary["accuracy"])
                self.assertIn("test perplexity", output)

    def test_wide_and_deep_learns_from_categories(self):
        path = os.path.join(self.folder, "summary")
        self.run_job(2, 2, "--model=wide_deep", f"--data_dir={self.visits(4000)}",
                     "--categorical_columns=city:64,device,product,weekday", "--batch_size=32", "--epochs=4",
                     "--learning_rate=0.005", f"--summary_json={path}")
        summary = self.summary(path)
        self.assertGreater(summary["auc"], 0.8)
        self.assertGreater(summary["accuracy"], 0.7)

    def test_sixteen_bits_learn_too(self):
        for dtype in ("bfloat16", "float16"):
            with self.subTest(dtype):
                path = os.path.join(self.folder, dtype)
                self.run_job(2, 2, "--model=mlp", "--batch_size=50", "--steps=60", f"--dtype={dtype}",
                             "--max_train_examples=10000", "--max_test_examples=1000", f"--summary_json={path}")
                self.assertGreater(self.summary(path)["accuracy"], 0.65)

    def test_resnet18_takes_small_images(self):
        output = self.run_job(1, 1, "--model=resnet18", "--batch_size=4", "--steps=2", "--max_train_examples=8",
                              "--max_test_examples=4")
        self.assertRegex(output, r"(?m)^\| test accuracy ")

    def test_a_device_that_is_not_there_is_named(self):
        task = self.start("worker", job.program("worker/parley_worker"), "--ps_hosts=localhost:1",
                          "--worker_hosts=localhost:2", "--task_index=0", f"--data_dir={job.DATA}",
                          "--device=cuda:77")
        self.assertEqual(task.exit_code(), 1, task.output())
        self.assertIn("--device=cuda:77: ", task.output())


class ExamplesTest(job.JobTest):
    def run_example(self, name, *flags):
        """Runs it; returns its first loss, the mean of its last three, and the evaluations."""
        task = self.start(name, job.program("examples/" + name), *flags)
        self.assertEqual(task.exit_code(), 0, task.output())
        losses = [float(x) for x in re.findall(r"(?m)^step \d+/\d+ loss ([0-9.]+)", task.output())]
        self.assertGreater(len(losses), 3, task.output())
        tests = [float(x) for x in re.findall(r"(?m)^after step \d+: test loss ([0-9.]+)", task.output())]
        self.assertGreater(len(tests), 0, task.output())
        return losses[0], sum(losses[-3:]) / 3, tests

    def test_resnet18(self):
        first, last, _ = self.run_example("resnet18", "--examples=120", "--test_examples=10", "--batch_size=8",
                                          "--workers=1", "--learning_rate=0.003")
        self.assertLess(last, first)

    def test_language_model(self):
        for model in ("transformer", "lstm"):
            with self.subTest(model):
                first, last, tests = self.run_example(
                    "language_model", f"--model={model}", "--steps=200", "--time=16", "--width=32", "--layers=1",
                    "--batch_size=4")
                self.assertLess(last, 0.75 * first)
                self.assertLess(tests[-1], 0.75 * first)

    def test_gan(self):
        pictures = os.path.join(self.folder, "pictures.pgm")
        _, _, tests = self.run_example("gan", "--steps=500", "--batch_size=32", "--workers=1", f"--pictures={pictures}")
        # A generator that has learned nothing makes grey pictures: the average of real ones is 0.5 away.
        self.assertLess(tests[-1], 0.35)
        with open(pictures, "rb") as file:
            self.assertEqual(len(file.read()), len(b"P5 224 224 255\n") + 224 * 224)

    def test_wide_and_deep(self):
        path = os.path.join(self.folder, "visits.csv")
        with open(path, "w", encoding="utf-8") as file:
            subprocess.run([job.program("examples/make_visits.py"), "4000"], stdout=file, check=True)
        first, last, tests = self.run_example("wide_and_deep", f"--data={path}", "--batch_size=32")
        self.assertLess(last, first)
        self.assertLess(tests[-1], tests[0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
