#!/usr/bin/env python3
"""Judges an order soak from the driver's journal alone.

Prints the counts and the violations; exits with 1 when there is one.
"""

import argparse
import datetime
import pathlib
import re
import statistics
import sys
from collections import Counter, defaultdict

from journal import Violations, read_lines

# Critical tasks wait for at most this part of what normal ones do.
PART = 0.1
# A tick is submitted so soon.
SOON_S = 5.0
TICK = re.compile(r"beat\.\d+")
PRIORITIES = ("critical", "high", "normal", "low", "background")


class Home:
    """What happened over one home of the store."""

    def __init__(self, lines):
        self.kills = [line for line in lines if line["kind"] == "kill"]
        self.ticks = [line for line in lines if line["kind"] == "tick"]
        self.window = next((line for line in lines if line["kind"] == "ticks"), None)
        self.crowd = [line for line in lines if line["kind"] == "crowd"]
        self.waits = defaultdict(list)
        for line in self.crowd:
            if line["wait_ms"] is not None:
                self.waits[line["priority"]].append(line["wait_ms"])

    def wait(self, priority):
        return statistics.fmean(self.waits[priority]) if self.waits[priority] else None


def check(run, homes):
    """All rules; returns the violations."""
    violations = Violations()
    for name, home in homes.items():
        check_amount(run, name, home, violations)
        check_ticks(name, home, violations)
        check_waits(name, home, violations)
    return violations


def check_amount(run, name, home, violations):
    if not home.window or home.window["last_s"] - home.window["first_s"] < run["seconds"] - 2:
        violations.add("amount", name, "the schedule was not kept for so long")
    if len(home.kills) < run["seconds"] // 5:
        violations.add("amount", name, f"only {len(home.kills)} workers were killed")
    if any(not home.waits[priority] for priority in PRIORITIES):
        violations.add("amount", name, "there are not tasks of all priorities")


def check_ticks(name, home, violations):
    """One task for each second, and soon."""
    if not home.window:
        return
    ticks = Counter()
    for line in home.ticks:
        if not TICK.fullmatch(line["id"]):
            violations.add("ticks", line["id"], "it is called after no tick")
            continue
        tick_ms = int(line["id"].rsplit(".", 1)[1])
        created = datetime.datetime.fromisoformat(line["created_at"]).timestamp()
        late = created - tick_ms / 1e3
        if not -0.5 <= late <= SOON_S:
            violations.add("late", line["id"], f"submitted {late:.1f} s after its time")
        ticks[tick_ms / 1e3] += 1
    for second in range(home.window["first_s"], home.window["last_s"] + 1):
        if ticks[second] != 1:
            violations.add("ticks", name, f"{ticks[second]} tasks for the tick at {second}")
    for second in ticks:
        if second != int(second):
            violations.add("ticks", name, f"a task for {second}, which is no tick")


def check_waits(name, home, violations):
    for line in home.crowd:
        if line["state"] != "succeeded":
            violations.add("end", line["id"], f"it is {line['state']}, of priority "
                           f"{line['priority']}")
    critical, normal = home.wait("critical"), home.wait("normal")
    if critical is not None and normal is not None and critical > PART * normal:
        violations.add("waits", name, f"critical tasks wait {critical:.0f} ms, "
                       f"normal ones {normal:.0f}")


def show(name, home):
    late = [datetime.datetime.fromisoformat(line["created_at"]).timestamp()
            - int(line["id"].rsplit(".", 1)[1]) / 1e3 for line in home.ticks
            if TICK.fullmatch(line["id"])]
    print(f"{name}: {len(home.ticks)} ticks, {len(home.kills)} kills"
          + (f", at most {max(late):.2f} s late" if late else ""))
    waits = ", ".join(f"{priority} {home.wait(priority):.0f}" for priority in PRIORITIES
                      if home.waits[priority])
    print(f"  {len(home.crowd)} tasks of all priorities; they waited on the average, in ms: {waits}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    lines = read_lines(folder / "order.ndjson")
    run = next(line for line in lines if line["kind"] == "run")
    homes = {name: Home([line for line in lines if line.get("home") == name])
             for name in run["homes"]}
    for name, home in homes.items():
        show(name, home)
    violations = check(run, homes)
    violations.show()
    sys.exit(bool(violations.found))


if __name__ == "__main__":
    main()
