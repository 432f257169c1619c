"""SIGTERM ends a job in order: the chief saves whole steps of all workers, all leave, and who was asked exits with 0."""

import os
import re
import signal
import unittest

import grpc

from tests import job

SMALL = ("--model=linear", "--batch_size=32", "--optimizer=momentum", "--learning_rate=0.01", "--seed=3")
LONG = SMALL + ("--steps=1000000",)


def health(address, service):
    """The answer of a health check: 1 is SERVING, 2 NOT_SERVING."""
    name = service.encode()
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        answer = check(bytes([0x0A, len(name)]) + name, timeout=job.DEADLINE)
    return {b"\x08\x01": "SERVING", b"\x08\x02": "NOT_SERVING"}[answer]


class DrainTest(job.JobTest):
    def test_a_job_that_is_told_to_stop_has_saved_whole_steps(self):
        folder = f"--checkpoint_dir={self.folder}/stopped"
        servers, hosts = self.start_ps(2, 2, folder)
        workers = [self.start_worker(hosts, i, 2, *LONG, folder) for i in range(2)]
        workers[0].wait_for("progress: ")
        for task in (workers[1], servers[0], workers[0], servers[1]):
            task.signal(signal.SIGTERM)
        for task in workers + servers:
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")
        step = workers[0].wait_for(r"worker:0 stopped before step (\d+), as it was asked to").group(1)
        # The same as a job that has no more steps.
        self.run_job(1, 2, *SMALL, f"--steps={step}", f"--checkpoint_dir={self.folder}/whole",
                     ps_flags=(f"--checkpoint_dir={self.folder}/whole",))
        self.assertEqual(self.digest(f"{self.folder}/stopped"), self.digest(f"{self.folder}/whole"))

    def test_a_ps_task_that_is_told_to_stop_has_the_job_end(self):
        folder = f"--checkpoint_dir={self.folder}/stopped"
        servers, hosts = self.start_ps(2, 1, folder)
        worker = self.start_worker(hosts, 0, 1, *LONG, folder)
        worker.wait_for("progress: ")
        self.assertEqual(health(hosts.split(",")[1], "readiness"), "SERVING")
        worker.signal(signal.SIGSTOP)
        servers[1].signal(signal.SIGTERM)
        job.wait_until(lambda: health(hosts.split(",")[1], "readiness") == "NOT_SERVING", "ps:1 stays ready")
        self.assertEqual(health(hosts.split(",")[1], "liveness"), "SERVING")
        self.assertEqual(health(hosts.split(",")[0], "readiness"), "SERVING")
        worker.signal(signal.SIGCONT)
        # It was not asked itself, and may be started again with --resume.
        self.assertEqual(worker.exit_code(), 1)
        self.assertIn("for a ps task was asked to stop", worker.output())
        for task in servers:
            self.assertEqual(task.exit_code(), 0, task.output())
        self.inspect(f"{self.folder}/stopped")

    def test_a_ps_task_without_workers_stops_at_once(self):
        servers, _ = self.start_ps(1, 1)
        servers[0].signal(signal.SIGTERM)
        self.assertEqual(servers[0].exit_code(), 0)

    def test_a_ps_task_does_not_wait_for_ever(self):
        servers, hosts = self.start_ps(1, 1, "--drain_timeout=1s")
        worker = self.start_worker(hosts, 0, 1, *LONG)
        worker.wait_for("progress: ")
        worker.signal(signal.SIGSTOP)
        servers[0].signal(signal.SIGTERM)
        self.assertEqual(servers[0].exit_code(), 143)

    def test_a_worker_that_stops_alone_leaves_the_others_training(self):
        _, hosts = self.start_ps(1, 2)
        chief = self.start_worker(hosts, 0, 2, *LONG)
        other = self.start_worker(hosts, 1, 2, *LONG, "--drain_timeout=1s")
        chief.wait_for("progress: ")
        other.signal(signal.SIGTERM)
        self.assertEqual(other.exit_code(), 0, other.output())
        at = int(re.search(r"stopped before step (\d+)", other.output()).group(1))
        job.wait_until(lambda: max(map(int, re.findall(r"step (\d+)/", chief.output()))) > at,
                       f"the chief is not beyond step {at}:\n{chief.output()}")
        chief.signal(signal.SIGTERM)
        self.assertEqual(chief.exit_code(), 0, chief.output())


class LaunchedDrainTest(job.JobTest):
    def test_the_launcher_passes_it_on(self):
        folder = os.path.join(self.folder, "checkpoints")
        launch = self.start("launch", job.program("deploy/parley"), "launch", "--ps=1", "--workers=2", "--",
                            f"--data_dir={job.DATA}", f"--checkpoint_dir={folder}", *LONG)
        launch.wait_for("progress: ")
        launch.signal(signal.SIGTERM)
        self.assertEqual(launch.exit_code(), 143)
        self.assertIn("worker:0 stopped before step", launch.output())
        self.inspect(folder)


if __name__ == "__main__":
    unittest.main(verbosity=2)
