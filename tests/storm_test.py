"""A short storm over training jobs on hosts of their own: bench/storm.py, with few kills.

PARLEY_KILLS in the environment: how many, at least; 3 unless told. Skipped where network namespaces cannot be made.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from bench.network_namespace import Unavailable
from bench.star_network import StarNetwork
from tests import job

KILLS = int(os.environ.get("PARLEY_KILLS", "3"))


class StormTest(unittest.TestCase):
    def test_jobs_whose_tasks_are_killed_stopped_cut_off_added_and_removed_end_with_the_bits_of_those_that_nobody_disturbed(self):
        try:
            StarNetwork(1).close()
        except Unavailable as error:
            self.skipTest(f"no hosts can be made here: {error}")
        with tempfile.NamedTemporaryFile(mode="r", suffix=".log") as log:
            storm = subprocess.run([sys.executable, job.program("bench/storm.py"), f"--bin={job.RUNFILES}", f"--kills={KILLS}", "--steps=800",
                                    f"--log={log.name}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual(storm.returncode, 0, storm.stdout + log.read())
        disturbances = json.loads(storm.stdout.splitlines()[-1])["disturbances"]
        self.assertGreaterEqual(disturbances["killed"], KILLS)
        self.assertGreaterEqual(disturbances["number of ps tasks changed"], 1)
        self.assertGreaterEqual(disturbances["number of workers changed"], 1)


if __name__ == "__main__":
    unittest.main()
