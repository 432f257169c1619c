"""A headless Chromium, driven over a pipe by its own protocol (Chrome DevTools)."""

import json
import os
import select
import signal
import subprocess
import tempfile
import time

PROGRAM = "chromium-headless-shell"
DEADLINE = 120  # seconds, for an answer


class Browser:
    """One page. What goes wrong in it, and what it asks for, is kept in `errors` and `requests`."""

    def __init__(self, width, height):
        self.errors = []
        self.requests = []
        # Its helpers may write for a moment after they were killed.
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._received = b""
        self._last = 0
        self._session = None
        # It reads from descriptor 3 and writes to 4.
        reads, self._writes_to = os.pipe()
        self._reads_from, writes = os.pipe()
        command = [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", "--remote-debugging-pipe", f"--user-data-dir={self._folder.name}"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{reads} 4>&{writes}', "browser", *command], pass_fds=(reads, writes),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(reads)
        os.close(writes)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True)

    def close(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._writes_to)
        os.close(self._reads_from)
        self._folder.cleanup()

    def call(self, method, **parameters):
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writes_to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + DEADLINE
        while True:
            answer = self._receive(end, method)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self._hear(answer)

    def _receive(self, end, method):
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._reads_from], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"the browser does not answer {method}")
            data = os.read(self._reads_from, 1 << 16)
            if not data:
                raise AssertionError(f"the browser ended before it answered {method}")
            self._received += data
        message, self._received = self._received.split(b"\0", 1)
        return json.loads(message)

    def _hear(self, event):
        parameters = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            self.errors.append(parameters["exceptionDetails"])
        elif event["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(parameters["entry"])
        elif event["method"] == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def open(self, url):
        """Returns when the page is there."""
        self.call("Page.navigate", url=url)
        end = time.monotonic() + DEADLINE
        while self.evaluate("document.readyState + location.href") != "complete" + url:
            if time.monotonic() > end:
                raise AssertionError(f"{url} is not there after {DEADLINE} s")
            time.sleep(0.01)
