"""Shards that write down what they acknowledge, or keep a copy at another task, are killed again and again, in the middle of whatever they do, and started
again: the synchronous job ends with the same bits as one that nobody disturbed.

PARLEY_KILLS in the environment: how often a job's tasks are killed; 2 unless told.
"""

import os
import random
import time
import unittest

from tests import job

KILLS = int(os.environ.get("PARLEY_KILLS", "2"))
STEPS = 300 * (KILLS + 1)
FLAGS = ("--model=mlp", "--batch_size=32", f"--steps={STEPS}", "--optimizer=momentum", "--learning_rate=0.02", "--seed=5")


class KilledShardTest(job.JobTest):
    def start_shard(self, ports, index, workers, *flags):
        task = self.start(
            f"ps:{index}",
            job.program("ps/parley_ps"),
            "--ps_hosts=" + ",".join(f"localhost:{port}" for port in ports),
            "--worker_hosts=" + ",".join(["localhost:0"] * workers),
            f"--task_index={index}",
            *flags,
        )
        task.wait_for(r"ps:\d+ listening on")
        return task

    def run_disturbed(self, folder, random_source, worker_flags, ps_flags, kills_workers=False):
        replicates = "--replicas=1" in ps_flags
        first = job.free_ports(2)
        ports = [first, first + 1]
        ps_flags = (f"--checkpoint_dir={folder}", "--lease=2m", "--replace_after=500ms") + ps_flags
        servers = [self.start_shard(ports, i, 2, *ps_flags) for i in range(2)]
        hosts = ",".join(f"localhost:{port}" for port in ports)
        flags = worker_flags + (f"--checkpoint_dir={folder}",)
        workers = [self.start_worker(hosts, i, 2, *flags) for i in range(2)]
        for kills in range(KILLS):
            # Not a wait for anything: a moment at random.
            time.sleep(random_source.uniform(0.1, 1.0))
            if any(task.process.poll() is not None for task in workers + servers):
                break
            victim = random_source.randrange(4 if kills_workers else 2)
            if victim < 2:
                if replicates:
                    # There is one copy: what is lost with the second task, before there is another, is lost.
                    for server in servers:
                        server.wait_for("its copy is whole")
                    wholes = servers[1 - victim].output().count("its copy is whole")
                servers[victim].kill()
                servers[victim] = self.start_shard(ports, victim, 2, *ps_flags)
                if replicates:
                    servers[1 - victim].wait_for_count("its copy is whole", wholes + 1)
            else:
                workers[victim - 2].kill()
                workers[victim - 2] = self.start_worker(hosts, victim - 2, 2, *flags)
        else:
            kills = KILLS
        for task in workers + servers:
            self.assertEqual(
                task.exit_code(job.DEADLINE * (1 + KILLS // 10)), 0, f"{task.name} after {kills} kills:\n{task.output()}\n" + workers[0].output()
            )
        return kills

    def check(self, worker_flags, kills_workers=False, ps_flags=("--durability=disk",)):
        seed = random.SystemRandom().randrange(1 << 32)
        quiet = os.path.join(self.folder, "quiet")
        self.run_job(2, 2, *worker_flags, f"--checkpoint_dir={quiet}", ps_flags=(f"--checkpoint_dir={quiet}",))
        with self.subTest(seed=seed):
            folder = os.path.join(self.folder, "disturbed")
            kills = self.run_disturbed(folder, random.Random(seed), worker_flags, ps_flags, kills_workers)
            self.assertGreater(kills, 0)
            self.assertEqual(self.digest(folder), self.digest(quiet))
            # A job that is done leaves no log.
            logs = os.path.join(folder, "log")
            if "--durability=disk" not in ps_flags:
                self.assertFalse(os.path.exists(logs))
                return
            self.assertEqual([name for shard in os.listdir(logs) for name in os.listdir(os.path.join(logs, shard))], [])

    def test_the_bits_are_those_of_an_undisturbed_job(self):
        self.check(FLAGS)

    def test_also_with_checkpoints_and_with_workers_killed(self):
        self.check(FLAGS + ("--checkpoint_every=150",), kills_workers=True)

    def test_a_copy_at_another_task_does_as_well(self):
        self.check(FLAGS, kills_workers=True, ps_flags=("--replicas=1",))

    def test_nor_does_it_matter_to_norms_over_several_shards(self):
        self.check(FLAGS + ("--clip_norm=0.5",))

    def test_nor_with_a_copy(self):
        self.check(FLAGS + ("--clip_norm=0.5",), kills_workers=True, ps_flags=("--replicas=1",))


if __name__ == "__main__":
    unittest.main()
