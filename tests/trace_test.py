"""Where a step goes: --profile of a whole job, put together."""

import collections
import json
import os
import signal
import threading
import unittest

from tests import job

STEPS = 60


class TraceTest(job.JobTest):
    def launch(self, *rest, workers=2):
        return self.start("launch", job.program("deploy/parley"), "launch", "--ps=2", f"--workers={workers}", "--",
                          f"--data_dir={job.DATA}", "--model=linear", f"--steps={STEPS}", *rest)

    def read(self, folder):
        with open(f"{folder}/trace.json", encoding="utf-8") as file:
            trace = json.load(file)
        names = {}
        for event in trace["traceEvents"]:
            if event["name"] == "process_name":
                names[event["pid"]] = event["args"]["name"]
        spans = [dict(event, task=names[event["pid"]]) for event in trace["traceEvents"] if event["ph"] == "X"]
        return trace, spans

    def check_nested(self, spans):
        """In each row a span is within, or behind, those before it."""
        rows = collections.defaultdict(list)
        for span in spans:
            rows[span["pid"], span["tid"]].append((span["ts"], span["ts"] + span["dur"], span["name"]))
        for row in rows.values():
            open_spans = []
            for begin, end, name in sorted(row, key=lambda span: (span[0], -span[1])):
                while open_spans and open_spans[-1][1] <= begin + 0.0015:
                    open_spans.pop()
                if open_spans:
                    self.assertLessEqual(end, open_spans[-1][1] + 0.0015, f"{name} sticks out of {open_spans[-1]}")
                open_spans.append((begin, end, name))

    def check_covered(self, spans):
        """Each request of a worker covers what a shard did for it."""
        sent = {s["args"]["request"]: s for s in spans if s["task"].startswith("worker") and "request" in s["args"]}
        handled = [s for s in spans if s["task"].startswith("ps") and "request" in s["args"]]
        self.assertGreater(len(handled), STEPS)
        for there in handled:
            here = sent[there["args"]["request"]]
            self.assertLessEqual(here["ts"], there["ts"] + 0.002)
            self.assertGreaterEqual(here["ts"] + here["dur"] + 0.002, there["ts"] + there["dur"])

    def test_a_job_is_traced_from_the_workers_steps_to_the_shards_work(self):
        folder = f"{self.folder}/traces"
        launch = self.launch(f"--profile={folder}", f"--checkpoint_dir={self.folder}/checkpoints")
        self.assertEqual(launch.exit_code(), 0, launch.output())
        self.assertIn(f"{folder}/trace.json has", launch.output())
        trace, spans = self.read(folder)
        self.check_nested(spans)
        self.check_covered(spans)
        names = collections.Counter((span["task"], span["name"]) for span in spans)
        for worker in ("worker:0", "worker:1"):
            for name in ("step", "compute", "forward", "backward", "push", "wait"):
                self.assertGreaterEqual(names[worker, name], STEPS, name)
        for shard in ("ps:0", "ps:1"):
            for name in ("handle", "check", "apply"):
                self.assertGreaterEqual(names[shard, name], STEPS, name)
            self.assertEqual(names[shard, "write checkpoint"], 1)
        ends = collections.Counter(event["ph"] for event in trace["traceEvents"])
        self.assertGreater(ends["s"], STEPS)
        self.assertEqual(ends["s"], ends["f"])

    def test_only_the_steps_that_were_asked_for(self):
        folder = f"{self.folder}/traces"
        launch = self.launch("--profile", folder, "--profile_steps=20-29", workers=1)
        self.assertEqual(launch.exit_code(), 0, launch.output())
        _, spans = self.read(folder)
        steps = {span["args"]["step"] for span in spans if "step" in span["args"]}
        self.assertEqual(steps, set(range(20, 30)))

    def test_a_slow_worker_is_seen(self):
        folder = f"{self.folder}/traces"
        servers, hosts = self.start_ps(1, 2, f"--profile={folder}")
        workers = [self.start_worker(hosts, i, 2, "--model=linear", "--steps=1500", f"--profile={folder}")
                   for i in range(2)]
        workers[0].wait_for("step [1-9]")
        workers[1].signal(signal.SIGSTOP)
        pause = threading.Event()
        pause.wait(1)  # how slow it is
        workers[1].signal(signal.SIGCONT)
        for task in workers + servers:
            self.assertEqual(task.exit_code(), 0, task.output())
        merge = self.start("trace", job.program("deploy/parley"), "trace", folder)
        self.assertEqual(merge.exit_code(), 0, merge.output())
        _, spans = self.read(folder)
        self.check_covered(spans)
        longest = max((s for s in spans if s["task"] == "ps:0" and s["name"].startswith("wait for")),
                      key=lambda span: span["dur"])
        self.assertEqual(longest["name"], "wait for worker:1")
        self.assertGreater(longest["dur"], 0.5e6)
        waits = [s for s in spans if s["task"] == "worker:0" and s["name"] == "wait"]
        self.assertGreater(max(s["dur"] for s in waits), 0.5e6)

    def test_an_unwritable_folder_is_a_warning(self):
        (server,), _ = self.start_ps(1, 1, "--profile=/proc/no such folder")  # it listens nevertheless
        server.wait_for("ps:0: no trace: ")

    def test_a_full_disk_is_a_warning(self):
        folder = f"{self.folder}/full"
        os.makedirs(folder)
        os.symlink("/dev/full", f"{folder}/ps-0.trace.json.tmp")
        launch = self.launch(f"--profile={folder}", workers=1)
        self.assertEqual(launch.exit_code(), 0, launch.output())
        self.assertRegex(launch.output(), r"ps:0: no trace: .*No space left")
        self.assertIn("| linear, sync", launch.output())

    def test_a_folder_without_traces_is_an_error(self):
        merge = self.start("trace", job.program("deploy/parley"), "trace", self.folder)
        self.assertEqual(merge.exit_code(), 1)
        self.assertIn("parley trace: no traces", merge.output())


if __name__ == "__main__":
    unittest.main(verbosity=2)
