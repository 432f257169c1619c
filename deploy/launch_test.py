"""parley launch with tasks of our own making: those that fail, die, hang, ignore signals, or never listen."""

import os
import signal
import stat
import unittest

from tests import job

PS = """#!/usr/bin/python3
import os, signal, sys, time
index = next(a.split("=")[1] for a in sys.argv if a.startswith("--task_index="))
print("flags of ps", *sys.argv[1:], flush=True)
print(f"pid {os.getpid()}", flush=True)
%(before)s
print(f"ps:{index} listening on localhost:{1000 + int(index)}", flush=True)
signal.pause()
"""

WORKER = """#!/usr/bin/python3
import os, signal, sys, time
index = next(a.split("=")[1] for a in sys.argv if a.startswith("--task_index="))
print("flags of worker", *sys.argv[1:], flush=True)
print(f"pid {os.getpid()}", flush=True)
%(body)s
"""


class LaunchTest(job.JobTest):
    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, stat.S_IRWXU)
        return path

    def launch(self, worker_body, *flags, ps_before="", rest=()):
        ps = self.write("ps", PS % {"before": ps_before})
        worker = self.write("worker", WORKER % {"body": worker_body})
        return self.start("launch", job.program("deploy/parley"), "launch", f"--ps_program={ps}",
                          f"--worker_program={worker}", *flags, "--", *rest)

    def pids(self, launch, count):
        """The pids that the tasks said, once `count` did."""
        found = []
        launch.wait_for_count(r"pid (\d+)", count, found)
        return [int(match.group(1)) for match in found]

    def assert_gone(self, pids):
        for pid in pids:
            job.wait_until(lambda pid=pid: not job.alive(pid), f"process {pid} still lives")

    def test_workers_learn_where_the_shards_listen(self):
        launch = self.launch("sys.exit(3)", "--ps=2", "--workers=1", "--ps_flags=--a --b=1",
                             rest=("--checkpoint_dir=/c", "--steps=3"))
        self.assertEqual(launch.exit_code(), 1)
        output = launch.output()
        self.assertRegex(output, r"\[worker:0\] flags of worker --ps_hosts=localhost:1000,localhost:1001 "
                                 r"--worker_hosts=localhost:0 --task_index=0 --checkpoint_dir=/c --steps=3")
        self.assertIn("parley status --ps_hosts=localhost:1000,localhost:1001 says where it stands\n", output)
        self.assertRegex(output, r"\[ps:1\] flags of ps --ps_hosts=localhost:0,localhost:0 --worker_hosts=localhost:0 "
                                 r"--task_index=1 --a --b=1 --checkpoint_dir=/c")

    def test_a_failing_task_is_reported_and_the_others_are_stopped(self):
        launch = self.launch("def fail(*_):\n    os.write(1, b'out of cheese\\n')\n    os._exit(3)\n"
                             "signal.signal(signal.SIGUSR1, fail)\nprint('ready', flush=True)\n"
                             "while True: signal.pause()", "--ps=2", "--workers=3")
        launch.wait_for_count("ready", 3)
        pids = self.pids(launch, 5)
        os.kill(int(launch.wait_for(r"\[worker:1\] pid (\d+)").group(1)), signal.SIGUSR1)
        self.assertEqual(launch.exit_code(), 1)
        self.assertIn("parley launch: worker:1 failed: exit code 3; its last line: out of cheese", launch.output())
        self.assert_gone(pids)

    def test_a_task_that_dies_by_a_signal_is_reported(self):
        launch = self.launch("os.kill(os.getpid(), signal.SIGSEGV)", "--workers=1")
        self.assertEqual(launch.exit_code(), 1)
        self.assertIn("worker:0 failed: killed by signal 11", launch.output())

    def test_a_shard_that_fails_before_it_listens_is_reported(self):
        launch = self.launch("signal.pause()", ps_before="sys.exit('no port')")
        self.assertEqual(launch.exit_code(), 1)
        self.assertRegex(launch.output(), r"ps:\d failed: exit code 1; its last line: no port")

    def test_a_program_that_is_not_there_is_reported(self):
        launch = self.start("launch", job.program("deploy/parley"), "launch", "--ps_program=/nowhere/ps", "--")
        self.assertEqual(launch.exit_code(), 1)
        self.assertRegex(launch.output(), r"ps:\d failed: exit code 127; its last line: cannot run /nowhere/ps")

    def test_ctrl_c_stops_even_those_that_ignore_it(self):
        launch = self.launch("signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('ready', flush=True)\n"
                             "while True: signal.pause()", "--workers=2")
        launch.wait_for_count("ready", 2)
        pids = self.pids(launch, 4)
        launch.signal(signal.SIGINT)
        self.assertEqual(launch.exit_code(), 130)
        self.assert_gone(pids)

    def test_what_a_task_started_goes_with_it(self):
        launch = self.launch("import subprocess\nchild = subprocess.Popen(['/bin/sleep', '1000'])\n"
                             "print(f'pid {child.pid}', flush=True)\nsignal.pause()", "--ps=1", "--workers=1")
        pids = self.pids(launch, 3)
        launch.signal(signal.SIGTERM)
        self.assertEqual(launch.exit_code(), 143)
        self.assert_gone(pids)

    def test_no_task_outlives_a_killed_launcher(self):
        launch = self.launch("signal.pause()", "--workers=2")
        pids = self.pids(launch, 4)
        launch.signal(signal.SIGKILL)
        launch.exit_code()
        self.assert_gone(pids)

    def test_the_chiefs_table_and_progress_have_no_prefix_and_other_lines_do(self):
        launch = self.launch("print('progress: half\\n| table\\nplain\\nno end of line', end='', flush=True)\n"
                             "sys.exit(1)", "--ps=1", "--workers=1")
        self.assertEqual(launch.exit_code(), 1)
        for line in ("progress: half", "| table", "[worker:0] plain", "[worker:0] no end of line"):
            self.assertIn("\n" + line + "\n", launch.output())


if __name__ == "__main__":
    unittest.main(verbosity=2)
