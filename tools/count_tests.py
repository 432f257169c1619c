"""Counts the test cases of one `bazel test`, from its build events: count_tests.py EVENTS BAZEL_EXIT_CODE.

Prints what failed, and last "N passed, N failed". Exits with 1 when something failed or nothing ran.
"""

import json
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree


def cases(path):
    """(passed, names of failed) of one test.xml."""
    passed, failed = 0, []
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif case.find("skipped") is None and case.get("status") != "notrun":
            passed += 1
    return passed, failed


def main():
    passed, failures = 0, []
    with open(sys.argv[1], encoding="utf-8") as events:
        for line in events:
            event = json.loads(line)
            name = event["id"]
            if "targetCompleted" in name and not event.get("completed", {}).get("success", False):
                failures.append(f"{name['targetCompleted']['label']} (it does not build)")
            if "testResult" not in name:
                continue
            label = name["testResult"]["label"]
            result = event["testResult"]
            outputs = {o["name"]: urllib.request.url2pathname(urllib.parse.urlparse(o["uri"]).path)
                       for o in result.get("testActionOutput", [])}
            ok, bad = 0, []
            try:
                ok, bad = cases(outputs["test.xml"])
            except (KeyError, OSError, xml.etree.ElementTree.ParseError):
                pass  # it died before it could write one: counted below
            status = result["status"]
            if status not in ("PASSED", "FLAKY"):
                log = outputs.get("test.log", "no log")
                failures += [f"{label} {case} ({log})" for case in bad] or [f"{label}: {status} ({log})"]
            passed += ok
            if status == "PASSED" and ok == 0:
                passed += 1
    for failure in sorted(set(failures)):
        print("failed:", failure)
    failed = len(set(failures))
    if failed == 0 and sys.argv[2] != "0":
        print("failed: bazel, with exit code", sys.argv[2])
        failed = 1
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and passed > 0 else 1


sys.exit(main())
