"""A job is trained by each way of launching it: tasks that find each other in etcd, mpirun, TF_CONFIG as Kubeflow sets it."""

import json
import os
import random
import re
import signal
import unittest

import grpc

from tests import job

TRAIN = (f"--data_dir={job.DATA}", "--model=mlp", "--steps=200", "--seed=1")
PS = job.program("ps/parley_ps")
WORKER = job.program("worker/parley_worker")


def put(etcd, key, value):
    """Writes into etcd."""
    field = lambda tag, text: bytes([tag, len(text)]) + text.encode()
    with grpc.insecure_channel(etcd) as channel:
        channel.unary_unary("/etcdserverpb.KV/Put")(field(0x0A, key) + field(0x12, value), timeout=job.DEADLINE)


class LauncherTest(job.JobTest):
    def check_trained(self, output, workers=2, shards=2):
        """Whether the chief's table is there and of a network that has learnt something."""
        self.assertIn(f"mlp, sync, {workers} workers, {shards} shards, 200 steps", output)
        accuracy = float(re.search(r"test accuracy +([\d.]+)%", output).group(1))
        self.assertGreater(accuracy, 75.0, output)

    def expect_failure(self, task, *words):
        self.assertEqual(task.exit_code(), 1, task.output())
        last = [line for line in task.output().splitlines() if line != "<end of output>"][-1]
        for word in words:
            self.assertIn(word, last)


class EtcdTest(LauncherTest):
    def flags(self, etcd, index, ps=2, workers=2):
        return (f"--etcd={etcd}", "--job=trial", f"--ps={ps}", f"--workers={workers}", f"--task_index={index}")

    def start_ps_task(self, etcd, index, **counts):
        return self.start(f"ps:{index}", PS, *self.flags(etcd, index, **counts), "--listen=localhost:0")

    def test_tasks_find_each_other_in_whatever_order_they_start(self):
        seed = random.randrange(1 << 30)
        print("seed", seed)
        etcd = self.start_etcd()
        starts = [(self.start_ps_task, i) for i in range(2)] + [(self.start_worker_task, i) for i in range(2)]
        random.Random(seed).shuffle(starts)
        tasks = {}
        for start, index in starts:
            task = start(etcd, index)
            tasks[task.name] = task
        for task in tasks.values():
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")
        self.check_trained(tasks["worker:0"].output())

    def start_worker_task(self, etcd, index, *flags, **counts):
        return self.start(f"worker:{index}", WORKER, *self.flags(etcd, index, **counts), *TRAIN, *flags)

    def test_missing_ps_tasks_are_named(self):
        etcd = self.start_etcd()
        self.expect_failure(self.start_worker_task(etcd, 0, "--startup_timeout=1s"),
                            "parley_worker: worker:0: job trial: waited 1s for ps:0, ps:1 to register")

    def test_a_second_ps_task_with_the_same_index_is_refused(self):
        etcd = self.start_etcd()
        put(etcd, "/parley/trial/ps/1", "elsewhere:2222")  # by one that lives for ever
        self.expect_failure(self.start_ps_task(etcd, 1),
                            "parley_ps: another task is ps:1 of job trial: it listens on elsewhere:2222")

    def test_a_killed_ps_task_is_followed_by_another_elsewhere(self):
        etcd = self.start_etcd()
        first = self.start_ps_task(etcd, 0)
        first.wait_for("listening on")
        first.signal(signal.SIGKILL)
        second = self.start_ps_task(etcd, 0)
        second.wait_for("ps:0 listening on")

    def test_an_etcd_that_is_not_there_is_one_line(self):
        nobody = f"localhost:{job.free_ports(1)}"
        for task in (self.start_ps_task(nobody, 0), self.start_worker_task(nobody, 0)):
            self.expect_failure(task, f"etcd at {nobody}: ", "not reached")
            self.assertEqual(len(task.output().splitlines()), 2, task.output())  # and the end of output


class LaunchTest(LauncherTest):
    def test_the_programs_own_launcher(self):
        launch = self.start("launch", job.program("deploy/parley"), "launch", "--ps=2", "--workers=2", "--", *TRAIN)
        self.assertEqual(launch.exit_code(), 0, launch.output())
        self.check_trained(launch.output())


class MpirunTest(LauncherTest):
    def test_the_first_ranks_are_the_ps_tasks(self):
        for program in (PS, WORKER):
            os.symlink(program, f"{self.folder}/{os.path.basename(program)}")
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", "PORT": str(job.free_ports(2)),
                       "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        mpirun = self.start("mpirun", job.program("deploy/mpi/train.sh"), *TRAIN, env=environment)
        self.assertEqual(mpirun.exit_code(), 0, mpirun.output())
        self.check_trained(mpirun.output())


class TfConfigTest(LauncherTest):
    def test_a_cluster_as_kubeflow_describes_it(self):
        port = job.free_ports(2)
        cluster = {"chief": ["mnist-chief-0.ns.svc:2222"], "ps": [f"localhost:{port}", f"localhost:{port + 1}"],
                   "worker": ["mnist-worker-0.ns.svc:2222"]}
        tasks = {}
        for kind, index in (("worker", 0), ("ps", 1), ("chief", 0), ("ps", 0)):
            tf_config = {"cluster": cluster, "task": {"type": kind, "index": index}, "environment": "cloud"}
            program = (PS, f"--listen=0.0.0.0:{port + index}") if kind == "ps" else (WORKER, *TRAIN)
            tasks[kind, index] = self.start(f"{kind}:{index}", *program, env={"TF_CONFIG": json.dumps(tf_config)})
        for task in tasks.values():
            self.assertEqual(task.exit_code(), 0, f"{task.name}:\n{task.output()}")
        self.check_trained(tasks["chief", 0].output())


if __name__ == "__main__":
    unittest.main(verbosity=2)
