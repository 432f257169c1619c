#!/usr/bin/python3
"""How long pushes stand still while shards move to another ps task and back, and how long that takes.

    bazel build -c opt //ps:parley_ps //deploy:parley //bench:outage
    bench/scale.py --bin=bazel-bin --moves=20 --bytes=16777216

One JSON line. Six shards on two ps tasks with --replicas=1 and an etcd on one host, and a worker that pushes and pulls all the time
(bench/outage.cc), which checks that each push counts once. Again and again a third task is started, `parley scale --ps=3` has two shards
move to it, and `parley scale --ps=2` back. The outage is the longest step of each of these, in milliseconds: p50 and max, beside the
longest step while nothing moved. `seconds` is how long the command took, p50; a shard that moves travels once, and is copied once in its
task.
"""

import argparse
import json
import statistics
import time

from outage_job import OutageJob, job

SHARDS = 6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="bazel-bin", help="where the programs were built")
    parser.add_argument("--moves", type=int, default=20, help="there and back")
    parser.add_argument("--bytes", type=int, default=1 << 17, help="of each of the six tensors")
    options = parser.parse_args()
    with OutageJob(options.bin, 2, SHARDS) as running:
        for index in range(2):
            running.start_ps(index)
        running.start_worker("--slow_ms=1", f"--bytes={options.bytes}")
        job.wait_until(lambda: len(running.worker.lines) > 20, "the worker makes no steps")
        time.sleep(2)

        def scale(tasks):
            seen = len(running.worker.lines)
            began = time.monotonic()
            scaled = running.start("scale", "deploy/parley", "scale", f"--ps={tasks}")
            if scaled.exit_code() != 0:
                raise RuntimeError(scaled.output())
            took = time.monotonic() - began
            time.sleep(0.5)  # so that a step that began before has ended
            return running.longest(seen), took

        quiet, outages, seconds = [], [], []
        for _ in range(options.moves):
            third = running.start_ps(2)
            seen = len(running.worker.lines)
            time.sleep(2.5)  # it is there for a while, and nothing moves
            quiet.append(running.longest(seen))
            for tasks in (3, 2):
                outage, took = scale(tasks)
                outages.append(outage)
                seconds.append(took)
            if third.exit_code() != 0:
                raise RuntimeError(f"the third task did not end well:\n{third.output()}")
        steps = running.end_worker()
    print(json.dumps({"benchmark": "scale", "case": f"6x{options.bytes}", "moves": len(outages), "unit": "ms",
                      "p50": round(statistics.median(outages), 1), "max": round(max(outages), 1),
                      "quiet_p50": round(statistics.median(quiet), 1), "quiet_max": round(max(quiet), 1),
                      "seconds": round(statistics.median(seconds), 2), "steps": steps}))


if __name__ == "__main__":
    main()
