"""What bash completes for parley, parley_ps and parley_worker, against what the programs say of themselves."""

import os
import re
import subprocess
import unittest

from tests import job


class CompletionTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # As installed, side by side.
        cls.folder = os.path.join(os.environ["TEST_TMPDIR"], "bin")
        os.makedirs(cls.folder)
        for program in ("deploy/parley", "ps/parley_ps", "worker/parley_worker"):
            os.symlink(job.program(program), os.path.join(cls.folder, os.path.basename(program)))

    def bash(self, script, *arguments):
        environment = {**os.environ, "PATH": self.folder + ":" + os.environ["PATH"]}
        done = subprocess.run(["bash", "-c", script, "bash", *arguments], env=environment, timeout=job.DEADLINE,
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def complete(self, *words):
        """What the last of `words` may become."""
        return self.bash('eval "$(parley completion)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _parley; '
                         'printf "%s\\n" "${COMPREPLY[@]}"', *words).split()

    def flags(self, *program):
        """The flags in --help, as they are completed."""
        flags = []
        for no, name in re.findall(r"^  --(\[no\])?([a-z0-9_]+)", self.bash('"$@" --help', *program), re.MULTILINE):
            flags += [f"--{name}", f"--no{name}"] if no else [f"--{name}="]
        self.assertTrue(flags)
        return flags

    def commands(self):
        return re.findall(r"^(?:usage:| {6}) parley (\w+)", self.bash("parley help"), re.MULTILINE)

    def test_all_commands_are_completed(self):
        commands = self.commands()
        self.assertLess({"launch", "status", "stop", "inspect", "version"}, set(commands))
        self.assertEqual(self.complete("parley", ""), commands)
        self.assertEqual(self.complete("parley", "sta"), ["status"])

    def test_the_flags_of_each_command_are_completed(self):
        for command in ("launch", "status", "top", "checkpoint", "stop", "inspect"):
            self.assertEqual(self.complete("parley", command, "-"), self.flags("parley", command), command)
        self.assertEqual(self.complete("parley", "status", "--ps"), ["--ps_hosts="])

    def test_the_flags_of_the_tasks_are_completed(self):
        self.assertEqual(self.complete("parley_ps", "--"), self.flags("parley_ps"))
        worker = self.flags("parley_worker")
        self.assertEqual(self.complete("parley_worker", "-"), worker)
        self.assertEqual(self.complete("parley", "launch", "--ps=2", "--", "--"), worker)
        self.assertEqual(self.complete("parley_worker", "--task_index=0", "--res"), ["--resume"])

    def test_else_names_of_files_are(self):
        self.assertEqual(self.complete("parley", "inspect", "/tm"), [])
        self.assertEqual(self.complete("parley_worker", "--data_dir", "=", "/usr"), [])
        self.assertIn("-o default", self.bash('eval "$(parley completion)"; complete -p parley_worker'))


if __name__ == "__main__":
    unittest.main(verbosity=2)
