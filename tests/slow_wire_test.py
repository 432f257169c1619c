"""A job whose line is slow: its verdict says so, with the flag that helps."""

import re
import select
import socket
import threading
import time
import unittest

from tests import job

BYTES_PER_SECOND = 8e6


class SlowLine:
    """A proxy on a free port of localhost that lets through so many bytes a second, each way of each connection."""

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("localhost", 0))
        self.port = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._threads = []
        self._start(self._accept)

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while not self._stop.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            near, _ = self._listener.accept()
            far = socket.create_connection(("localhost", self._target))
            self._start(self._copy, near, far)
            self._start(self._copy, far, near)

    def _copy(self, source, target):
        free = time.monotonic()  # when the line is
        while not self._stop.is_set():
            if not select.select([source], [], [], 0.05)[0]:
                continue
            try:
                data = source.recv(1 << 14)
                if not data:
                    break
                free = max(free, time.monotonic()) + len(data) / BYTES_PER_SECOND
                self._stop.wait(max(0.0, free - time.monotonic()))
                target.sendall(data)
            except OSError:
                break
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self._stop.set()
        for thread in list(self._threads):
            thread.join()
        self._listener.close()


class SlowWireTest(job.JobTest):
    def test_the_verdict_of_a_slow_line(self):
        servers, hosts = self.start_ps(1, 1)
        line = SlowLine(int(hosts.rsplit(":", 1)[1]))
        self.addCleanup(line.close)
        worker = self.start_worker(f"localhost:{line.port}", 0, 1, "--model=mlp", "--transport=grpc", "--steps=8")
        for task in [worker] + servers:
            self.assertEqual(task.exit_code(), 0, task.output())
        share = lambda name: float(re.search(rf"\|   {name} +([\d.]+)%", worker.output()).group(1))
        self.assertGreater(share("wire"), 50.0, worker.output())
        self.assertIn("| the wire bounds it: --push_dtype=bfloat16", worker.output())
        measured = re.search(r"at the ([\d.]+) MB/s of a last pull alone", worker.output())
        self.assertIsNotNone(measured, worker.output())
        self.assertLess(float(measured.group(1)), 1.5 * BYTES_PER_SECOND / 1e6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
