#!/usr/bin/python3
"""What bench/push_pull.cc does, in PyTorch: --peer=rpc or --peer=gloo; bench/peers/push_pull runs it.

rpc: torch.distributed.rpc with TensorPipe, as in PyTorch's tutorial of a parameter server: a worker calls a server for each
tensor with its gradient, the server's last caller applies SGD, and all callers get the new values. gloo: no servers; workers add up
their gradients by all_reduce in buckets of 25 MiB, as DistributedDataParallel does, and each applies SGD. Prints the median
seconds of a step of the slowest worker.
"""

import argparse
import os
import statistics
import threading
import time

import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.distributed import rpc

RATE = 0.01


class Shard:
    """The tensors of one server."""

    def __init__(self, workers, tensors, size):
        self.workers = workers
        self.values = {i: torch.zeros(size) for i in tensors}
        self.sums = {i: None for i in tensors}
        self.arrived = {i: 0 for i in tensors}
        self.futures = {i: torch.futures.Future() for i in tensors}
        self.lock = threading.Lock()

    def push_pull(self, i, gradient):
        with self.lock:
            self.sums[i] = gradient if self.sums[i] is None else self.sums[i].add_(gradient)
            self.arrived[i] += 1
            future = self.futures[i]
            if self.arrived[i] == self.workers:
                # What was sent out may still be on its way.
                self.values[i] = self.values[i].sub(self.sums[i], alpha=RATE / self.workers)
                self.sums[i] = None
                self.arrived[i] = 0
                self.futures[i] = torch.futures.Future()
                future.set_result(self.values[i])
        return future


SHARD = None


def start_shard(*arguments):
    global SHARD
    SHARD = Shard(*arguments)


@rpc.functions.async_execution
def push_pull(i, gradient):
    return SHARD.push_pull(i, gradient)


def run_rpc(rank, options, results):
    torch.set_num_threads(1)
    world = options.servers + options.workers
    name = f"ps{rank}" if rank < options.servers else f"worker{rank - options.servers}"
    backend = rpc.TensorPipeRpcBackendOptions(num_worker_threads=4, rpc_timeout=120)
    rpc.init_rpc(name, rank=rank, world_size=world, rpc_backend_options=backend)
    size = options.bytes // 4
    if name == "worker0":
        for server in range(options.servers):
            rpc.rpc_sync(f"ps{server}", start_shard,
                         (options.workers, range(server, options.tensors, options.servers), size))
        for worker in range(1, options.workers):
            rpc.rpc_sync(f"worker{worker}", int, (0,))
    if name.startswith("worker"):
        rpc.api._all_gather(None, {f"worker{i}" for i in range(options.workers)})
        gradients = [torch.full((size,), 0.001) for _ in range(options.tensors)]
        targets = [torch.zeros(size) for _ in range(options.tensors)]

        def step():
            futures = [rpc.rpc_async(f"ps{i % options.servers}", push_pull, (i, gradients[i]))
                       for i in range(options.tensors)]
            for target, future in zip(targets, futures):
                target.copy_(future.wait())

        results.put(measure(step, options.steps))
    rpc.shutdown()


def run_gloo(rank, options, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=options.workers)
    size = options.bytes // 4
    gradients = [torch.full((size,), 0.001) for _ in range(options.tensors)]
    values = [torch.zeros(size) for _ in range(options.tensors)]
    bucket = max(1, (25 << 20) // options.bytes)

    def step():
        flats = []
        for begin in range(0, options.tensors, bucket):
            flat = torch._utils._flatten_dense_tensors(gradients[begin:begin + bucket])
            flats.append((begin, flat, dist.all_reduce(flat, async_op=True)))
        for begin, flat, work in flats:
            work.wait()
            for value, one in zip(values[begin:], torch._utils._unflatten_dense_tensors(flat, gradients[begin:begin + bucket])):
                value.sub_(one, alpha=RATE / options.workers)

    results.put(measure(step, options.steps))
    dist.destroy_process_group()


def measure(step, steps):
    for _ in range(max(3, steps // 4)):
        step()
    seconds = []
    for _ in range(steps):
        begin = time.monotonic()
        step()
        seconds.append(time.monotonic() - begin)
    return statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", choices=("rpc", "gloo"), required=True)
    parser.add_argument("--port", required=True)
    for key in ("tensors", "bytes", "workers", "servers", "steps"):
        parser.add_argument("--" + key, type=int, required=True)
    options = parser.parse_args()
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=options.port, OMP_NUM_THREADS="1")
    results = multiprocessing.get_context("spawn").SimpleQueue()
    processes = options.workers + (options.servers if options.peer == "rpc" else 0)
    multiprocessing.spawn(run_rpc if options.peer == "rpc" else run_gloo, (options, results), nprocs=processes)
    print(f"version {torch.__version__} seconds {max(results.get() for _ in range(options.workers))}")


if __name__ == "__main__":
    main()
