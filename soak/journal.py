"""What a driver writes down, and how a checker reads it back."""

import json


class Journal:
    """What happened, one JSON line each, written at once."""

    def __init__(self, path):
        self.file = path.open("w", buffering=1, encoding="utf-8")

    def write(self, kind, **fields):
        self.file.write(json.dumps({"kind": kind, **fields}) + "\n")


def read_lines(path):
    """All whole lines; a process that was killed may have left half a one."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


class Violations:
    """What was found to be wrong, in the order of the finding."""

    MOST_SHOWN = 40

    def __init__(self):
        self.found = []

    def add(self, rule, who, what):
        self.found.append((rule, who, what))

    def rules(self):
        return {rule for rule, _, _ in self.found}

    def show(self):
        by_rule = {}
        for rule, _, _ in self.found:
            by_rule[rule] = by_rule.get(rule, 0) + 1
        print(f"\nviolations: {len(self.found)} {by_rule or ''}")
        for rule, who, what in self.found[: self.MOST_SHOWN]:
            print(f"  {rule}: {who}: {what}")
        if len(self.found) > self.MOST_SHOWN:
            print(f"  … and {len(self.found) - self.MOST_SHOWN} more")
