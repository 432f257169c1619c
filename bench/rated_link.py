#!/usr/bin/python3
"""How long a synchronous step takes over a line of limited rate: rated_link.py --program=bazel-bin/bench/link_ends

Two network namespaces of its own, a pair of virtual Ethernet devices between them, and a token bucket ("tc ... tbf") at each
end: a worker in one, a shard in the other, over gRPC. Prints JSON lines: the median seconds of a step, which pushes all
gradients and pulls all new values, divided by the seconds that the bytes of one direction (both carry the same number) take
at the line's nominal rate, in which headers count, and at the rate that two TCP connections, one each way, were measured to
carry just before or after, the higher. Needs root, iproute2 and util-linux.
"""

import argparse
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from bench.network_namespace import NetworkNamespace, Unavailable  # pylint: disable=wrong-import-position

HOSTS = ("10.254.17.1", "10.254.17.2")


class RatedLink:
    """A link with an address (HOSTS) at each end, on which programs can be started. Unavailable where it cannot be made."""

    def __init__(self, mbit, burst=131072, mtu=1500):
        self.devices = [f"pl{os.getpid()}{end}" for end in "ab"]
        self.ends = []
        try:
            for _ in HOSTS:
                self.ends.append(NetworkNamespace())
            self.ends[0].run("ip", "link", "add", self.devices[0], "type", "veth", "peer", "name", self.devices[1], "netns",
                             str(self.ends[1].pid))
            for end, name, host in zip(self.ends, self.devices, HOSTS):
                end.run("ip", "address", "add", host + "/24", "dev", name)
                end.run("ip", "link", "set", "lo", "up")
                end.run("ip", "link", "set", name, "mtu", str(mtu), "up")
                end.run("tc", "qdisc", "add", "dev", name, "root", "tbf", "rate", f"{mbit}mbit", "burst", str(burst), "latency", "20ms")
        except (OSError, Unavailable) as error:
            self.close()
            raise Unavailable(str(error)) from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def command(self, end, *words):
        """The command that runs `words` at that end, 0 or 1."""
        return self.ends[end].command(*words)

    def close(self):
        for end in self.ends:
            end.close()
        self.ends = []


def run_pair(link, program, server_role, client_role, *flags, host=HOSTS[1]):
    """What the client prints, as a dictionary; the server stands at end 1."""
    server = subprocess.Popen(link.command(1, program, f"--role={server_role}", f"--host={host}"),
                              stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline().split()[1])
        client = link.command(0, program, f"--role={client_role}", f"--peer={host}:{port}", *flags)
        output = subprocess.run(client, check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout
        server.wait(300)
        words = output.split()
        return dict(zip(words[::2], words[1::2]))
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="made by: bazel build //bench:link_ends")
    parser.add_argument("--mbit", type=int, default=1000, help="the line's rate")
    parser.add_argument("--mtu", type=int, default=1500, help="bytes of a packet; 9000 for jumbo frames")
    parser.add_argument("--tensors", type=int, default=16)
    parser.add_argument("--bytes", type=int, default=4 << 20, help="of each tensor")
    parser.add_argument("--block_bytes", type=int, default=0, help="of a block and a request; 0: the defaults, 1 MiB")
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    try:
        with RatedLink(options.mbit, mtu=options.mtu) as link:
            runs = [run_pair(link, options.program, "tcp_server", "tcp_client")]
            worker = run_pair(link, options.program, "ps", "worker", f"--tensors={options.tensors}",
                              f"--bytes={options.bytes}", f"--steps={options.steps}", f"--block_bytes={options.block_bytes}")
            runs.append(run_pair(link, options.program, "tcp_server", "tcp_client"))
    except Unavailable as error:
        sys.exit(f"rated_link: {error}")
    each_way = options.tensors * options.bytes
    seconds = float(worker["seconds"])
    tcp = max(float(run["bytes_per_second"]) for run in runs)
    for name, rate in (("nominal", options.mbit * 125e3), ("tcp", tcp)):
        print(json.dumps({
            "benchmark": "rated_link", "case": f"grpc/1x1/{options.tensors}x{options.bytes}/{options.mbit}mbit/mtu{options.mtu}",
            "figure": round(seconds, 4), "unit": "s", "limit_name": name, "limit": round(each_way / rate, 4),
            "ratio": round(seconds * rate / each_way, 4)}), flush=True)


if __name__ == "__main__":
    main()
