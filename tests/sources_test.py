"""The sources keep to the project's rules. Looks at the working tree, found through a link to one of its files."""

import os
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.realpath("tools/layering")))


class SourcesTest(unittest.TestCase):
    def run_tool(self, *command, path=os.environ.get("PATH", "")):
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "PATH": path}, check=False)

    def test_folders_depend_in_one_direction(self):
        result = self.run_tool("tools/layering")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_everything_is_formatted(self):
        result = self.run_tool("tools/format", "--check")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_setup_without_apt_lists_what_is_needed(self):
        empty = os.path.join(os.environ.get("TEST_TMPDIR", "/tmp"), "bin")
        os.makedirs(empty, exist_ok=True)
        for tool in ("bash", "dirname", "grep", "env"):
            if not os.path.lexists(os.path.join(empty, tool)):
                os.symlink(f"/usr/bin/{tool}", os.path.join(empty, tool))
        result = self.run_tool("/bin/bash", "tools/setup", path=empty)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("no apt-get", result.stderr)
        for package in ("bazel-bootstrap", "libgrpc++-dev", "dataset-fashion-mnist"):
            self.assertIn(package, result.stderr)

    def test_setup_a_second_time_does_nothing(self):
        result = self.run_tool("tools/setup")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
