#!/usr/bin/python3
"""Prints docs/flags.md from what the programs say of themselves: tools/flags.py BAZEL_BIN. tools/flags builds them."""

import re
import subprocess
import sys

HEAD = """# Flags
`tools/flags` writes this file from the programs, and a test fails while it is not current. A duration is a number with its
unit: `500ms`, `90s`, `10m`, `1h30m`. A flag of yes or no is set by `--name` and unset by `--noname`. `--help` of each program
says the same; the flags of glog (`--v`, `--log_dir` and others) are taken too.
"""


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def flags_markdown(folder):
    """`folder` has the programs as Bazel lays them out."""
    parley = f"{folder}/deploy/parley"
    chapters = [HEAD]
    for program in (f"{folder}/ps/parley_ps", f"{folder}/worker/parley_worker", f"{folder}/ps/parley_serve"):
        chapters.append(run(program, "--help=markdown"))
    for command in re.findall(r"^(?:usage:| {6}) parley (\w+)", run(parley, "help"), re.MULTILINE):
        if command not in ("version", "help"):  # these have no flags
            chapters.append(run(parley, command, "--help=markdown"))
    return "\n".join(chapters)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tools/flags.py BAZEL_BIN")
    sys.stdout.write(flags_markdown(sys.argv[1]))
