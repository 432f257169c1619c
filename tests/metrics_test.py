"""Prometheus itself reads the numbers of a real job: every expression of the dashboard has data, the alerts are sound,
and docs/operations.md names what there is."""

import json
import os
import re
import socket
import unittest
import urllib.parse
import urllib.request

import yaml

from tests import job

DASHBOARD = job.program("deploy/grafana/parley.json")
ALERTS = job.program("deploy/prometheus/alerts.yml")
OPERATIONS = job.program("docs/operations.md")


def expressions():
    """(panel, expression) of the dashboard, with Grafana's variables filled in."""
    with open(DASHBOARD, encoding="utf-8") as file:
        dashboard = json.load(file)
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$job", ".*").replace("$__rate_interval", "30s")


def base_name(name):
    return re.sub(r"_(bucket|sum|count)$", "", name)


def names_in(text):
    """The metrics that a text names, of ps and worker tasks; the programs are none."""
    found = {base_name(name) for name in re.findall(r"\b(?:parley|process)_[a-z_]+\b", text)}
    return {name for name in found if not name.startswith("parley_serve")} - {"parley_ps", "parley_worker"}


class MetricsTest(job.JobTest):
    def scrape(self, port):
        with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=30) as answer:
            return answer.read().decode()

    def metrics_port(self, task):
        return int(task.wait_for(r"metrics on port (\d+), at /metrics").group(1))

    def start_watched_job(self):
        """Two shards that keep logs and copies, two workers, all until they are stopped. Returns the ports of their
        numbers, by task."""
        first = job.free_ports(2)
        hosts = f"localhost:{first},localhost:{first + 1}"
        tasks = [
            self.start(f"ps:{i}", job.program("ps/parley_ps"), f"--ps_hosts={hosts}", "--workers=2", f"--task_index={i}",
                       "--metrics_port=0", "--durability=disk", f"--durable_dir={self.folder}/log", "--replicas=1",
                       f"--checkpoint_dir={self.folder}/checkpoints") for i in range(2)
        ]
        for task in tasks:
            task.wait_for("listening on")
        # A driver's library of a machine with GPUs, which this one need not have.
        environment = {"LD_LIBRARY_PATH": job.program("cuda/testing")}
        for i in range(2):
            tasks.append(
                self.start(f"worker:{i}", job.program("worker/parley_worker"), f"--ps_hosts={hosts}", "--workers=2",
                           f"--task_index={i}", f"--data_dir={job.DATA}", "--model=linear", "--batch_size=1000",
                           "--steps=100000000", f"--checkpoint_dir={self.folder}/checkpoints", "--checkpoint_every=20",
                           "--metrics_port=0", env=environment))
        return {task.name: self.metrics_port(task) for task in tasks}

    def start_prometheus(self, ports):
        config = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [os.path.realpath(ALERTS)],
            "scrape_configs": [{
                "job_name": "parley",
                "static_configs": [{"targets": [f"localhost:{port}" for port in ports]}],
            }],
        }
        path = os.path.join(self.folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            yaml.safe_dump(config, file)
        self.address = f"127.0.0.1:{job.free_ports(1)}"
        prometheus = self.start("prometheus", "prometheus", f"--config.file={path}",
                                f"--storage.tsdb.path={self.folder}/prometheus", f"--web.listen-address={self.address}")
        prometheus.wait_for("Server is ready to receive web requests")

    def ask(self, path, **parameters):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # an unsound expression raises
            return json.load(answer)["data"]

    def query(self, expression):
        return self.ask("query", query=expression)["result"]

    def test_prometheus_has_data_for_everything_that_is_drawn_or_watched(self):
        ports = self.start_watched_job()
        self.start_prometheus(ports.values())
        drawn = list(expressions())
        self.assertGreater(len(drawn), 30)
        for panel, expression in drawn:
            job.wait_until(lambda expression=expression: self.query(expression),
                           f"panel '{panel}' has no data: {expression}")

        # All metrics of a task are documented, and the documented ones are there.
        served = set()
        for port in ports.values():
            served |= {base_name(name) for name in re.findall(r"^# TYPE (\S+)", self.scrape(port), re.MULTILINE)}
        served = {name for name in served if not name.startswith("exposer_")}
        with open(OPERATIONS, encoding="utf-8") as file:
            documented = names_in(file.read())
        self.assertEqual(served, documented)

        def rules():
            return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

        job.wait_until(lambda: all(rule["health"] != "unknown" for rule in rules()), "the alerts are not evaluated")
        self.assertEqual({rule["name"]: rule["health"] for rule in rules()},
                         {rule["name"]: "ok" for rule in rules()})
        # One that names something else than the tasks do would be as quiet.
        for rule in rules():
            for name in names_in(rule["query"]):
                self.assertIn(name, served, rule["name"])

        worker = next(task for task in self.tasks if task.name == "worker:1")
        worker.kill()
        job.wait_until(lambda: any(alert["labels"]["alertname"] == "ParleyTaskDown" for alert in self.ask("alerts")["alerts"]),
                       "nobody noticed that a worker died")

    def test_a_port_in_use_is_a_warning_and_training_goes_on(self):
        with socket.socket(socket.AF_INET6 if os.path.exists("/proc/net/if_inet6") else socket.AF_INET) as taken:
            taken.bind(("", 0))
            taken.listen()
            port = taken.getsockname()[1]
            servers, hosts = self.start_ps(1, 1, f"--metrics_port={port}")
            worker = self.start_worker(hosts, 0, 1, "--model=linear", "--steps=5", f"--metrics_port={port}")
            for task in (worker, *servers):
                self.assertEqual(task.exit_code(), 0, task.output())
                self.assertRegex(task.output(), rf"W.*{task.name}: no metrics: cannot listen on port {port}")

    def test_a_port_that_there_is_not_is_refused(self):
        task = self.start("ps", job.program("ps/parley_ps"), "--ps_hosts=localhost:0", "--workers=1", "--task_index=0",
                          "--metrics_port=70000")
        self.assertEqual(task.exit_code(), 2)
        self.assertIn("--metrics_port", task.output())


if __name__ == "__main__":
    unittest.main(verbosity=2)
