"""What parley launch draws on a terminal, as a terminal shows it."""

import fcntl
import os
import pty
import re
import select
import signal
import stat
import struct
import termios
import time
import unittest

from tests import job

TASK = """#!/usr/bin/python3
import signal, sys
index = next(a.split("=")[1] for a in sys.argv if a.startswith("--task_index="))
assert "--report_progress" in sys.argv
if "ps" in sys.argv[0].rsplit("/", 1)[1]:
    print(f"ps:{index} listening on localhost:1", flush=True)
    print("progress: round 12", flush=True)
    signal.pause()
print("progress: step 1/9 loss 0.5000 100 samples/s", flush=True)
print("a line of its own", flush=True)
print(f"progress: step {5 + int(index)}/9 loss 0.2500 200 samples/s", flush=True)
if index == "0":
    signal.pause()
"""


class Screen:
    """What a terminal shows that gets these bytes: the lines from the first on."""

    def __init__(self):
        self.lines = [""]
        self.row = self.column = 0

    def feed(self, text):
        for control, count, kind, plain in re.findall(r"(\x1b\[(\d*)([A-Za-z]))|([^\x1b])", text):
            if kind == "A":
                self.row = max(0, self.row - int(count or 1))
            elif kind == "J":
                self.lines = self.lines[: self.row] + [self.lines[self.row][: self.column]]
            elif control:
                continue  # colours
            elif plain == "\r":
                self.column = 0
            elif plain == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + plain + line[self.column + 1 :]
                self.column += 1


class TerminalTest(job.JobTest):
    def run_on_terminal(self, env, shown):
        """Starts a job, waits until the screen is as `shown` says, lets it end. Returns all bytes and the last screen."""
        for kind in ("ps", "worker"):
            path = os.path.join(self.folder, kind)
            with open(path, "w", encoding="utf-8") as file:
                file.write(TASK)
            os.chmod(path, stat.S_IRWXU)
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        environment.update(env)
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(job.program("deploy/parley"),
                      ["parley", "launch", "--ps=1", "--workers=2", f"--ps_program={self.folder}/ps",
                       f"--worker_program={self.folder}/worker", "--"], environment)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        received = ""
        end = time.monotonic() + job.DEADLINE
        signalled = False
        screen = Screen()
        while True:
            self.assertLess(time.monotonic(), end, received)
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                data = os.read(terminal, 1 << 16).decode()
            except OSError:  # the other end is closed
                break
            received += data
            screen = Screen()
            screen.feed(received)
            if not signalled and shown(screen.lines):
                signalled = True
                os.kill(pid, signal.SIGINT)
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        self.assertTrue(signalled, received)
        self.assertEqual(os.WEXITSTATUS(status), 130)
        return received, screen.lines

    def test_each_task_has_a_line_that_changes_in_place(self):
        wanted = ["worker:0  training  step 5/9 loss 0.2500 200 samples/s", "worker:1  done      step 6/9 loss 0.2500 200 samples/s",
                  "ps:0      serving   round 12"]
        received, left = self.run_on_terminal(
            {}, lambda lines: [line for line in lines if "serving" in line or "step" in line] == wanted)
        self.assertIn("\x1b[32mworker:0\x1b[0m", received)
        # When it is over, only what the tasks said stands there.
        self.assertIn("[worker:0] a line of its own", left)
        self.assertFalse([line for line in left if "samples/s" in line], left)

    def test_without_colours(self):
        received, _ = self.run_on_terminal({"NO_COLOR": "1"}, lambda lines: any("round 12" in line for line in lines))
        self.assertNotRegex(received, r"\x1b\[\d+m")


if __name__ == "__main__":
    unittest.main(verbosity=2)
