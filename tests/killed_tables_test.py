"""ps tasks that hold tables are killed in the middle of whatever they do: a synchronous job ends with the rows of one that nobody disturbed, bit
for bit, and of what an asynchronous one was told is there nothing is lost and nothing doubled.

PARLEY_KILLS in the environment: how often a job's tasks are killed; 2 unless told.
"""

import os
import random
import re
import time
import unittest

from tests import job

KILLS = int(os.environ.get("PARLEY_KILLS", "2"))
STEPS = 150 * (KILLS + 1)
EXPIRING = "--table=expire_after_rounds: 50"
SPILLED = "--table=memory_limit: 400000"


class KilledTablesTest(job.JobTest):
    def start_shard(self, ports, index, workers, *flags):
        hosts = ",".join(f"localhost:{port}" for port in ports)
        command = (job.program("ps/parley_ps"), f"--ps_hosts={hosts}", f"--workers={workers}", f"--task_index={index}", f"--spill_dir={self.folder}")
        task = self.start(f"ps:{index}", *command, *flags)
        task.wait_for(r"ps:\d+ listening on")
        return task

    def run_job(self, workers, flags, ps_flags=(), kills=0):
        """Runs a job, whose ps tasks are killed so often; returns what its worker says of the rows at the end."""
        first = job.free_ports(2)
        ports = [first, first + 1]
        servers = [self.start_shard(ports, i, workers, *ps_flags) for i in range(2)]
        hosts = ",".join(f"localhost:{port}" for port in ports)
        worker = self.start("workers", job.program("tests/table_worker"), f"--ps_hosts={hosts}", f"--workers={workers}", f"--steps={STEPS}", *flags)
        seed = random.SystemRandom().randrange(1 << 32)
        source = random.Random(seed)
        killed = 0
        everything = lambda: f"seed {seed}, {killed} kills\n" + "\n".join(f"--- {task.name}\n{task.output()}" for task in self.tasks)
        for _ in range(kills):
            said = worker.output().count("step ")
            try:
                worker.wait_for_count("^step ", said + source.randrange(1, 4))
            except AssertionError:
                break  # it has ended, well or not
            victim = source.randrange(2)
            if "--replicas=1" in ps_flags:
                # There is one copy: what is lost with the second task, before there is another, is lost.
                for server in servers:
                    server.wait_for("its copy is whole")
                wholes = servers[1 - victim].output().count("its copy is whole")
            time.sleep(source.uniform(0, 0.05))  # not a wait for anything: a moment at random
            if worker.process.poll() is not None:
                break
            servers[victim].kill()
            killed += 1
            servers[victim] = self.start_shard(ports, victim, workers, *ps_flags)
            if "--replicas=1" in ps_flags:
                servers[1 - victim].wait_for_count("its copy is whole", wholes + 1)
        for task in [worker] + servers:
            self.assertEqual(task.exit_code(), 0, everything())
        if kills:
            self.assertGreater(killed, 0, everything())
        return re.search("crc32c 0x[0-9a-f]{8}", worker.output()).group()

    def durable(self):
        return ("--durability=disk", f"--checkpoint_dir={self.folder}/{len(self.tasks)}", "--lease=2m")

    def check_bits(self, ps_flags, *flags):
        quiet = self.run_job(2, flags)
        self.assertEqual(self.run_job(2, flags, ps_flags, KILLS), quiet)

    def test_with_a_copy_the_bits_are_those_of_an_undisturbed_job(self):
        self.check_bits(("--replicas=1", "--lease=2m"))

    def test_also_where_rows_expire_and_are_counted(self):
        self.check_bits(("--replicas=1", "--lease=2m"), EXPIRING + " admit_after_rounds: 2")

    def test_with_a_log_too(self):
        self.check_bits(self.durable(), SPILLED)

    def test_with_a_copy_no_push_is_lost_or_doubled(self):
        self.run_job(1, ("--nosynchronous", SPILLED), ("--replicas=1", "--lease=2m"), KILLS)

    def test_with_a_log_neither(self):
        self.run_job(1, ("--nosynchronous",), self.durable(), KILLS)

    def test_who_has_the_copy_takes_over(self):
        quiet = self.run_job(2, ())
        etcd = self.start_etcd()
        cluster = (f"--etcd={etcd}", "--job=trial", "--ps=3", "--workers=2", "--listen=localhost:0", "--replicas=1")
        servers = [self.start(f"ps:{i}", job.program("ps/parley_ps"), *cluster, f"--task_index={i}") for i in range(3)]
        worker = self.start("workers", job.program("tests/table_worker"), f"--etcd={etcd}", "--job=trial", "--ps=3", "--workers=2", f"--steps={STEPS}")
        everything = lambda: "\n".join(f"--- {task.name}\n{task.output()}" for task in self.tasks if task.name != "etcd")
        dead = set()
        for _ in range(2):  # of three tasks, the second of which dies when the copies are whole again
            records = []

            def whole_or_over():
                records[:] = job.shard_records(etcd, "trial", 3)
                return worker.process.poll() is not None or all(who and who not in dead for found in records for who in found)

            job.wait_until(whole_or_over, "the copies do not become whole")
            if worker.process.poll() is not None:
                break
            victim = records[0][0][0]
            dead |= {who for found in records for who in found if who[0] == victim}
            servers[victim].kill()
        self.assertEqual(worker.exit_code(), 0, everything())
        self.assertTrue(dead, everything())
        self.assertEqual(re.search("crc32c 0x[0-9a-f]{8}", worker.output()).group(), quiet)


if __name__ == "__main__":
    unittest.main()
