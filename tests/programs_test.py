"""The programs as a person meets them: their flags, the environment, each policy, each kind of data, the examples."""

import json
import os
import re
import unittest

from tests import job

FAST = ("--model=mlp", "--batch_size=32", "--steps=10", "--seed=2")


class FlagsTest(job.JobTest):
    CLUSTER = ("--ps_hosts=localhost:1", "--worker_hosts=localhost:2", "--task_index=0")

    def expect_usage_error(self, program, flags, words, env=None):
        task = self.start(program, job.program(program), *flags, env=env)
        self.assertEqual(task.exit_code(), 2, task.output())
        lines = task.output().splitlines()[:-1]
        self.assertEqual(len(lines), 1, task.output())
        self.assertIn(words, lines[0])

    def test_illegal_ps_flags_stop_with_one_clear_line(self):
        for flags, words in [
            (("--ps_hosts=here",) + self.CLUSTER[1:], "not host:port"),
            (self.CLUSTER + ("--lease=-1s",), "--lease"),
            (self.CLUSTER + ("--threads=-1",), "--threads"),
            (self.CLUSTER + ("--memory_limit=8GB",), "--memory_limit"),
            (self.CLUSTER + ("--replace_after=1h",), "--replace_after"),
            (self.CLUSTER + ("--max_message_mib=4096",), "--max_message_mib"),
        ]:
            with self.subTest(words):
                self.expect_usage_error("ps/parley_ps", flags, words)

    def test_illegal_launch_flags_stop_with_one_clear_line(self):
        for flags, words in [
            (("lunch",), "no command \"lunch\""),
            ((), "what to do?"),
            (("launch", "--ps=0"), "--ps is not in"),
            (("launch", "--worker=3"), "did you mean --workers?"),
            (("launch", "--data_dir=x"), "go behind --"),
            (("inspect",), "which checkpoint?"),
        ]:
            with self.subTest(words):
                self.expect_usage_error("deploy/parley", flags, words)

    def test_tf_config_that_contradicts_the_flags_is_refused(self):
        config = json.dumps({"cluster": {"ps": ["localhost:7"], "worker": ["localhost:8"]},
                             "task": {"type": "worker", "index": 0}})
        self.expect_usage_error("worker/parley_worker", self.CLUSTER, "contradicts TF_CONFIG",
                                env={"TF_CONFIG": config})

    def test_help_and_version(self):
        for program in ("ps/parley_ps", "worker/parley_worker", "deploy/parley"):
            for flag, words in (("--help", "usage: parley"), ("--version", "parley")):
                task = self.start(program, job.program(program), flag)
                self.assertEqual(task.exit_code(), 0, task.output())
                self.assertIn(words, task.output())


class JobsTest(job.JobTest):
    def test_tf_config_describes_a_job(self):
        _, hosts = self.start_ps(2, 2)
        cluster = {"ps": hosts.split(","), "chief": ["localhost:1"], "worker": ["localhost:2"]}
        tasks = [
            self.start(kind, job.program("worker/parley_worker"), f"--data_dir={job.DATA}", *FAST,
                       env={"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": 0}})})
            for kind in ("chief", "worker")
        ]
        for task in tasks:
            self.assertEqual(task.exit_code(), 0, task.output())
        self.assertIn("2 workers, 2 shards", tasks[0].output())

    def test_each_policy_trains_and_reports_its_staleness(self):
        for policy, flags in (("sync", ()), ("async", ()), ("bounded", ("--staleness=1",))):
            with self.subTest(policy):
                path = os.path.join(self.folder, policy)
                self.run_job(3, 3, "--model=mlp", "--batch_size=100", "--steps=150", f"--policy={policy}",
                             f"--summary_json={path}", *flags)
                summary = self.summary(path)
                self.assertGreater(summary["accuracy"], 0.75)
                self.assertEqual((summary["workers"], summary["shards"], summary["steps"]), (3, 3, 150))
                if policy == "sync":
                    self.assertEqual(summary["staleness_max"], 0)
                else:
                    self.assertGreater(summary["staleness_mean"], 0)
                if policy == "bounded":
                    # Two others, each at most one step ahead or behind a worker's own: three rounds each.
                    self.assertLessEqual(summary["staleness_max"], 6)

    def test_workers_train_values_of_their_own(self):
        def run(policy, steps, folder, *flags, ps=2):
            folder = os.path.join(self.folder, folder)
            output = self.run_job(ps, 2, *FAST, f"--policy={policy}", "--optimizer=sgd", "--exchange_every=4",
                                  f"--steps={steps}", f"--checkpoint_dir={folder}", *flags,
                                  ps_flags=(f"--checkpoint_dir={folder}",))
            self.assertIn(f"mlp, {policy}, 2 workers", output)
            return self.digest(folder)

        for policy in ("elastic", "geo"):
            run(policy, 10, policy)
        # The same bits, also for a run that is resumed with another number of shards.
        whole = run("local_sgd", 16, "whole")
        run("local_sgd", 8, "parts", ps=1)
        self.assertEqual(run("local_sgd", 16, "parts", "--resume", ps=3), whole)

    def test_every_transport_ends_with_the_same_parameters(self):
        digests, pushed = {}, {}
        for transport in ("auto", "shm", "grpc"):
            for dtype in ("float32", "bfloat16"):
                with self.subTest(transport=transport, dtype=dtype):
                    folder = os.path.join(self.folder, f"{transport}-{dtype}")
                    path = folder + ".json"
                    self.run_job(2, 2, "--model=mlp", "--batch_size=32", "--steps=20", f"--transport={transport}",
                                 f"--push_dtype={dtype}", f"--pull_dtype={dtype}", f"--checkpoint_dir={folder}",
                                 f"--summary_json={path}", ps_flags=(f"--checkpoint_dir={folder}",))
                    digests.setdefault(dtype, set()).add(self.digest(folder))
                    pushed.setdefault(dtype, set()).add(self.summary(path)["bytes_pushed"])
        self.assertEqual(len(digests["float32"]), 1)
        self.assertEqual(len(digests["bfloat16"]), 1)
        self.assertNotEqual(digests["float32"], digests["bfloat16"])
        self.assertEqual({2 * bytes for bytes in pushed["bfloat16"]}, pushed["float32"])

    def test_a_wrong_way_to_travel_is_refused(self):
        for flag in ("--transport=tcp", "--push_dtype=int8", "--pull_dtype=double"):
            with self.subTest(flag):
                task = self.start("worker", job.program("worker/parley_worker"), *FlagsTest.CLUSTER,
                                  f"--data_dir={job.DATA}", flag)
                self.assertEqual(task.exit_code(), 2, task.output())
                self.assertIn(flag.split("=")[0][2:], task.output())

    def test_csv_of_numbers_is_learned(self):
        path = os.path.join(self.folder, "line.csv")
        with open(path, "w", encoding="utf-8") as file:
            file.write("x,y\n")
            for i in range(500):
                x = (i * 37 % 500) / 250 - 1
                file.write(f"{x},{2 * x + 10}\n")
        output = self.run_job(1, 2, "--model=linear", f"--data_dir={path}", "--regression", "--batch_size=10",
                              "--epochs=30", "--optimizer=sgd", "--learning_rate=0.05")
        self.assertLess(float(re.search(r"(?m)^\| test loss +([0-9.]+)", output).group(1)), 0.01)
        self.assertNotIn("accuracy", output)

    def test_bad_data_is_named(self):
        bad = os.path.join(self.folder, "bad.csv")
        with open(bad, "w", encoding="utf-8") as file:
            file.write("1,0\n2,x\n")
        swapped = os.path.join(self.folder, "swapped")
        os.mkdir(swapped)
        for ours, theirs in (("images-idx3", "labels-idx1"), ("labels-idx1", "images-idx3")):
            for part in ("train", "t10k"):
                os.symlink(f"{job.DATA}/{part}-{theirs}-ubyte.gz", f"{swapped}/{part}-{ours}-ubyte.gz")
        for data, words in ((bad, "bad.csv:2:2"), (swapped, "are these labels?"),
                            ("/nowhere", "/nowhere"), (self.folder, "train.csv")):
            with self.subTest(words):
                task = self.start("worker", job.program("worker/parley_worker"), *FlagsTest.CLUSTER,
                                  f"--data_dir={data}")
                self.assertEqual(task.exit_code(), 1, task.output())
                self.assertIn(words, task.output())

    def test_a_summary_that_cannot_be_written_is_noticed_at_once(self):
        task = self.start("worker", job.program("worker/parley_worker"), *FlagsTest.CLUSTER, f"--data_dir={job.DATA}",
                          "--summary_json=/nowhere/summary.json")
        self.assertEqual(task.exit_code(), 1, task.output())
        self.assertIn("cannot write --summary_json=/nowhere/summary.json", task.output())

    def test_a_diverging_job_is_refused_its_gradient_and_ends(self):
        _, hosts = self.start_ps(1, 1)
        worker = self.start_worker(hosts, 0, 1, "--model=mlp", "--optimizer=sgd", "--learning_rate=1e20",
                                   "--steps=1000")
        self.assertEqual(worker.exit_code(), 1)
        self.assertRegex(worker.output(), "step 1: ps:0: .*parameter .*: the gradient has a NaN or an infinity")


class LaunchTest(job.JobTest):
    def test_a_launched_job_runs_to_its_end(self):
        summary = os.path.join(self.folder, "summary.json")
        launch = self.start("launch", job.program("deploy/parley"), "launch", "--ps=3", "--workers=2", "--",
                            f"--data_dir={job.DATA}", f"--summary_json={summary}",
                            f"--checkpoint_dir={self.folder}", *FAST)
        self.assertEqual(launch.exit_code(), 0, launch.output())
        self.assertRegex(launch.output(), r"(?m)^progress: epoch 1/1 step 10/10 loss")
        self.assertRegex(launch.output(), r"(?m)^\| test accuracy ")
        self.assertRegex(launch.output(), r"(?m)^\[ps:2\] ps:2 listening on")
        self.assertEqual(self.summary(summary)["shards"], 3)
        self.assertIn("dense1/kernel", self.inspect(self.folder))

    def test_a_failing_worker_is_reported_with_its_last_line(self):
        launch = self.start("launch", job.program("deploy/parley"), "launch", "--", "--data_dir=/nowhere")
        self.assertEqual(launch.exit_code(), 1)
        self.assertRegex(launch.output(), r"parley launch: worker:\d failed: exit code 1; its last line: .*/nowhere")


class ExamplesTest(job.JobTest):
    def test_linear_regression_finds_the_line(self):
        task = self.start("example", job.program("examples/linear_regression"))
        self.assertEqual(task.exit_code(), 0, task.output())
        lines = task.output().splitlines()[:-1]
        self.assertEqual(len(lines), 10)
        w, b = map(float, re.search(r"epoch 10: w = ([0-9.]+), b = ([0-9.]+)", lines[-1]).groups())
        self.assertAlmostEqual(w, 1.95, delta=0.1)
        self.assertAlmostEqual(b, 10.0, delta=0.1)

    def test_one_process_gives_the_bits_of_many(self):
        embedded = os.path.join(self.folder, "embedded")
        tasks = os.path.join(self.folder, "tasks")
        example = self.start("example", job.program("examples/fashion_mnist"), "--model=mlp", "--steps=10",
                             "--batch_size=32", "--seed=2", "--shards=3", f"--checkpoint_dir={embedded}")
        self.assertEqual(example.exit_code(), 0, example.output())
        self.run_job(2, 2, *FAST, "--optimizer=momentum", "--learning_rate=0.05", f"--checkpoint_dir={tasks}",
                     ps_flags=(f"--checkpoint_dir={tasks}",))
        self.assertEqual(self.digest(embedded), self.digest(tasks))

    def test_the_trainer_works_against_real_shards(self):
        servers, hosts = self.start_ps(2, 1)
        example = self.start("example", job.program("examples/fashion_mnist"), f"--ps_hosts={hosts}",
                             "--workers=1", "--model=linear", "--steps=100")
        self.assertEqual(example.exit_code(), 0, example.output())
        self.assertIn("test accuracy 0.", example.output())
        for server in servers:
            self.assertEqual(server.exit_code(), 0)

    def ctr(self, *flags, code=0):
        task = self.start("ctr", job.program("examples/ctr"), "--examples=20000", "--epochs=1", *flags)
        self.assertEqual(task.exit_code(), code, task.output())
        return task.output()

    def test_ctr_learns_the_same_with_rows_on_the_disk(self):
        many = ("--fields=8", "--ids=100000", "--zipf=0.8", "--width=16")
        spilled = ("--memory_limit_mb=1", f"--spill_dir={self.folder}")
        found = [re.search("test loss .*", self.ctr(*many, *more)).group() for more in ((), spilled)]
        self.assertEqual(found[0], found[1])

    def test_ctr_says_which_flag_is_wrong(self):
        for flags, words in [
            (("--rows_dtype=int4",), "--rows_dtype: int4 is none of"),
            (("--memory_limit_mb=1",), "--memory_limit_mb and --spill_dir go together"),
            (("--memory_limit_mb=1", "--spill_dir=/dev/null/x", "--workers=1"), "/dev/null/x"),
        ]:
            with self.subTest(words):
                self.assertIn(words, self.ctr(*flags, code=1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
