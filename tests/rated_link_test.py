"""Over a line of limited rate, between two network namespaces, a synchronous job has the bits that it has without one.

How long a step takes there is bench/rated_link.py's matter. Skipped where namespaces cannot be made.
"""

import unittest

from bench.network_namespace import Unavailable
from bench.rated_link import RatedLink, run_pair
from tests import job

PROGRAM = job.program("bench/link_ends")
FLAGS = ("--tensors=5", "--bytes=838860", "--steps=4")  # 4 MiB, of which 6 requests go each way


class Loopback:
    """No link: both ends are this host."""

    def command(self, _, *words):
        return list(words)


class RatedLinkTest(unittest.TestCase):
    def test_a_slow_line_changes_no_bits(self):
        try:
            link = RatedLink(mbit=200)
        except Unavailable as error:
            self.skipTest(f"no line of limited rate can be made here: {error}")
        with link:
            slow = run_pair(link, PROGRAM, "ps", "worker", *FLAGS)
        quick = run_pair(Loopback(), PROGRAM, "ps", "worker", *FLAGS, host="127.0.0.1")
        self.assertEqual(slow["crc32c"], quick["crc32c"])
        # 200 Mbit/s is 25 MB/s: that the line was there.
        self.assertGreater(float(slow["seconds"]), 4 * 1024 * 1024 / 25e6)


if __name__ == "__main__":
    unittest.main()
