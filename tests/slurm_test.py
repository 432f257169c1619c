"""deploy/slurm/train.sbatch under a real Slurm: munged, slurmctld and slurmd on this host, of the test's own."""

import getpass
import os
import re
import shutil
import subprocess
import unittest

from tests import job

CONFIG = """
ClusterName=parley
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={port}
SlurmdPort={slurmd_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
NodeName=localhost CPUs=8 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class SlurmTest(job.JobTest):
    def setUp(self):
        super().setUp()
        # munged and slurmd want folders that others cannot write to, and can pass.
        os.chmod(self.folder, 0o755)
        for name in ("state", "spool", "bin"):
            os.mkdir(f"{self.folder}/{name}")
        for label in ("ps/parley_ps", "worker/parley_worker"):
            os.symlink(job.program(label), f"{self.folder}/bin/{os.path.basename(label)}")
        self.port = job.free_ports(4)
        with open(f"{self.folder}/slurm.conf", "w", encoding="utf-8") as file:
            file.write(CONFIG.format(folder=self.folder, user=getpass.getuser(), port=self.port,
                                     slurmd_port=self.port + 1))
        with open(f"{self.folder}/munge.key", "wb") as file:
            file.write(os.urandom(1024))
        os.chmod(f"{self.folder}/munge.key", 0o600)
        self.env = {"SLURM_CONF": f"{self.folder}/slurm.conf", "PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/bin"}
        self.started = False
        self.start_slurm()

    def start_slurm(self):
        for daemon in ("munged", "slurmctld", "slurmd"):
            if shutil.which(daemon, path=self.env["PATH"]) is None:
                self.skipTest(f"{daemon} is not installed")
        self.start("munged", "/usr/sbin/munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key",
                   f"--socket={self.folder}/munge.socket", f"--pid-file={self.folder}/munged.pid",
                   f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munge.seed")
        job.wait_until(lambda: os.path.exists(f"{self.folder}/munge.socket") or self.ended(),
                       "munged made no socket")
        self.start("slurmctld", "/usr/sbin/slurmctld", "-D", env=self.env)
        self.start("slurmd", "/usr/sbin/slurmd", "-D", "-N", "localhost", env=self.env)
        job.wait_until(lambda: "idle" in self.slurm("sinfo", "-h", "-o", "%t") or self.ended(),
                       "the node does not become idle: " + "\n".join(t.output() for t in self.tasks))
        if self.ended():
            self.skipTest("Slurm does not run here: " + " ".join(t.output()[-500:] for t in self.ended()))
        self.started = True

    def tearDown(self):
        if self.started:
            # What Slurm started is not among the test's own processes.
            self.slurm("scancel", "--full", "--signal=KILL", "--user", getpass.getuser())
            job.wait_until(lambda: not self.slurm("squeue", "-h").strip(), "a job stays in the queue")
        super().tearDown()

    def ended(self):
        return [task for task in self.tasks if task.process.poll() is not None]

    def slurm(self, *command):
        """What a command of Slurm prints; '' when it cannot reach the controller yet."""
        result = subprocess.run(command, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=60,
                                check=False)
        return result.stdout if result.returncode == 0 else ""

    def run_batch(self, *flags):
        """Submits the script; returns its exit code and what it wrote."""
        output = f"{self.folder}/batch.out"
        submitted = self.slurm("sbatch", "--parsable", f"--output={output}", f"--chdir={self.folder}",
                               f"--export=ALL,PORT={self.port + 2}", job.program("deploy/slurm/train.sbatch"), *flags)
        number = submitted.strip()
        self.assertRegex(number, r"^\d+$")
        state = lambda: self.slurm("scontrol", "show", "job", number)
        job.wait_until(lambda: re.search(r"JobState=(COMPLETED|FAILED|CANCELLED)", state()),
                       f"job {number} does not end")
        with open(output, encoding="utf-8") as file:
            return int(re.search(r"ExitCode=(\d+):", state()).group(1)), file.read()

    def test_a_batch_job_trains_and_a_failing_one_says_why(self):
        train = (f"--data_dir={job.DATA}", "--model=mlp", "--steps=200", "--seed=1")
        code, output = self.run_batch(*train)
        self.assertEqual(code, 0, output)
        self.assertIn("mlp, sync, 2 workers, 2 shards, 200 steps", output)
        accuracy = float(re.search(r"test accuracy +([\d.]+)%", output).group(1))
        self.assertGreater(accuracy, 75.0, output)

        code, output = self.run_batch("--data_dir=/no such folder", "--steps=5")
        self.assertNotEqual(code, 0, output)
        self.assertIn("/no such folder", output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
