"""Hosts of their own for the tasks of a job, on one machine: network namespaces around a bridge, each of which can be cut off."""

import os

from bench.network_namespace import NetworkNamespace, Unavailable


class StarNetwork:
    """`count` hosts, 10.254.18.1 and so on, and the hub at .254. Unavailable where they cannot be made."""

    HUB = -1

    def __init__(self, count):
        self._spaces = {}
        bridge = f"ps{os.getpid()}"
        try:
            hub = self._spaces[self.HUB] = NetworkNamespace()
            hub.run("ip", "link", "set", "lo", "up")
            hub.run("ip", "link", "add", bridge, "type", "bridge")
            hub.run("ip", "address", "add", self.address(self.HUB) + "/24", "dev", bridge)
            hub.run("ip", "link", "set", bridge, "up")
            for host in range(count):
                space = self._spaces[host] = NetworkNamespace()
                hub.run("ip", "link", "add", self._line(host), "type", "veth", "peer", "name", "line", "netns", str(space.pid))
                hub.run("ip", "link", "set", self._line(host), "master", bridge)
                space.run("ip", "link", "set", "lo", "up")
                space.run("ip", "address", "add", self.address(host) + "/24", "dev", "line")
                space.run("ip", "link", "set", "line", "up")
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
        return self._spaces[host].command(*words)

    def cut_off(self, host):
        """Nothing reaches it, or comes from it, and nobody is told."""
        self._spaces[self.HUB].run("ip", "link", "set", self._line(host), "down")

    def connect(self, host):
        self._spaces[self.HUB].run("ip", "link", "set", self._line(host), "up")

    def namespace(self, host):
        """A file of its network namespace, for setns()."""
        return self._spaces[host].path

    def close(self):
        for space in self._spaces.values():
            space.close()
        self._spaces = {}

    @staticmethod
    def _line(host):
        return f"to{host}"
