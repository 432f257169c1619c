#!/usr/bin/python3
"""Runs the tests that are to catch planted bugs: teeth.py --targets, or teeth.py BAZEL_BIN [BUG...]. tools/teeth builds them.

The bugs, and the tests that catch them, are those of the table in docs/guarantees.md under "Teeth". Exits with 1 when a test
passes with its bug or fails without one, or when the table's bugs are not those of the sources.
"""

import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import tempfile
import time

TABLE = "docs/guarantees.md"
LIMIT_S = 600
LIMIT_WITH_BUG_S = 60  # a test may wait for ever
# The simulated jobs do not, whatever the bug; so many of them are to show it.
SIMULATION = "bench/simulated_cluster_test.cc"
SEEDS_WITH_BUG = 20000
LIMIT_OF_SEEDS_S = 1800
AT_ONCE = 2


def read_table():
    """By bug: [(test source, test), ...]."""
    with open(TABLE, encoding="utf-8") as file:
        section = file.read().split("\n## Teeth\n")[1].split("\n## ")[0]
    bugs = {}
    for bug, caught_by in re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", section, re.M):
        source, tests = None, []
        for name in re.findall(r"`([^`]+)`", caught_by):
            if name.endswith(".cc"):
                source = name
            else:
                tests.append((source, name))
        if not tests or source is None or bug in bugs:
            sys.exit(f"{TABLE}: bug {bug} is there twice, or without a test")
        bugs[bug] = tests
    return bugs


def bugs_in_sources():
    found = []
    for folder in ("base", "net", "ps"):
        for path in glob.glob(f"{folder}/**/*", recursive=True):
            if path.endswith((".cc", ".h")) and path != "base/planted_bug.h":
                with open(path, encoding="utf-8") as file:
                    found += re.findall(r'PARLEY_PLANTED_BUG\("(\w+)"\)', file.read())
    return found


def run(bazel_bin, source, tests, bug):
    """(passed, how many ran, how it ended, output)."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, TEST_TMPDIR=folder, PARLEY_PLANTED_BUG=bug or "")
        limit = LIMIT_WITH_BUG_S if bug else LIMIT_S
        if bug and source == SIMULATION:
            limit = LIMIT_OF_SEEDS_S
            environment.update(PARLEY_SIMULATION_SEEDS=str(SEEDS_WITH_BUG), PARLEY_SIMULATION_VIOLATIONS="1")
        program = os.path.join(bazel_bin, source[: -len(".cc")])
        try:
            result = subprocess.run(
                [program, "--gtest_filter=" + ":".join(tests)], env=environment, timeout=limit, check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", text=True)
        except subprocess.TimeoutExpired:
            return source == SIMULATION, 0, f"did not end in {limit} s", ""
    ran = re.search(r"^\[=+\] (\d+) tests? from .* ran\.", result.stdout, re.M)
    ended = "passed" if result.returncode == 0 else "failed"
    if result.returncode < 0:
        ended = f"died of signal {-result.returncode}"
    return result.returncode == 0, int(ran[1]) if ran else 0, ended, result.stdout


def main():
    bugs = read_table()
    if sys.argv[1:] == ["--targets"]:
        sources = {source for tests in bugs.values() for source, _ in tests}
        print("\n".join(sorted("//" + source[: -len(".cc")].replace("/", ":") for source in sources)))
        return 0
    planted = bugs_in_sources()
    if sorted(planted) != sorted(bugs):
        apart = sorted(set(planted) ^ set(bugs)) or sorted({bug for bug in planted if planted.count(bug) > 1})
        sys.exit(f"the bugs of {TABLE} are not those of the sources: {', '.join(apart)}")
    chosen = sys.argv[2:] or list(bugs)
    if set(chosen) - set(bugs):
        sys.exit(f"no such bug: {', '.join(sorted(set(chosen) - set(bugs)))}")

    began = time.monotonic()
    by_source = {}
    for bug in chosen:
        for source, test in bugs[bug]:
            by_source.setdefault(source, set()).add(test)
    jobs = [(source, sorted(tests), None) for source, tests in sorted(by_source.items())]
    jobs += [(source, [test], bug) for bug in chosen for source, test in bugs[bug]]
    missed, broken = set(), 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for (source, tests, bug), (passed, ran, ended, output) in zip(
                jobs, pool.map(lambda job: run(sys.argv[1], *job), jobs)):
            if bug is None:
                sound = passed and ran == len(tests)
                broken += not sound
                print(f"{'sound ' if sound else 'BROKEN'}  {source}: {ran} of {len(tests)} tests ran, {ended}", flush=True)
                if not sound:
                    print(output)
            else:
                if passed:
                    missed.add(bug)
                print(f"{'MISSED' if passed else 'caught'}  {bug}: {source}: {tests[0]} {ended}", flush=True)
    print(f"{len(chosen)} bugs, {len(chosen) - len(missed)} caught; without them {broken} of {len(by_source)} programs fail; "
          f"{time.monotonic() - began:.0f} s")
    return 1 if missed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
