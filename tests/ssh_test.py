"""parley launch --hosts over a real sshd on this host, of the test's own, with a throw-away key."""

import getpass
import os
import re
import shutil
import signal
import subprocess
import unittest

from tests import job

SSHD = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""

# Words that are no hosts: only ssh's config knows what they mean.
CONFIG = """
Host first second
  HostName localhost
  AddressFamily inet
  Port {port}
  IdentityFile {folder}/key
Host stranger
  HostName localhost
  AddressFamily inet
  Port {port}
  IdentityFile {folder}/other_key
Host nobody
  HostName localhost
  Port {unused}
Host *
  User {user}
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile {folder}/known_hosts
"""

SLEEPER = """#!/usr/bin/python3
import os, signal, sys
index = next(a.split("=")[1] for a in sys.argv if a.startswith("--task_index="))
%s
print(f"pid {os.getpid()}", flush=True)
if "ps" in sys.argv[0]:
    print(f"ps:{index} listening on 0.0.0.0:1000", flush=True)
while True:
    signal.pause()
"""


class SshTest(job.JobTest):
    def setUp(self):
        super().setUp()
        self.sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
        if self.sshd is None or shutil.which("ssh") is None:
            self.skipTest("sshd is not installed")
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # it insists
        os.chmod(self.folder, 0o755)
        for name in ("host_key", "key", "other_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.folder}/{name}"], check=True,
                           timeout=60)
        shutil.copy(f"{self.folder}/key.pub", f"{self.folder}/authorized_keys")
        port = job.free_ports(2)
        with open(f"{self.folder}/sshd_config", "w", encoding="utf-8") as file:
            file.write(SSHD.format(folder=self.folder, port=port))
        with open(f"{self.folder}/ssh_config", "w", encoding="utf-8") as file:
            file.write(CONFIG.format(folder=self.folder, port=port, unused=port + 1, user=getpass.getuser()))
        self.start("sshd", self.sshd, "-D", "-e", "-f", f"{self.folder}/sshd_config").wait_for("Server listening")

    def launch(self, hosts, *flags, rest=()):
        with open(f"{self.folder}/hosts", "w", encoding="utf-8") as file:
            file.write(hosts)
        return self.start("launch", job.program("deploy/parley"), "launch", f"--hosts={self.folder}/hosts",
                          f"--ssh=ssh -F {self.folder}/ssh_config", *flags, "--", *rest)

    def sleepers(self, before):
        """Flags for tasks that wait for ever."""
        flags = []
        for kind in ("ps", "worker"):
            path = f"{self.folder}/{kind} program"  # a blank, which two shells have to keep
            with open(path, "w", encoding="utf-8") as file:
                file.write(SLEEPER % before)
            os.chmod(path, 0o700)
            flags.append(f"--{kind}_program={path}")
        return flags

    def pids(self, launch, count):
        found = []
        launch.wait_for_count(r"pid (\d+)", count, found)
        return [int(match.group(1)) for match in found]

    def assert_gone(self, pids):
        for pid in pids:
            job.wait_until(lambda pid=pid: not job.alive(pid), f"process {pid} still lives")

    def test_a_job_trains_on_hosts_that_only_ssh_knows(self):
        launch = self.launch("first slots=1 # and a ps task\nsecond slots=1\n", "--ps=2", "--workers=2",
                             rest=(f"--data_dir={job.DATA}", "--model=mlp", "--steps=200", "--seed=1"))
        self.assertEqual(launch.exit_code(), 0, launch.output())
        self.assertIn("| mlp, sync, 2 workers, 2 shards, 200 steps", launch.output())
        accuracy = float(re.search(r"test accuracy +([\d.]+)%", launch.output()).group(1))
        self.assertGreater(accuracy, 75.0, launch.output())
        self.assertRegex(launch.output(), r"\[ps:1\] ps:1 listening on 0.0.0.0:\d+")

    def test_an_interrupted_launcher_and_a_killed_one_leave_nothing_behind(self):
        deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
        for number, code, before in ((signal.SIGINT, 130, deaf), (signal.SIGTERM, 143, ""),
                                     (signal.SIGKILL, -signal.SIGKILL, "")):
            with self.subTest(number=number):
                launch = self.launch("first ps\nsecond worker\n", "--ps=1", "--workers=1", *self.sleepers(before))
                pids = self.pids(launch, 2)
                launch.signal(number)
                self.assertEqual(launch.exit_code(), code)
                self.assert_gone(pids)

    def expect_failure(self, launch, pattern, code=1):
        self.assertEqual(launch.exit_code(), code, launch.output())
        lines = [line for line in launch.output().splitlines() if line.startswith("parley launch: ")]
        self.assertEqual(len(lines), 1, launch.output())
        self.assertRegex(lines[0], pattern)

    def test_what_cannot_be_reached_or_run_is_one_line(self):
        one = ("--ps=1", "--workers=1")
        self.expect_failure(self.launch("nobody", *one), r"ps:0 on nobody failed: .*Connection refused")
        self.expect_failure(self.launch("stranger", *one), r"ps:0 on stranger failed: .*Permission denied")
        self.expect_failure(self.launch("first", "--ps_program=/nowhere/parley_ps", *one),
                            r"ps:0 on first failed: exit code 127; .*/nowhere/parley_ps: not found")

    def test_a_wrong_list_of_hosts_is_one_line(self):
        for hosts, message in (("first slots=none", "line 1: slots=none"), ("", "it names no host"),
                               ("first", "there are 2 workers, and slots for 1")):
            self.expect_failure(self.launch(hosts), message, code=2)
        missing = self.start("launch", job.program("deploy/parley"), "launch", "--hosts=/nowhere", "--")
        self.expect_failure(missing, "--hosts: cannot read /nowhere", code=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
