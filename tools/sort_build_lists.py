"""Sorts the lists of files and targets in BUILD files, as buildifier does: sort_build_lists.py [--check] FILE...

In `srcs`, `hdrs`, `deps`, `data` and `visibility`: own files first, then ":targets", "//packages" and "@repositories".
"""

import re
import sys

LIST = re.compile(r"(?m)^(    (?:srcs|hdrs|deps|data|visibility) = \[\n)((?:        \"[^\"\n]*\",\n)+)(    \],\n)")


def order(line):
    name = line.strip()[1:].rstrip('",')
    kind = 1 if name.startswith(":") else 2 if name.startswith("//") else 3 if name.startswith("@") else 0
    return kind, name.replace(":", "!").replace("/", '"')


def main(arguments):
    check = arguments[:1] == ["--check"]
    changed = False
    for path in arguments[1 if check else 0:]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        done = LIST.sub(lambda m: m[1] + "".join(sorted(m[2].splitlines(True), key=order)) + m[3], text)
        if done == text:
            continue
        changed = True
        if check:
            print("lists not sorted:", path)
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(done)
    return 1 if check and changed else 0


sys.exit(main(sys.argv[1:]))
