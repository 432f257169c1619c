#!/usr/bin/python3
"""How much memory a shard takes: shard_memory.py --ps=bazel-bin/ps/parley_ps --worker=bazel-bin/bench/link_ends

A real parley_ps with 256 MiB of parameters and workers that push all gradients and pull all new values, synchronously. For
each optimizer, transport and number of workers one JSON line: the highest resident memory (VmHWM: shared memory counted once,
that of the workers' which it reads included) less that of a task without a job, in MiB, divided by the parameters, the slots and one
set of blocks for each worker. With it the same without the workers' sets.
"""

import argparse
import json
import re
import subprocess

SLOTS = {"sgd": 0, "momentum": 1, "adam": 2}
MIB = 1 << 20


def start_ps(program, workers):
    task = subprocess.Popen(
        [program, "--ps_hosts=localhost:0", "--worker_hosts=" + ",".join(["localhost:0"] * workers), "--task_index=0",
         "--keep_serving"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in task.stdout:
        match = re.search(r"listening on \S+:(\d+)", line)
        if match:
            return task, int(match.group(1))
    raise RuntimeError("parley_ps ended before it listened")


def stop(task):
    task.terminate()
    task.wait()
    task.stdout.close()


def status_of(task, key):
    """MiB."""
    with open(f"/proc/{task.pid}/status", encoding="utf-8") as file:
        return int(re.search(key + r":\s+(\d+) kB", file.read()).group(1)) / 1024


def measure(options, optimizer, transport, workers):
    task, port = start_ps(options.ps, workers)
    try:
        running = [
            subprocess.Popen(
                [options.worker, "--role=worker", f"--peer=localhost:{port}", f"--index={index}", f"--workers={workers}",
                 f"--optimizer={optimizer}", f"--transport={transport}", f"--tensors={options.mib // 4}", f"--bytes={4 * MIB}",
                 f"--steps={options.steps}"], stdout=subprocess.DEVNULL)
            for index in range(workers)]
        if any([worker.wait() for worker in running]):
            raise RuntimeError("a worker failed")
        return status_of(task, "VmHWM"), status_of(task, "VmRSS")
    finally:
        stop(task)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ps", required=True, help="the program parley_ps")
    parser.add_argument("--worker", required=True, help="made by: bazel build //bench:link_ends")
    parser.add_argument("--mib", type=int, default=256, help="of parameters")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--optimizers", default=",".join(SLOTS))
    parser.add_argument("--transports", default="shm,grpc")
    parser.add_argument("--workers", default="1,4")
    options = parser.parse_args()
    for workers in map(int, options.workers.split(",")):
        idle, _ = start_ps(options.ps, workers)
        baseline = status_of(idle, "VmHWM")
        stop(idle)
        for optimizer in options.optimizers.split(","):
            for transport in options.transports.split(","):
                peak, resident = (value - baseline for value in measure(options, optimizer, transport, workers))
                kept = options.mib * (1 + SLOTS[optimizer])
                limit = kept + options.mib * workers
                print(json.dumps({
                    "benchmark": "shard_memory", "case": f"{transport}/{workers}x1/{optimizer}/{options.mib}MiB",
                    "figure": round(peak, 1), "unit": "MiB", "limit_name": "parameters + slots + a set of blocks a worker",
                    "limit": limit, "ratio": round(peak / limit, 3), "at_the_end": round(resident, 1),
                    "of_parameters_and_slots": round(peak / kept, 3)}), flush=True)


if __name__ == "__main__":
    main()
