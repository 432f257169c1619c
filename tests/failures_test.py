"""Nothing hangs: whatever is missing, killed or doubled, every task ends within its deadline and says who was to blame."""

import os
import signal
import socket
import unittest

from tests import job

SMALL = ("--model=linear", "--batch_size=32", "--optimizer=sgd", "--learning_rate=0.01", "--seed=3")
LONG = SMALL + ("--steps=1000000",)


def refused_port():
    """A port where nobody listens."""
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


class FailuresTest(job.JobTest):
    def expect_failure(self, task, *words):
        code = task.exit_code()
        self.assertNotIn(code, (0, -signal.SIGABRT, -signal.SIGSEGV), task.output())
        last = [line for line in task.output().splitlines() if line != "<end of output>"][-1]
        for word in words:
            self.assertIn(word, last)

    def test_a_finished_job_leaves_no_task(self):
        self.run_job(2, 2, *SMALL, "--steps=5")

    def test_a_missing_shard_is_named(self):
        _, hosts = self.start_ps(1, 1)
        hosts += f",localhost:{refused_port()}"
        worker = self.start_worker(hosts, 0, 1, *LONG, "--startup_timeout=2s")
        self.expect_failure(worker, "ps:1", "worker:0")

    def test_a_wrong_port_is_named(self):
        # Something listens there, but it is no parameter server.
        with socket.socket() as stranger:
            stranger.bind(("localhost", 0))
            stranger.listen()
            worker = self.start_worker(
                f"localhost:{stranger.getsockname()[1]}", 0, 1, *LONG, "--startup_timeout=2s"
            )
            self.expect_failure(worker, "ps:0", "worker:0")

    def test_a_missing_chief_is_named(self):
        _, hosts = self.start_ps(1, 2)
        worker = self.start_worker(hosts, 1, 2, *LONG, "--startup_timeout=2s")
        self.expect_failure(worker, "worker:0", "ps:0")

    def test_a_missing_worker_is_named(self):
        _, hosts = self.start_ps(1, 2)
        chief = self.start_worker(hosts, 0, 2, *LONG, "--timeout=5s")
        self.expect_failure(chief, "worker:1 (has not joined)")

    def test_a_killed_worker_is_named(self):
        _, hosts = self.start_ps(2, 2)
        chief = self.start_worker(hosts, 0, 2, *LONG, "--timeout=5s")
        other = self.start_worker(hosts, 1, 2, *LONG, "--timeout=5s")
        chief.wait_for("progress: ")
        other.signal(signal.SIGKILL)
        self.expect_failure(chief, "worker:1 (last heard")

    def test_a_stopped_worker_is_named(self):
        _, hosts = self.start_ps(1, 2)
        chief = self.start_worker(hosts, 0, 2, *LONG, "--timeout=5s")
        other = self.start_worker(hosts, 1, 2, *LONG, "--timeout=5s")
        chief.wait_for("progress: ")
        other.signal(signal.SIGSTOP)
        self.expect_failure(chief, "worker:1 (last heard")

    def test_a_killed_worker_does_not_stop_an_asynchronous_job(self):
        servers, hosts = self.start_ps(1, 2)
        flags = SMALL + ("--policy=async", "--steps=400", "--finish_timeout=3s")
        chief = self.start_worker(hosts, 0, 2, *flags)
        other = self.start_worker(hosts, 1, 2, *LONG, "--policy=async")
        chief.wait_for("progress: ")
        other.signal(signal.SIGKILL)
        chief.exit_code()
        self.assertIn("worker:1", chief.output())

    def test_a_killed_shard_is_named(self):
        servers, hosts = self.start_ps(2, 1)
        worker = self.start_worker(hosts, 0, 1, *LONG, "--timeout=5s")
        worker.wait_for("progress: ")
        servers[1].signal(signal.SIGKILL)
        self.expect_failure(worker, "ps:1")

    def test_a_stopped_shard_is_named(self):
        servers, hosts = self.start_ps(2, 1)
        worker = self.start_worker(hosts, 0, 1, *LONG, "--timeout=5s")
        worker.wait_for("progress: ")
        servers[1].signal(signal.SIGSTOP)
        self.expect_failure(worker, "ps:1")

    def test_a_failing_worker_fails_a_synchronous_job_at_once(self):
        _, hosts = self.start_ps(1, 2)
        chief = self.start_worker(hosts, 0, 2, *LONG, "--timeout=100s")
        other = self.start_worker(hosts, 1, 2, *LONG, "--timeout=100s")
        chief.wait_for("progress: ")
        other.signal(signal.SIGINT)
        self.assertEqual(other.exit_code(), 130)
        self.expect_failure(chief, "worker:1")

    def test_a_second_worker_with_the_same_index_is_refused(self):
        _, hosts = self.start_ps(1, 2, "--replace_after=2s")
        chief = self.start_worker(hosts, 0, 2, *LONG)
        other = self.start_worker(hosts, 1, 2, *LONG)
        chief.wait_for("progress: ")
        second = self.start_worker(hosts, 1, 2, *LONG)
        self.expect_failure(second, "another task is worker:1")
        self.assertIsNone(chief.process.poll())
        self.assertIsNone(other.process.poll())

    def test_a_second_shard_with_the_same_index_is_refused(self):
        _, hosts = self.start_ps(1, 1)
        second = self.start(
            "ps:0 again",
            job.program("ps/parley_ps"),
            f"--ps_hosts={hosts}",
            "--worker_hosts=localhost:0",
            "--task_index=0",
        )
        self.expect_failure(second, "ps:0", hosts)

    def test_shards_of_another_order_are_refused(self):
        _, hosts = self.start_ps(2, 1)
        swapped = ",".join(reversed(hosts.split(",")))
        worker = self.start_worker(swapped, 0, 1, *LONG)
        self.expect_failure(worker, "the caller takes it for ps:")

    def test_workers_with_different_jobs_are_refused(self):
        _, hosts = self.start_ps(1, 2)
        self.start_worker(hosts, 0, 2, *LONG)
        other = self.start_worker(hosts, 1, 2, *LONG[:-2], "--seed=4", "--steps=1000000")
        self.expect_failure(other, "seed")

    def test_ctrl_c_ends_a_shard_and_a_worker(self):
        servers, hosts = self.start_ps(1, 1)
        worker = self.start_worker(hosts, 0, 1, *LONG)
        worker.wait_for("progress: ")
        worker.signal(signal.SIGINT)
        self.assertEqual(worker.exit_code(), 130)
        self.assertEqual(servers[0].exit_code(), 0)
        alone, _ = self.start_ps(1, 1)
        alone[0].signal(signal.SIGINT)
        self.assertEqual(alone[0].exit_code(), 130)

    def test_keep_serving_stays_when_the_job_is_done(self):
        servers, hosts = self.start_ps(1, 1, "--keep_serving")
        worker = self.start_worker(hosts, 0, 1, *SMALL, "--steps=3")
        self.assertEqual(worker.exit_code(), 0, worker.output())
        servers[0].wait_for("the job is done")
        self.assertIsNone(servers[0].process.poll())
        servers[0].signal(signal.SIGTERM)
        self.assertEqual(servers[0].exit_code(), 0)


class LaunchTest(job.JobTest):
    def launch(self, *flags):
        return self.start("launch", job.program("deploy/parley"), "launch", *flags)

    def test_a_killed_task_ends_the_job_and_is_named(self):
        launch = self.launch("--ps=2", "--workers=2", "--", f"--data_dir={job.DATA}", *LONG)
        launch.wait_for("progress: ")
        pids = self.children(launch.process.pid)
        self.assertEqual(len(pids), 4)
        os.kill(pids["worker:1"], signal.SIGKILL)
        self.assertEqual(launch.exit_code(), 1)
        self.assertIn("worker:1 failed", launch.output())
        self.assert_gone(pids)

    def test_ctrl_c_leaves_no_process(self):
        launch = self.launch("--ps=2", "--workers=2", "--", f"--data_dir={job.DATA}", *LONG)
        launch.wait_for("progress: ")
        pids = self.children(launch.process.pid)
        self.assertEqual(len(pids), 4)
        launch.signal(signal.SIGINT)
        self.assertEqual(launch.exit_code(), 130)
        self.assert_gone(pids)

    def children(self, parent):
        """Task name -> pid."""
        result = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                    if int(file.read().rsplit(")", 1)[1].split()[1]) != parent:
                        continue
                with open(f"/proc/{entry}/cmdline", encoding="utf-8") as file:
                    args = file.read().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            index = next((a.split("=")[1] for a in args if a.startswith("--task_index=")), None)
            result[("ps:" if "parley_ps" in args[0] else "worker:") + str(index)] = int(entry)
        return result

    def assert_gone(self, pids):
        for name, pid in pids.items():
            with self.assertRaises(ProcessLookupError, msg=f"{name} still lives"):
                os.kill(pid, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
