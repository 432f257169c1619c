#!/usr/bin/python3
"""What bench/push_pull.cc does, in MXNet's dist_sync KVStore, which is ps-lite; bench/peers/push_pull runs it.

Servers add the workers' gradients and apply MXNet's SGD. Prints the median seconds of a step of the slowest worker.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

KEYS = ("tensors", "bytes", "workers", "servers", "steps")


def run_worker(options):
    import mxnet as mx  # where the role is the scheduler's or a server's, this is what runs it

    store = mx.kv.create("dist_sync")
    size = options.bytes // 4
    keys = [str(i) for i in range(options.tensors)]
    gradients = [mx.nd.full((size,), 0.001) for _ in keys]
    targets = [mx.nd.zeros((size,)) for _ in keys]
    for key, target in zip(keys, targets):
        store.init(key, target)
    store.set_optimizer(mx.optimizer.SGD(learning_rate=0.01, wd=0))
    mx.nd.waitall()
    seconds = []
    for step in range(max(3, options.steps // 4) + options.steps):
        begin = time.monotonic()
        # Each tensor by itself, so that its pull begins when its push has ended.
        for key, gradient, target in zip(keys, gradients, targets):
            store.push(key, gradient)
            store.pull(key, out=target)
        mx.nd.waitall()
        seconds.append(time.monotonic() - begin)
    print(f"version {mx.__version__} seconds {statistics.median(seconds[-options.steps:])}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", required=True)
    for key in KEYS:
        parser.add_argument("--" + key, type=int, required=True)
    options = parser.parse_args()
    if "DMLC_ROLE" in os.environ:
        run_worker(options)
        return
    environment = dict(os.environ, DMLC_PS_ROOT_URI="127.0.0.1", DMLC_PS_ROOT_PORT=options.port, DMLC_INTERFACE="lo",
                       DMLC_NUM_SERVER=str(options.servers), DMLC_NUM_WORKER=str(options.workers), OMP_NUM_THREADS="1")
    roles = ["scheduler"] + ["server"] * options.servers + ["worker"] * options.workers
    tasks = [subprocess.Popen([sys.executable] + sys.argv, env=dict(environment, DMLC_ROLE=role), stdout=subprocess.PIPE,
                              text=True) for role in roles]
    try:
        outputs = [task.communicate()[0] for task in tasks if task in tasks[1 + options.servers:]]
    finally:
        for task in tasks:
            task.kill()
            task.wait()
    words = [output.split() for output in outputs]
    if not all(words):
        sys.exit("a worker failed")
    print(f"version {words[0][1]} seconds {max(float(each[3]) for each in words)}")


if __name__ == "__main__":
    main()
