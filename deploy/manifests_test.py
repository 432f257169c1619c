"""The examples of deploy/ fit the programs: manifests are whole and their flags are understood, the image has all libraries."""

import glob
import json
import os
import re
import subprocess
import unittest

import yaml

from tests import job

FOLDER = job.program("deploy")
PROGRAMS = {"parley_ps": "ps/parley_ps", "parley_worker": "worker/parley_worker"}


def load(name):
    with open(f"{FOLDER}/kubernetes/{name}", encoding="utf-8") as file:
        return {document["kind"]: document for document in yaml.safe_load_all(file)}


def containers(template):
    return template["spec"]["containers"]


class ManifestsTest(job.JobTest):
    def setUp(self):
        super().setUp()
        for name, label in PROGRAMS.items():
            os.symlink(job.program(label), f"{self.folder}/{name}")

    def check_command(self, container, **env):
        """Whether the program takes the container's flags: --help behind them comes only when they are good."""
        command = container["command"] + container.get("args", [])
        result = subprocess.run(command + ["--help"], env={"PATH": f"{self.folder}:/usr/bin:/bin", **env},
                                capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 0, f"{command}: {result.stderr}")
        self.assertIn("usage: parley_", result.stdout)

    def flag(self, container, name):
        return next(a.split("=", 1)[1] for a in container["args"] if a.startswith(f"--{name}="))

    def test_the_tfjob_is_what_the_operator_takes(self):
        tfjob = load("tfjob.yaml")["TFJob"]
        self.assertEqual(tfjob["apiVersion"], "kubeflow.org/v1")
        specs = tfjob["spec"]["tfReplicaSpecs"]
        self.assertEqual(set(specs), {"PS", "Chief", "Worker"})
        cluster = {kind.lower(): [f"{kind.lower()}-{i}.ns.svc:2222" for i in range(spec["replicas"])]
                   for kind, spec in specs.items()}
        for kind, spec in specs.items():
            self.assertIn(spec["restartPolicy"], ("OnFailure", "Never", "Always", "ExitCode"))
            (container,) = containers(spec["template"])
            self.assertEqual(container["name"], "tensorflow")
            self.assertEqual(container["command"], ["parley_ps" if kind == "PS" else "parley_worker"])
            config = {"cluster": cluster, "task": {"type": kind.lower(), "index": 0}}
            self.check_command(container, TF_CONFIG=json.dumps(config))
        (ps,) = containers(specs["PS"]["template"])
        self.assertEqual(ps["ports"], [{"name": "tfjob-port", "containerPort": 2222}])
        self.assertEqual(self.flag(ps, "listen"), "0.0.0.0:2222")

    def test_the_names_in_the_plain_job_are_those_of_its_pods(self):
        documents = load("job.yaml")
        service, servers, workers = documents["Service"], documents["StatefulSet"], documents["Job"]
        template = servers["spec"]["template"]
        self.assertEqual(service["spec"]["clusterIP"], "None")
        self.assertEqual(servers["spec"]["serviceName"], service["metadata"]["name"])
        for selector in (service["spec"]["selector"], servers["spec"]["selector"]["matchLabels"]):
            self.assertEqual(selector, template["metadata"]["labels"])
        (ps,), (worker,) = containers(template), containers(workers["spec"]["template"])
        port = ps["ports"][0]["containerPort"]
        hosts = ",".join(f"{servers['metadata']['name']}-{i}.{service['metadata']['name']}:{port}"
                         for i in range(servers["spec"]["replicas"]))
        for container in (ps, worker):
            self.assertEqual(self.flag(container, "ps_hosts"), hosts)
            self.assertEqual(int(self.flag(container, "workers")), workers["spec"]["completions"])
        self.assertEqual(workers["spec"]["completions"], workers["spec"]["parallelism"])
        for each, container in ((template, ps), (workers["spec"]["template"], worker)):
            port = self.flag(container, "metrics_port")
            self.assertEqual(each["metadata"]["annotations"],
                             {"prometheus.io/scrape": "true", "prometheus.io/port": port})
            self.assertIn({"containerPort": int(port), "name": "metrics"}, container["ports"])
        self.check_command(ps, HOSTNAME="parley-ps-1")
        self.check_command(worker, JOB_COMPLETION_INDEX="1")

    def test_the_image_has_the_libraries_of_the_programs(self):
        with open(f"{FOLDER}/container/Dockerfile", encoding="utf-8") as file:
            todo = set(re.findall(r"^      (\S+) \\$", file.read(), re.MULTILINE)) | {"libc6"}
        depends = {}
        for line in self.run_tool("dpkg-query", "-W", "-f", "${Package} ${Depends}\n").splitlines():
            package, _, rest = line.partition(" ")
            depends[package] = set(re.findall(r"[^\s,|()]+", re.sub(r"\([^)]*\)|:any", "", rest)))
        reached = set()
        while todo:  # with what they depend on
            reached |= todo
            todo = {name for each in todo for name in depends[each]} & depends.keys() - reached
        libraries = set()
        for label in (*PROGRAMS.values(), "deploy/parley"):
            libraries |= set(re.findall(r"=> (/\S+)", self.run_tool("ldd", job.program(label))))
        # Where /lib is a link, packages name either path.
        places = [f"{usr}{path}" for path in libraries for usr in ("", "/usr")]
        owners = self.run_tool("dpkg", "-S", *places)
        for path in libraries:
            owner = re.search(rf"^([^:\s]+)(?::\S+)?: (?:/usr)?{re.escape(path)}$", owners, re.MULTILINE)
            self.assertIsNotNone(owner, f"nobody owns {path}")
            self.assertIn(owner.group(1), reached, f"the programs need {path}")

    def run_tool(self, *command):
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

    def test_all_examples_are_looked_at(self):
        self.assertEqual(sorted(os.path.basename(path) for path in glob.glob(f"{FOLDER}/kubernetes/*")),
                         ["job.yaml", "tfjob.yaml"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
