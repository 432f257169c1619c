"""Hosts of their own for the tasks of a job, on one machine: network namespaces around a bridge, each of which can be cut off. Needs root, iproute2 and
util-linux; everything goes when the process ends, however it ends."""

import os
import subprocess


class Unavailable(Exception):
    """This machine, or this user, cannot have such a network; says why."""


class StarNetwork:
    """`count` hosts, 10.254.18.1 and so on, and the hub at .254."""

    HUB = -1

    def __init__(self, count):
        self._holders = {}
        self._bridge = f"ps{os.getpid()}"
        try:
            for host in [self.HUB, *range(count)]:
                holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self._holders[host] = holder
                if holder.stdout.readline() != "ready\n":
                    raise Unavailable("no network namespace: " + holder.stderr.read().strip())
                self._ip(host, "link", "set", "lo", "up")
            self._ip(self.HUB, "link", "add", self._bridge, "type", "bridge")
            self._ip(self.HUB, "address", "add", self.address(self.HUB) + "/24", "dev", self._bridge)
            self._ip(self.HUB, "link", "set", self._bridge, "up")
            for host in range(count):
                self._ip(self.HUB, "link", "add", self._line(host), "type", "veth", "peer", "name", "line", "netns",
                         str(self._holders[host].pid))
                self._ip(self.HUB, "link", "set", self._line(host), "master", self._bridge)
                self._ip(host, "address", "add", self.address(host) + "/24", "dev", "line")
                self._ip(host, "link", "set", "line", "up")
                self.connect(host)
        except (OSError, Unavailable) as error:
            self.close()
            raise Unavailable(str(error)) from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def address(host):
        return "10.254.18." + str(254 if host == StarNetwork.HUB else host + 1)

    def command(self, host, *words):
        """The command that runs `words` on that host."""
        return ["nsenter", f"--net=/proc/{self._holders[host].pid}/ns/net", "--", *words]

    def cut_off(self, host):
        """Nothing reaches it, or comes from it, and nobody is told."""
        self._ip(self.HUB, "link", "set", self._line(host), "down")

    def connect(self, host):
        self._ip(self.HUB, "link", "set", self._line(host), "up")

    def namespace(self, host):
        """A file of its network namespace, for setns()."""
        return f"/proc/{self._holders[host].pid}/ns/net"

    def close(self):
        for holder in self._holders.values():
            holder.stdin.close()
            holder.wait()
            holder.stdout.close()
            holder.stderr.close()
        self._holders = {}

    @staticmethod
    def _line(host):
        return f"to{host}"

    def _ip(self, host, *words):
        environment = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        result = subprocess.run(self.command(host, "ip", *words), stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment,
                                check=False)
        if result.returncode != 0:
            raise Unavailable(f"ip {' '.join(words)}: {result.stderr.strip()}")
