"""Between all tasks of a job stand proxies that lose, repeat, delay and reorder requests and answers: the synchronous job ends with the same bits as one
that nobody disturbed, and an asynchronous one counts each push once.

PARLEY_SEED in the environment: the seed of what goes wrong; random unless told.
"""

import os
import random
import re
import signal
import unittest

from tests import job

FLAGS = ("--model=mlp", "--batch_size=32", "--optimizer=momentum", "--learning_rate=0.02", "--seed=5", "--transport=grpc")
SHARDS = 2
WORKERS = 2


class FaultyNetworkTest(job.JobTest):
    def run_behind_proxies(self, ps_flags, worker_flags):
        """Runs a job to its end, all of whose calls go through proxies. Returns what went wrong on the way, by name."""
        seed = int(os.environ.get("PARLEY_SEED", random.SystemRandom().randrange(1 << 31)))
        print("PARLEY_SEED", seed)
        first = job.free_ports(SHARDS)
        proxies = [self.start(f"proxy:{i}", job.program("tests/fault_proxy"), f"--to=localhost:{first + i}", f"--seed={seed + i}")
                   for i in range(SHARDS)]
        hosts = ",".join("localhost:" + proxy.wait_for(r"listening on (\d+)").group(1) for proxy in proxies)
        servers = [self.start(f"ps:{i}", job.program("ps/parley_ps"), f"--ps_hosts={hosts}", f"--workers={WORKERS}", f"--task_index={i}",
                              f"--listen=localhost:{first + i}", *ps_flags) for i in range(SHARDS)]
        workers = [self.start(f"worker:{i}", job.program("worker/parley_worker"), f"--ps_hosts={hosts}", f"--workers={WORKERS}",
                              f"--task_index={i}", f"--data_dir={job.DATA}", *worker_flags) for i in range(WORKERS)]
        for task in workers + servers:
            self.assertEqual(task.exit_code(), 0, "\n".join(f"--- {each.name}\n{each.output()}" for each in workers + servers))
        counts = {}
        for proxy in proxies:
            proxy.signal(signal.SIGTERM)
            self.assertEqual(proxy.exit_code(), 0)
            for name, count in re.findall(r"(\w+) (\d+)", proxy.output().splitlines()[-2]):
                counts[name] = counts.get(name, 0) + int(count)
        for name in ("lost_requests", "lost_answers", "duplicates", "late"):
            self.assertGreater(counts[name], 0, counts)
        return counts

    def check_same_bits(self, ps_flags, worker_flags):
        digests = []
        for name in ("quiet", "disturbed"):
            folder = os.path.join(self.folder, name)
            checkpoints = (f"--checkpoint_dir={folder}",)
            if name == "quiet":
                self.run_job(SHARDS, WORKERS, *FLAGS, *worker_flags, *checkpoints, ps_flags=checkpoints)
            else:
                self.run_behind_proxies(checkpoints + ps_flags, FLAGS + worker_flags + checkpoints)
            digests.append(self.digest(folder))
        self.assertEqual(*digests)

    def test_the_bits_are_those_of_an_undisturbed_job(self):
        self.check_same_bits((), ("--steps=200", "--checkpoint_every=70"))

    def test_also_with_a_copy_that_hears_of_changes_the_same_way(self):
        self.check_same_bits(("--replicas=1",), ("--steps=120",))

    def test_also_with_a_log(self):
        self.check_same_bits(("--durability=disk",), ("--steps=120",))

    def test_also_with_norms_over_both_shards(self):
        self.check_same_bits((), ("--steps=120", "--clip_norm=0.5"))


if __name__ == "__main__":
    unittest.main()
