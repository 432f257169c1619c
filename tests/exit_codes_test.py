"""The table of exit codes in docs/operations.md, cell by cell."""

import re
import signal
import unittest

from tests import job

SMALL = ("--model=linear", "--batch_size=32", "--learning_rate=0.01", "--seed=3")
LONG = SMALL + ("--steps=1000000",)
PATIENT = "--timeout=60s"


def documented():
    """(program, code) for each cell of the table that says something."""
    with open(job.program("docs/operations.md"), encoding="utf-8") as file:
        text = file.read()
    table = re.search(r"^Programs exit with\n\n((?:\|.*\n)+)", text, re.MULTILINE).group(1).splitlines()
    codes = [int(cell) for cell in table[0].split("|")[2:-1]]
    found = set()
    for row in table[2:]:
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        for program in re.findall(r"`([^`]+)`", cells[0]):
            found |= {(program, code) for code, cell in zip(codes, cells[1:]) if cell}
    return found


class ExitCodesTest(job.JobTest):
    def parley(self, *arguments):
        return self.start("parley", job.program("deploy/parley"), *arguments)

    def job(self, *ps_flags, worker_flags=()):
        """A job of one ps task and one worker that trains."""
        servers, hosts = self.start_ps(1, 1, f"--checkpoint_dir={self.folder}/c", *ps_flags)
        worker = self.start_worker(hosts, 0, 1, *LONG, f"--checkpoint_dir={self.folder}/c", *worker_flags)
        worker.wait_for("progress: ")
        return servers[0], worker, f"--ps_hosts={hosts}"

    def launch(self, *flags):
        launch = self.parley("launch", "--ps=1", "--workers=1", "--", f"--data_dir={job.DATA}", *flags)
        launch.wait_for("progress: ")
        return launch

    def interrupted(self, task, number):
        task.signal(number)
        return task

    # What ends with which code, by program and code; those of one job together.

    def tasks_that_are_stopped(self):
        server, worker, hosts = self.job(worker_flags=(f"--profile={self.folder}/profile",))
        yield "parley status", 0, self.parley("status", hosts, PATIENT)
        yield "parley top", 0, self.parley("top", hosts, PATIENT, "--interval=10ms", "--count=1")
        yield "parley checkpoint", 0, self.parley("checkpoint", hosts, PATIENT)
        serve = self.start("serve", job.program("ps/parley_serve"), f"--checkpoint_dir={self.folder}/c",
                           "--listen=localhost:0", "--poll=50ms")
        address = f"--ps_hosts={serve.wait_for('listening on (.*)').group(1)}"
        first = serve.wait_for(r"serves step (\d+)").group(1)
        yield "parley checkpoint", 0, self.parley("checkpoint", hosts, PATIENT)
        serve.wait_for(rf"serves step (?!{first}\b)\d+")
        yield "parley rollback", 0, self.parley("rollback", address, PATIENT)
        yield "parley follow", 0, self.parley("follow", address, PATIENT)
        yield "parley inspect", 0, self.parley("inspect", f"{self.folder}/c")
        yield "parley export", 0, self.parley("export", f"{self.folder}/c", f"{self.folder}/exported")
        yield "parley scale", 0, self.parley("scale", hosts, PATIENT, "--workers=1")
        yield "parley stop", 0, self.parley("stop", hosts, PATIENT)
        yield "parley_worker", 0, worker
        yield "parley_ps", 0, server
        yield "parley trace", 0, self.parley("trace", f"{self.folder}/profile")

    def tasks_of_which_another_is_sent_sigterm(self):
        server, worker, _ = self.job()
        yield "parley_ps", 0, self.interrupted(server, signal.SIGTERM)
        yield "parley_worker", 1, worker

    def tasks_that_are_interrupted(self):
        server, worker, _ = self.job("--keep_serving")
        yield "parley_worker", 130, self.interrupted(worker, signal.SIGINT)
        yield "parley_ps", 130, self.interrupted(server, signal.SIGINT)

    def tasks_that_cannot_end_in_order(self):
        server, worker, _ = self.job("--drain_timeout=100ms", worker_flags=("--drain_timeout=100ms", "--timeout=8s"))
        worker.signal(signal.SIGSTOP)
        yield "parley_ps", 143, self.interrupted(server, signal.SIGTERM)
        # Its ps task has gone, with which it can do no more.
        worker.signal(signal.SIGTERM)
        yield "parley_worker", 143, self.interrupted(worker, signal.SIGCONT)

    def commands_that_find_nothing(self):
        nowhere = f"--ps_hosts=localhost:{job.free_ports(1)}"
        for command in ("status", "top", "checkpoint", "stop", "rollback", "follow"):
            yield f"parley {command}", 1, self.parley(command, nowhere, PATIENT)
        yield "parley scale", 1, self.parley("scale", nowhere, PATIENT, "--workers=2")
        yield "parley inspect", 1, self.parley("inspect", self.folder)
        yield "parley export", 1, self.parley("export", self.folder, self.folder)
        yield "parley trace", 1, self.parley("trace", self.folder)
        yield "parley_ps", 1, self.start("ps", job.program("ps/parley_ps"), "--ps_hosts=localhost:0", "--workers=1",
                                         "--task_index=0", "--listen=256.256.256.256:1")
        for command in ("completion", "version", "help"):
            yield f"parley {command}", 0, self.parley(command)

    def launchers(self):
        yield "parley launch", 0, self.launch(*SMALL, "--steps=20")
        yield "parley launch", 1, self.parley("launch", "--", "--data_dir=/nowhere", *SMALL)
        for number in (signal.SIGINT, signal.SIGTERM):
            yield "parley launch", 128 + number, self.interrupted(self.launch(*LONG), number)

    def command_lines_that_make_no_sense(self):
        for program in sorted({program for program, code in documented() if code == 2}):
            path = {"parley_ps": "ps/parley_ps", "parley_worker": "worker/parley_worker"}.get(program, "deploy/parley")
            yield program, 2, self.start(program, job.program(path), *program.split()[1:], "--no_such_flag")

    def test_each_cell_is_what_programs_do(self):
        seen = set()
        for scenario in (self.tasks_that_are_stopped, self.tasks_of_which_another_is_sent_sigterm,
                         self.tasks_that_are_interrupted, self.tasks_that_cannot_end_in_order,
                         self.commands_that_find_nothing, self.launchers, self.command_lines_that_make_no_sense):
            for program, code, task in scenario():
                with self.subTest(scenario=scenario.__name__, program=program, code=code):
                    self.assertEqual(task.exit_code(), code, task.output())
                    if code in (1, 2):
                        last = [line for line in task.lines if line != "<end of output>"][-1]
                        self.assertRegex(last, r"\S", "no line says why")
                    seen.add((program, code))
        self.assertEqual(documented() - seen, set(), "in the table, and not tried")
        self.assertEqual(seen - documented(), set(), "tried, and not in the table")

    def test_the_table_has_all_commands(self):
        help_text = self.parley("help")
        help_text.exit_code()
        commands = re.findall(r"^(?:usage:| {6}) parley (\w+)", help_text.output(), re.MULTILINE)
        self.assertLessEqual({f"parley {command}" for command in commands}, {program for program, _ in documented()})


if __name__ == "__main__":
    unittest.main(verbosity=2)
