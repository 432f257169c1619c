#!/usr/bin/python3
"""What bench/push_pull.cc does, in TensorFlow's ParameterServerStrategy; bench/peers/push_pull runs it.

Variables stand on the servers; a step on a worker subtracts the rate times its gradient from each, and reads it. The strategy
is asynchronous: workers do not wait for each other. Prints the median seconds of a worker's step, scheduling included.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def serve():
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    server = tf.distribute.Server(resolver.cluster_spec(), job_name=resolver.task_type, task_index=resolver.task_id,
                                  protocol="grpc", start=True)
    server.join()


def coordinate(options):
    import tensorflow as tf

    strategy = tf.distribute.ParameterServerStrategy(tf.distribute.cluster_resolver.TFConfigClusterResolver())
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    size = options.bytes // 4
    with strategy.scope():
        variables = [tf.Variable(tf.zeros([size])) for _ in range(options.tensors)]

    @tf.function
    def step(number):
        # Of the step's number, so that it is not computed once and for all.
        gradient = tf.fill([size], 0.001 + 0.0 * number)
        first = []
        for variable in variables:
            with tf.control_dependencies([variable.assign_sub(0.01 * gradient, read_value=False)]):
                value = variable.read_value()
            first.append(value[0])  # on the worker, where the whole value has to go
        return tf.add_n(first)

    def run(steps):
        begin = time.monotonic()
        for number in range(steps):
            coordinator.schedule(step, args=(tf.constant(float(number)),))
        coordinator.join()
        return time.monotonic() - begin

    run(3 * options.workers)
    group = 4 * options.workers  # each worker does about four
    seconds = [run(group) / 4 for _ in range(max(3, options.steps // 4))]
    print(f"version {tf.__version__} seconds {statistics.median(seconds)}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    for key in ("tensors", "bytes", "workers", "servers", "steps"):
        parser.add_argument("--" + key, type=int, required=True)
    options = parser.parse_args()
    if "TF_CONFIG" in os.environ:
        coordinate(options) if "chief" in os.environ["PARLEY_PEER_TASK"] else serve()
        return
    ports = iter(free_ports(1 + options.servers + options.workers))
    counts = {"chief": 1, "ps": options.servers, "worker": options.workers}
    cluster = {job: [f"localhost:{next(ports)}" for _ in range(count)] for job, count in counts.items()}
    tasks = []
    try:
        for job in ("ps", "worker", "chief"):
            for index in range(counts[job]):
                config = json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})
                tasks.append(subprocess.Popen(
                    [sys.executable] + sys.argv, stdout=subprocess.PIPE, text=True,
                    env=dict(os.environ, TF_CONFIG=config, PARLEY_PEER_TASK=job)))
        output = tasks[-1].communicate()[0]
        if tasks[-1].returncode != 0:
            sys.exit("the coordinator failed")
        print(output.strip().splitlines()[-1])
    finally:
        for task in tasks:
            task.kill()
            task.wait()


if __name__ == "__main__":
    main()
