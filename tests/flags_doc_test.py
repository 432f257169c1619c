"""docs/flags.md says what the programs say."""

import difflib
import unittest

from tests import job
from tools import flags


class FlagsDocTest(unittest.TestCase):
    def test_the_list_of_flags_is_current(self):
        with open(job.program("docs/flags.md"), encoding="utf-8") as file:
            written = file.read()
        said = flags.flags_markdown(job.RUNFILES)
        difference = list(difflib.unified_diff(written.splitlines(), said.splitlines(), "docs/flags.md", "the programs",
                                               lineterm="", n=0))
        self.assertEqual(difference, [], "run tools/flags\n" + "\n".join(difference))

    def test_every_flag_says_what_it_is(self):
        with open(job.program("docs/flags.md"), encoding="utf-8") as file:
            rows = [line for line in file if line.startswith("| `--")]
        self.assertGreater(len(rows), 80)
        for row in rows:
            self.assertRegex(row, r"^\| `--[a-z0-9_]+` \| [a-z ]+ \| (?:`[^`]+`)? \| [^ ].*\. \|$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
