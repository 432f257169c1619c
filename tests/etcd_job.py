"""A synchronous job of two workers whose ps tasks, with replicas, find each other in etcd, for tests that disturb them."""

import signal

from tests import job

MODEL = ("--model=mlp", "--batch_size=32", "--optimizer=momentum", "--learning_rate=0.02", "--seed=5")


class EtcdJobTest(job.JobTest):
    shards = 3
    ps_flags = ()

    def start_ps_task(self, index):
        return self.start(f"ps:{index}", job.program("ps/parley_ps"), *self.cluster, f"--task_index={index}", "--listen=localhost:0",
                          "--replicas=1", f"--checkpoint_dir={self.folder}/disturbed", *self.ps_flags)

    def start_job(self, ps, *flags, steps=None):
        """A job of so many steps; None: until finish() stops it, so that it is not over too early."""
        self.flags = MODEL + flags
        self.steps = steps
        self.etcd = self.start_etcd()
        self.cluster = (f"--etcd={self.etcd}", "--job=trial", f"--ps={ps}", f"--shards={self.shards}", "--workers=2")
        self.servers = [self.start_ps_task(i) for i in range(ps)]
        self.workers = [self.start(f"worker:{i}", job.program("worker/parley_worker"), *self.cluster, f"--task_index={i}",
                                   f"--data_dir={job.DATA}", f"--checkpoint_dir={self.folder}/disturbed",
                                   f"--steps={steps or 1000000}", *self.flags) for i in range(2)]

    def parley(self, command, *flags):
        return self.start(f"parley {command}", job.program("deploy/parley"), command, f"--etcd={self.etcd}", "--job=trial", *flags)

    def everything(self):
        return "\n".join(f"--- {task.name}\n{task.output()}" for task in self.tasks if task.name != "etcd")

    def records(self):
        """As job.shard_records."""
        return job.shard_records(self.etcd, "trial", self.shards)

    def leaders(self):
        """Which task speaks for each shard; None: nobody does now."""
        return [leader[0] if leader else None for leader, _ in self.records()]

    def stop(self):
        # A task that is started when the job is over would wait for another, so all are to be part of it.
        living = [i for i, task in enumerate(self.servers) if task.process.poll() is None]
        for i in living:
            self.servers[i].wait_for("listening on")
        job.wait_until(lambda: all(leader in living for leader in self.leaders()), f"nobody leads a shard\n{self.everything()}")
        self.workers[0].wait_for_count("progress: ", self.workers[0].output().count("progress: ") + 2)
        self.assertEqual(self.parley("stop").exit_code(), 0, self.everything())
        return self.workers[0].wait_for(r"worker:0 stopped before step (\d+)").group(1)

    def finish(self):
        """The job has the bits of one of as many steps that nobody disturbed, and nothing is left of it in etcd."""
        steps = self.steps or self.stop()
        for task in self.workers + self.servers:
            if task.process.poll() != -signal.SIGKILL:
                self.assertEqual(task.exit_code(), 0, self.everything())
        # Nothing is left, when the leases of those that were killed have ended.
        job.wait_until(lambda: job.etcd_keys(self.etcd, "/parley/trial/") == {}, f"something is left in etcd\n{self.everything()}")
        quiet = f"--checkpoint_dir={self.folder}/quiet"
        self.run_job(2, 2, *self.flags, f"--steps={steps}", quiet, ps_flags=(quiet,))
        self.assertEqual(self.digest(f"{self.folder}/disturbed"), self.digest(f"{self.folder}/quiet"))
