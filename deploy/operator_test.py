"""parley status, top, checkpoint, stop and inspect against jobs that run."""

import json
import os
import re
import signal
import unittest

from tests import job

PATIENT = "--timeout=60s"  # on a machine that does much else
LONG = ("--model=linear", "--batch_size=32", "--learning_rate=0.01", "--seed=3", "--steps=1000000")


class OperatorTest(job.JobTest):
    def parley(self, *arguments, code=0):
        """What `parley ...` prints; it must end with `code`."""
        task = self.start("parley " + arguments[0], job.program("deploy/parley"), *arguments)
        self.assertEqual(task.exit_code(), code, task.output())
        return task.output().replace("<end of output>", "").strip()

    def start_job(self, ps, workers, *flags, ps_flags=()):
        servers, hosts = self.start_ps(ps, workers, *ps_flags)
        tasks = [self.start_worker(hosts, i, workers, *LONG, *flags) for i in range(workers)]
        tasks[0].wait_for("progress: ")
        return servers, tasks, hosts

    def status(self, hosts, code=0):
        return json.loads(self.parley("status", f"--ps_hosts={hosts}", "--json", PATIENT, code=code))

    def test_status_shows_each_shard_and_worker(self):
        servers, workers, hosts = self.start_job(2, 2)
        # Workers report with their next heartbeat.
        job.wait_until(lambda: all(w["loss"] is not None for w in self.status(hosts)["workers"]), "no worker reports")
        seen = self.status(hosts)
        self.assertEqual(seen["job"], "parley")
        self.assertEqual([s["task"] for s in seen["shards"]], ["ps:0", "ps:1"])
        self.assertEqual({s["state"] for s in seen["shards"]}, {"serving"})
        self.assertEqual({w["state"] for w in seen["workers"]}, {"live"})
        self.assertGreater(sum(s["bytes"] for s in seen["shards"]), 4 * 7840)
        self.assertEqual(seen["workers"][1]["steps"], 1000000)
        self.assertGreater(seen["workers"][1]["samples_per_second"], 0)
        self.assertLess(seen["workers"][1]["silence_seconds"], 60)
        job.wait_until(lambda: self.status(hosts)["version"] > seen["version"], "no rounds")
        text = self.parley("status", f"--ps_hosts={hosts}", PATIENT)
        self.assertRegex(text, r"job parley: 2 of 2 shards, 2 workers, version \d+")
        self.assertNotIn("\033", text)
        # One that is silent has a line of its own, and the others are shown.
        servers[1].signal(signal.SIGSTOP)
        text = self.parley("status", f"--ps_hosts={hosts}", "--timeout=2s", code=1)
        self.assertRegex(text, r"1 +localhost:\d+  (silent|unreachable) .*ps:1 at localhost:\d+: ")
        self.assertRegex(text, r"0 .*localhost:\d+  ")
        servers[1].kill()
        seen = self.status(hosts, code=1)
        self.assertEqual([s["state"] for s in seen["shards"]], ["serving", "unreachable"])
        self.assertIn("ps:1 at localhost", seen["shards"][1]["error"])
        for task in workers:
            task.kill()

    def test_a_worker_whose_lease_ended_is_silent_until_it_is_back(self):
        servers, workers, hosts = self.start_job(1, 2, ps_flags=("--lease=3s",))
        workers[1].signal(signal.SIGSTOP)
        servers[0].wait_for(r"ps:0: nothing was heard of worker:1, at step \d+, for its lease, 3s: it is not waited for")
        states = lambda: [w["state"] for w in self.status(hosts)["workers"]]
        job.wait_until(lambda: states() == ["live", "silent"], "worker:1 is not silent")
        self.assertRegex(self.parley("status", f"--ps_hosts={hosts}", PATIENT), r"\n +1  silent ")
        workers[1].signal(signal.SIGCONT)
        servers[0].wait_for(r"ps:0: worker:1 is back, at step \d+")
        job.wait_until(lambda: states() == ["live", "live"], "worker:1 is not live")
        for task in workers:
            task.kill()

    def test_a_job_that_is_not_there_or_not_declared(self):
        port = job.free_ports(1)
        text = self.parley("status", f"--ps_hosts=localhost:{port}", code=1)
        self.assertIn("unreachable", text)
        self.assertIn("not reached", self.parley("top", f"--ps_hosts=localhost:{port}", code=1))
        self.assertIn("not reached", self.parley("checkpoint", f"--ps_hosts=localhost:{port}", code=1))
        self.assertIn("not reached", self.parley("stop", f"--ps_hosts=localhost:{port}", code=1))
        servers, hosts = self.start_ps(1, 1)
        self.assertEqual(self.status(hosts)["shards"][0]["state"], "waiting")
        self.assertIn("no job is declared here", self.parley("checkpoint", f"--ps_hosts={hosts}", PATIENT, code=1))
        self.assertIn("job other is not declared", self.parley("status", f"--ps_hosts={hosts}", PATIENT, "--job=other", code=1))
        self.parley("stop", f"--ps_hosts={hosts}", PATIENT)
        self.assertEqual(servers[0].exit_code(), 0)

    def test_top_says_rates_and_ends_with_the_job(self):
        servers, workers, hosts = self.start_job(1, 1)
        top = self.start("top", job.program("deploy/parley"), "top", f"--ps_hosts={hosts}", "--interval=200ms", PATIENT)
        rate = r"version \d+, (?!0\.0 )[0-9.]+ rounds/s, pushed \S+ \wB/s, pulled \S+ \wB/s.* 1 of 1 workers, 1 of 1 shards"
        top.wait_for(rate)
        workers[0].signal(signal.SIGTERM)
        self.assertEqual(top.exit_code(), 0, top.output())
        top.wait_for("the job has ended")
        self.assertEqual(servers[0].exit_code(), 0)

    def test_a_checkpoint_that_is_asked_for_is_one_cut(self):
        folder = f"--checkpoint_dir={self.folder}/c"
        _, _, hosts = self.start_job(2, 2, folder, ps_flags=(folder,))
        said = self.parley("checkpoint", f"--ps_hosts={hosts}", PATIENT)
        match = re.match(rf"checkpoint of step (\d+) in {self.folder}/c: (\S+)$", said)
        self.assertTrue(match, said)
        self.assertIn(f"round: {match.group(1)}\n", self.inspect(os.path.join(self.folder, "c", match.group(2))))
        self.assertEqual(self.status(hosts)["checkpoint"]["manifest"], match.group(2))
        again = self.parley("checkpoint", f"--ps_hosts={hosts}", PATIENT)
        self.assertGreater(int(re.search(r"step (\d+)", again).group(1)), int(match.group(1)))
        # What it holds has the bits of a job that ended there.
        step = re.search(r"step (\d+)", again).group(1)
        digest = self.digest(os.path.join(self.folder, "c", re.search(r": (\S+)$", again).group(1)))
        self.run_job(1, 2, *LONG[:-1], f"--steps={step}", f"--checkpoint_dir={self.folder}/whole",
                     ps_flags=(f"--checkpoint_dir={self.folder}/whole",))
        self.assertEqual(digest, self.digest(f"{self.folder}/whole"))

    def test_a_checkpoint_that_cannot_be_made_says_why_and_training_goes_on(self):
        _, workers, hosts = self.start_job(1, 1)
        said = self.parley("checkpoint", f"--ps_hosts={hosts}", PATIENT, code=1)
        self.assertIn("ps:0 was started without a checkpoint folder", said)
        workers[0].kill()
        _, workers, hosts = self.start_job(1, 1, ps_flags=(f"--checkpoint_dir={self.folder}/c",))
        said = self.parley("checkpoint", f"--ps_hosts={hosts}", PATIENT, code=1)
        self.assertIn("worker:0, the chief, was started without a folder", said)
        version = self.status(hosts)["version"]
        job.wait_until(lambda: self.status(hosts)["version"] > version, "training does not go on")

    def test_stop_ends_all_tasks_with_zero(self):
        folder = f"--checkpoint_dir={self.folder}/c"
        servers, workers, hosts = self.start_job(2, 2, folder, ps_flags=(folder, "--durability=disk"))
        said = self.parley("stop", f"--ps_hosts={hosts}", PATIENT)
        self.assertIn("asked ps:0, ps:1 to end the job", said)
        self.assertIn("the job has ended", said)
        for task in workers + servers:
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")
        for worker in workers:
            worker.wait_for(r"worker:\d stopped before step \d+, for an operator stopped the job")
        step = workers[0].wait_for(r"stopped before step (\d+)").group(1)
        self.assertIn(f"step: {step};", self.inspect(f"{self.folder}/c"))

    def test_inspect_shows_what_a_running_job_holds(self):
        _, _, hosts = self.start_job(2, 1)
        said = self.parley("inspect", f"--ps_hosts={hosts}", PATIENT)
        self.assertRegex(said, r"running job parley\n")
        self.assertRegex(said, r"\[10,784\]|\[784,10\]")
        self.assertRegex(said, r"workers: 1; shards: 2\nversion: \d+")

    def test_jobs_are_found_in_etcd(self):
        etcd = self.start_etcd()
        where = (f"--etcd={etcd}", "--job=mine")
        self.assertIn("knows no ps task of job mine", self.parley("status", PATIENT, *where, code=1))
        cluster = (*where, "--ps=2", "--workers=1")
        servers = [self.start(f"ps:{i}", job.program("ps/parley_ps"), *cluster, f"--task_index={i}",
                              "--listen=localhost:0") for i in range(2)]
        worker = self.start("worker:0", job.program("worker/parley_worker"), *cluster, "--task_index=0",
                            f"--data_dir={job.DATA}", *LONG)
        worker.wait_for("progress: ")
        self.assertIn("job mine: 2 of 2 shards, 1 workers", self.parley("status", PATIENT, *where))
        self.assertIn("the job has ended", self.parley("stop", PATIENT, *where))
        for task in [worker] + servers:
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")


class CommandLineTest(job.JobTest):
    def test_what_makes_no_sense_is_refused(self):
        for arguments, error in (
            (("status",), "which job? --ps_hosts or --etcd"),
            (("status", "--ps_hosts=a:1", "--etcd=b:2"), "contradict"),
            (("status", "--ps_hosts=a"), "'a' is not host:port"),
            (("status", "--ps_hosts=a:1", "--timeout=0s"), "--timeout=0s is not a duration"),
            (("top", "--ps_hosts=a:1", "--interval=x"), "--interval=x is not a duration"),
            (("top", "--ps_hosts=a:1", "--count=-1"), "--count is negative"),
            (("checkpoint", "--ps_hosts=a:1", "--wait=0"), "--wait=0 is not a duration"),
            (("stop", "--etcd=a:1", "--job=a/b"), "--job"),
            (("inspect", "folder", "--ps_hosts=a:1"), "a checkpoint, or a running job?"),
            (("inspect",), "which checkpoint?"),
        ):
            task = self.start("parley", job.program("deploy/parley"), *arguments)
            self.assertEqual(task.exit_code(), 2, f"{arguments}:\n{task.output()}")
            self.assertIn(error, task.output())


if __name__ == "__main__":
    unittest.main(verbosity=2)
