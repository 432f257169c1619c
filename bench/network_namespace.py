"""A network namespace without a name: it is that of a process which ends when this one does, however it ends, and its devices go with it. Needs root,
iproute2 and util-linux."""

import os
import subprocess


class Unavailable(Exception):
    """This machine, or this user, cannot have one; says why."""


class NetworkNamespace:
    def __init__(self):
        self._holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self._holder.stdout.readline() != "ready\n":
            reason = self._holder.stderr.read().strip()
            self.close()
            raise Unavailable("no network namespace: " + reason)

    @property
    def pid(self):
        """Of the process that holds it, for "ip link ... netns"."""
        return self._holder.pid

    @property
    def path(self):
        """The file for setns()."""
        return f"/proc/{self.pid}/ns/net"

    def command(self, *words):
        """The command that runs `words` in it."""
        return ["nsenter", f"--net={self.path}", "--", *words]

    def run(self, *words):
        """Runs a command of the system's in it; Unavailable when it fails."""
        environment = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        result = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False)
        if result.returncode != 0:
            raise Unavailable(f"{' '.join(words)}: {result.stderr.strip()}")

    def close(self):
        self._holder.stdin.close()
        self._holder.wait()
        self._holder.stdout.close()
        self._holder.stderr.close()
