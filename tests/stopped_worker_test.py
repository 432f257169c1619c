"""A worker that has been stopped, in the middle of whatever it does, does not read its answers: the shard's memory does not grow
with what the others push meanwhile."""

import re
import signal
import unittest

from tests import job

STEPS = 300  # of the others, of 1 MiB each way
MOST = 64  # MiB: buffers that were not in use before


def resident_mib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024


def step_of(task):
    steps = re.findall(r"progress: .*step (\d+)", task.output())
    return int(steps[-1]) if steps else 0


class StoppedWorkerTest(job.JobTest):
    def test_costs_the_shard_no_memory(self):
        for transport in ("shm", "grpc"):
            with self.subTest(transport=transport):
                servers, hosts = self.start_ps(1, 2)
                flags = ("--model=mlp", "--batch_size=8", "--steps=1000000", "--policy=async", f"--transport={transport}")
                running = self.start_worker(hosts, 0, 2, *flags)
                stopped = self.start_worker(hosts, 1, 2, *flags)
                # Only the chief says where it is; by then the other is well in its steps, too.
                job.wait_until(lambda: step_of(running) >= STEPS, f"no steps: {running.output()}")
                stopped.signal(signal.SIGSTOP)
                before, begin = resident_mib(servers[0].process.pid), step_of(running)
                job.wait_until(lambda: step_of(running) >= begin + STEPS, f"{running.name} stands: {running.output()}")
                growth = resident_mib(servers[0].process.pid) - before
                self.assertLess(growth, MOST, f"after {step_of(running) - begin} steps")
                for task in (running, stopped, *servers):
                    task.kill()


if __name__ == "__main__":
    unittest.main()
