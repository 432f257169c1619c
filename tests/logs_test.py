"""What the tasks of a real job write into their logs: lines that say who and where, and --log_json for collectors."""

import json
import re
import unittest

from tests import job

PREFIX = r"^([IWEF])\d{8} \d\d:\d\d:\d\d\.\d{6} \d+ ((?:ps|worker):\d+)(?: step (\d+))? \w+\.cc:\d+\] (.*)$"


class LogsTest(job.JobTest):
    def logs_of_a_job(self, *flags):
        """The logs of a ps task and a worker that have done five steps, by their names."""
        servers, hosts = self.start_ps(1, 1, "--metrics_port=0", *flags)
        worker = self.start_worker(hosts, 0, 1, "--model=linear", "--steps=5", "--metrics_port=0", "--logdir=/dev/null",
                                   *flags)
        for task in (worker, *servers):
            self.assertEqual(task.exit_code(), 0, task.output())
        return {task.name: [line for line in task.output().splitlines() if line != "<end of output>"]
                for task in (worker, *servers)}

    def test_each_line_says_which_task_and_step(self):
        for name, lines in self.logs_of_a_job().items():
            matches = [match for match in (re.match(PREFIX, line) for line in lines) if match]
            self.assertTrue(matches, lines)
            for match in matches:
                self.assertEqual(match.group(2), name)
        last = matches[-1]  # of the ps task: the job is done
        self.assertEqual((last.group(3), last.group(4)), ("5", "ps:0: the job is done"))

    def test_collectors_get_an_object_a_line(self):
        logs = self.logs_of_a_job("--log_json")
        for name, lines in logs.items():
            entries = [json.loads(line) for line in lines if line.startswith("{")]
            self.assertTrue(entries, lines)
            for entry in entries:
                self.assertEqual(entry["task"], name)
                self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
                self.assertIn(entry["severity"], ("INFO", "WARNING"))
                self.assertRegex(entry["source"], r"^\w+\.cc:\d+$")
                self.assertGreater(entry["thread"], 0)
            # Nothing is there twice, in glog's own form.
            self.assertEqual([line for line in lines if re.match(r"[IWEF]\d{8} ", line)], [])
        (warning,) = [json.loads(line) for line in logs["worker:0"] if "nothing for TensorBoard" in line]
        self.assertEqual(warning["severity"], "WARNING")
        done = json.loads(logs["ps:0"][-1])
        self.assertEqual((done["step"], done["message"]), (5, "ps:0: the job is done"))

    def test_why_a_task_failed_is_an_entry_too(self):
        servers, hosts = self.start_ps(1, 2)
        worker = self.start_worker(hosts, 1, 2, "--startup_timeout=200ms", "--log_json")
        self.assertEqual(worker.exit_code(), 1)
        entry = json.loads([line for line in worker.lines if line.startswith("{")][-1])
        self.assertEqual((entry["severity"], entry["task"]), ("ERROR", "worker:1"))
        self.assertIn("waited for", entry["message"])
        del servers


if __name__ == "__main__":
    unittest.main(verbosity=2)
