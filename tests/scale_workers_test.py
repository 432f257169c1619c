"""Workers are added to a running job, and taken out of it, as an operator does it."""

import signal
import unittest

from tests import job

FLAGS = ("--model=linear", "--batch_size=16", "--steps=1000000000", "--learning_rate=0.01", "--seed=3")


class ScaleWorkersTest(job.JobTest):
    def scale(self, hosts, workers, *flags):
        return self.start(f"scale to {workers}", job.program("deploy/parley"), "scale", f"--ps_hosts={hosts}",
                          f"--workers={workers}", *flags)

    def scaled(self, hosts, workers):
        task = self.scale(hosts, workers)
        self.assertEqual(task.exit_code(), 0, task.output())
        task.wait_for(f"the job has {workers} worker")
        return task

    def stop(self, hosts):
        task = self.start("stop", job.program("deploy/parley"), "stop", f"--ps_hosts={hosts}")
        self.assertEqual(task.exit_code(), 0, task.output())

    def status(self, hosts):
        task = self.start("status", job.program("deploy/parley"), "status", f"--ps_hosts={hosts}")
        self.assertEqual(task.exit_code(), 0, task.output())
        return task.output()

    def test_the_launcher_starts_the_workers_that_are_asked_for(self):
        launch = self.start("launch", job.program("deploy/parley"), "launch", "--ps=2", "--workers=2", "--", *FLAGS,
                            f"--data_dir={job.DATA}")
        hosts = launch.wait_for("parley status --ps_hosts=([^ ]+)").group(1)
        launch.wait_for("^progress: ")
        self.scaled(hosts, 4)
        status = self.status(hosts)
        self.assertIn("4 workers", status)
        self.assertRegex(status, r"\n +3  live ")
        self.scaled(hosts, 1)
        for worker in (1, 2, 3):
            launch.wait_for(f"worker:{worker} left before step")
        self.scaled(hosts, 2)
        self.stop(hosts)
        self.assertEqual(launch.exit_code(), 0, launch.output())

    def test_workers_are_taken_in_when_all_of_them_are_there(self):
        servers, hosts = self.start_ps(2, 2)
        workers = [self.start_worker(hosts, i, 2, *FLAGS) for i in range(2)]
        workers[0].wait_for("^progress: ")
        scale = self.scale(hosts, 4)
        scale.wait_for("waiting for worker:2, worker:3 to be started")
        workers.append(self.start_worker(hosts, 2, 4, *FLAGS))
        scale.wait_for("waiting for worker:3 to be started")
        workers.append(self.start_worker(hosts, 3, 4, *FLAGS))
        self.assertEqual(scale.exit_code(), 0, scale.output())
        # One of them is killed, and started again as it was.
        workers[3].signal(signal.SIGKILL)
        workers[3].exit_code()
        workers[3] = self.start_worker(hosts, 3, 4, *FLAGS)
        self.scaled(hosts, 3)
        self.assertEqual(workers[3].exit_code(), 0, workers[3].output())
        workers[3].wait_for("worker:3 left before step .*, for an operator took it out of the job")
        self.stop(hosts)
        for task in servers + workers[:3]:
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")

    def test_a_shard_that_comes_back_knows_how_many_workers_there_are(self):
        servers, hosts = self.start_ps(1, 1, "--durability=disk", f"--durable_dir={self.folder}/log")
        workers = [self.start_worker(hosts, 0, 1, *FLAGS)]
        workers[0].wait_for("^progress: ")
        scale = self.scale(hosts, 2)
        scale.wait_for("to be started")
        workers.append(self.start_worker(hosts, 1, 2, *FLAGS))
        self.assertEqual(scale.exit_code(), 0, scale.output())
        servers[0].signal(signal.SIGKILL)
        servers[0].exit_code()
        servers[0] = self.start("ps:0", job.program("ps/parley_ps"), f"--ps_hosts={hosts}",
                                "--worker_hosts=localhost:0", "--task_index=0", "--durability=disk",
                                f"--durable_dir={self.folder}/log")
        servers[0].wait_for("listening on")
        self.scaled(hosts, 2)  # it has them
        self.scaled(hosts, 1)
        self.assertEqual(workers[1].exit_code(), 0, workers[1].output())
        self.stop(hosts)
        for task in servers + workers[:1]:
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")

    def test_a_scaled_job_is_resumed_with_the_workers_that_it_had(self):
        folder = f"--checkpoint_dir={self.folder}"
        servers, hosts = self.start_ps(2, 1, folder)
        workers = [self.start_worker(hosts, 0, 1, *FLAGS, folder)]
        workers[0].wait_for("^progress: ")
        scale = self.scale(hosts, 2)
        scale.wait_for("to be started")
        workers.append(self.start_worker(hosts, 1, 2, *FLAGS, folder))
        self.assertEqual(scale.exit_code(), 0, scale.output())
        self.stop(hosts)  # with a checkpoint
        for task in servers + workers:
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")
        servers, hosts = self.start_ps(1, 2, folder)
        workers = [self.start_worker(hosts, i, 2, *FLAGS, folder, "--resume") for i in range(2)]
        workers[0].wait_for("^progress: ")
        self.scaled(hosts, 2)
        self.stop(hosts)
        for task in servers + workers:
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")

    def test_what_makes_no_sense_is_one_line(self):
        _, hosts = self.start_ps(1, 1)
        worker = self.start_worker(hosts, 0, 1, *FLAGS)
        worker.wait_for("^progress: ")
        task = self.start("scale", job.program("deploy/parley"), "scale", f"--ps_hosts={hosts}")
        self.assertEqual(task.exit_code(), 2, task.output())
        self.assertIn("--workers", task.output())
        for workers in (0, -3, 1 << 20):
            task = self.scale(hosts, workers)
            self.assertEqual(task.exit_code(), 2, task.output())
            self.assertIn(f"--workers={workers} is not in [1, 16384]", task.output())
        task = self.scale(hosts, 2, "--wait=1s")  # nobody starts it
        self.assertEqual(task.exit_code(), 1, task.output())
        self.assertIn("after 1s still waiting for worker:1 to be started", task.output())
        stranger = self.start_worker(hosts, 5, 6, *FLAGS)
        self.assertEqual(stranger.exit_code(), 1, stranger.output())
        self.assertIn("parley scale", stranger.output())
        self.stop(hosts)
        self.assertEqual(worker.exit_code(), 0, worker.output())


if __name__ == "__main__":
    unittest.main()
