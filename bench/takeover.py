#!/usr/bin/python3
"""How long pushes stand still when a ps task dies, in a job whose tasks take over from each other.

    bazel build -c opt //ps:parley_ps //bench:outage
    bench/takeover.py --bin=bazel-bin --kills=200

One JSON line. Three ps tasks with --replicas=1 and an etcd on one host, and a worker that pushes and pulls all the time (bench/outage.cc),
which checks that each push counts once. A task that leads a shard is killed (-9) at a random moment, and started again within a second; when
all copies are whole the next is. The outage is the longest step between a kill and the next: p50 and max over the kills, in milliseconds.
"""

import argparse
import json
import random
import statistics
import time

from outage_job import OutageJob, job

SHARDS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="bazel-bin", help="where the programs were built")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    source = random.Random(options.seed)
    with OutageJob(options.bin, SHARDS, SHARDS) as running:
        servers = [running.start_ps(i) for i in range(SHARDS)]
        running.start_worker()
        dead = set()  # starts that were killed

        def whole():
            if running.worker.process.poll() is not None:
                raise RuntimeError(f"the worker ended:\n{running.worker.output()[-4000:]}")
            return all(who and who not in dead for found in running.records() for who in found)

        job.wait_until(whole, "the copies do not become whole")
        outages = []
        for _ in range(options.kills):
            time.sleep(source.uniform(0.2, 0.7))
            seen = len(running.worker.lines)
            victim, begun = source.choice(sorted({leader for leader, _ in running.records() if leader}))
            dead.add((victim, begun))
            servers[victim].kill()
            time.sleep(source.uniform(0, 1))
            servers[victim] = running.start_ps(victim)
            job.wait_until(whole, "the copies do not become whole")
            time.sleep(0.2)  # so that a step that began before has ended
            outages.append(running.longest(seen))
        steps = running.end_worker()
    outages.sort()
    print(json.dumps({"benchmark": "takeover", "case": "outage", "kills": len(outages), "unit": "ms",
                      "p50": round(statistics.median(outages), 1), "p90": round(outages[int(0.9 * len(outages))], 1),
                      "max": round(outages[-1], 1), "steps": steps, "seed": options.seed}))


if __name__ == "__main__":
    main()
