"""The status page of a ps task, of a real job, in a real browser."""

import json
import unittest
import urllib.request

from tests import browser, job

LONG = ("--model=mlp", "--batch_size=32", "--learning_rate=0.01", "--seed=3", "--steps=1000000")


class StatusPageTest(job.JobTest):
    def start_job(self, ps, workers, *flags):
        """Returns the ps tasks, the workers, and where the first ps task's page is."""
        servers, hosts = self.start_ps(ps, workers, "--status_port=0", f"--checkpoint_dir={self.folder}/c")
        tasks = [self.start_worker(hosts, i, workers, *LONG, *flags) for i in range(workers)]
        tasks[0].wait_for("progress: ")
        port = servers[0].wait_for(r"status page on port (\d+)").group(1)
        return servers, tasks, f"http://localhost:{port}/"

    def status(self, page):
        with urllib.request.urlopen(page + "status.json", timeout=job.DEADLINE) as answer:
            return json.load(answer)

    def test_the_page_moves_on_a_phone(self):
        servers, workers, page = self.start_job(1, 2, f"--checkpoint_dir={self.folder}/c", "--checkpoint_every=50")
        view = browser.Browser(390, 844)
        self.addCleanup(view.close)
        view.open(page)
        version = "Number(document.getElementById('version').textContent.replaceAll(',', '')) || 0"
        job.wait_until(lambda: view.evaluate(version) > 0, "no rounds are shown")
        first = view.evaluate(version)
        job.wait_until(lambda: view.evaluate(version) > first, "the rounds do not move")
        curve = "(document.querySelector('#loss-curve path') || {getAttribute: () => ''}).getAttribute('d')"
        job.wait_until(lambda: "L" in view.evaluate(curve), "there is no curve")
        drawn = view.evaluate(curve)
        job.wait_until(lambda: view.evaluate(curve) != drawn, "the curve does not move")
        text = view.evaluate("document.body.innerText")
        for expected in ("worker:0", "worker:1", "shard 0 at localhost:", "loss", "samples a second", "of 1,000,000"):
            self.assertIn(expected, text)
        job.wait_until(lambda: "step-" in view.evaluate("document.getElementById('checkpoint').textContent"),
                       "no checkpoint is shown")
        self.assertIn("status page on port", view.evaluate("document.getElementById('log').textContent"))
        self.assertLessEqual(view.evaluate("document.documentElement.scrollWidth"), 390, "wider than the phone")
        self.assertEqual(view.errors, [])
        # A task that has gone is said, and what was there stays.
        for task in workers + servers:
            task.kill()
        job.wait_until(lambda: "does not answer" in view.evaluate("document.getElementById('lost').innerText"),
                       "the page does not say that the task has gone")
        self.assertIn("worker:1", view.evaluate("document.body.innerText"))
        # All that it asked for is of the task, and nothing went wrong but that it has gone.
        self.assertEqual({url.split("?")[0] for url in view.requests} - {page, page + "status.json"}, set())
        self.assertEqual([error for error in view.errors if "net::ERR_" not in str(error)], [])

    def test_the_json_has_all_shards_of_a_job_whose_addresses_are_known(self):
        first = job.free_ports(2)
        hosts = f"localhost:{first},localhost:{first + 1}"
        servers = [self.start(f"ps:{i}", job.program("ps/parley_ps"), f"--ps_hosts={hosts}", "--workers=1",
                              f"--task_index={i}", "--status_port=0") for i in range(2)]
        port = servers[1].wait_for(r"status page on port (\d+)").group(1)
        for server in servers:
            server.wait_for("listening on")
        page = f"http://localhost:{port}/"
        self.assertIsNone(self.status(page)["job"]["job"])
        worker = self.start_worker(hosts, 0, 1, *LONG)
        worker.wait_for("progress: ")
        job.wait_until(lambda: len(self.status(page)["history"]["version"]) > 1, "no history")
        status = self.status(page)
        self.assertEqual(status["task"], "ps:1")
        # The other one may be slow, but it is there.
        job.wait_until(lambda: [s["state"] for s in self.status(page)["job"]["shards"]] == ["serving", "serving"],
                       f"not both serve: {status}")
        self.assertEqual([p["shard"] for p in status["placement"]], [0, 1])
        shards = self.status(page)["job"]["shards"]
        self.assertEqual([p["bytes"] for p in status["placement"]], [s.get("bytes") for s in shards])

    def test_tasks_that_are_not_known_are_said_to_be(self):
        _, _, page = self.start_job(2, 1)
        shards = self.status(page)["job"]["shards"]
        self.assertEqual(shards[1]["state"], "unknown")
        self.assertIn("ps:1: its address is not known here", shards[1]["error"])

    def test_a_port_in_use_is_a_warning(self):
        servers, _, page = self.start_job(1, 1)
        port = page.split(":")[2].strip("/")
        other, _ = self.start_ps(1, 1, f"--status_port={port}")
        other[0].wait_for(f"W.*no status page: cannot listen on port {port}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
