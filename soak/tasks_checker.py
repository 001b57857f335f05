#!/usr/bin/env python3
"""Judges a tasks soak from the driver's journal and the upstream's alone.

Prints the counts and the violations; exits with 1 when there is one.
"""

import argparse
import math
import pathlib
import re
import sys
from collections import Counter, defaultdict

from journal import Violations, read_lines

# A lease, and five seconds to look.
AGAIN_S = 20.0
# A worker that is stopped may hold the lock of a SQLite file: for so long nobody
# takes anything.
STOPPED_S = 18.0
# A worker that died so often takes its task along.
MOST_LOST = 5
TASK = re.compile(r"task:(\S+)")
SERIAL = re.compile(r"serial:(\d+)")
FINAL = ("succeeded", "failed", "cancelled", "dead")


class Home:
    """What happened over one home of the store."""

    def __init__(self, name, lines, calls):
        self.name = name
        self.submitted = {line["id"]: line for line in lines if line["kind"] == "submitted"}
        self.finals = defaultdict(list)
        for line in lines:
            if line["kind"] == "final":
                self.finals[line["id"]].append(line)
        self.kills = [line for line in lines if line["kind"] == "kill"]
        self.stops = [line for line in lines if line["kind"] == "stop"]
        self.calls = defaultdict(list)
        self.by_serial = {}
        for call in calls:
            found = TASK.search(call["text"])
            if found:
                self.calls[found[1]].append(call)
                self.by_serial[call["serial"]] = call
        for of_task in self.calls.values():
            of_task.sort(key=lambda call: call["arrived_ns"])

    def locked_s(self, from_ns, to_ns):
        """For how long of this time a worker was stopped, over SQLite."""
        if self.name != "sqlite":
            return 0.0
        spans = [(stop["at_ns"], stop["at_ns"] + STOPPED_S * 1e9) for stop in self.stops]
        return sum(max(0.0, min(end, to_ns) - max(begin, from_ns)) for begin, end in spans) / 1e9

    def unseen(self, name):
        """Starts that the upstream has not heard of: the worker died before it asked."""
        begun = max((final["attempt"] for final in self.finals.get(name, [])), default=0)
        return max(0, begun - len(self.calls[name]))

    def recorded(self, name):
        """The call whose answer is the result of a task, if it is one of its own."""
        for final in self.finals.get(name, []):
            found = SERIAL.search(final.get("response") or "")
            call = self.by_serial.get(int(found[1])) if found else None
            if call in self.calls[name]:
                return call
        return None


def check(run, homes):
    """All rules; returns the violations."""
    violations = Violations()
    for name, home in homes.items():
        check_amount(run, name, home, violations)
        for task in home.submitted:
            check_end(task, home, violations)
            check_starts(task, home, violations)
        check_order(home, violations)
    return violations


def check_amount(run, name, home, violations):
    if len(home.submitted) != run["tasks"]:
        violations.add("amount", name, f"{len(home.submitted)} of {run['tasks']} were submitted")
    if len(home.kills) + len(home.stops) < run["kills"]:
        violations.add("amount", name, f"{len(home.kills)} kills, {len(home.stops)} stops")
    lost = sum(len(calls) - 1 for calls in home.calls.values())
    if run["kills"] >= 10 and not lost:
        violations.add("amount", name, "no kill has hit a task: nothing was put to the test")


def check_end(task, home, violations):
    finals = home.finals.get(task, [])
    if len(finals) != 1:
        violations.add("lost", task, f"it is there {len(finals)} times")
        return
    final = finals[0]
    if final["state"] not in FINAL:
        violations.add("unended", task, f"it is {final['state']}")
    elif final["state"] == "succeeded":
        check_result(task, home, violations)
    elif is_worker_lost(final):
        starts = len(home.calls[task])
        if starts < MOST_LOST:
            violations.add("worker_lost", task, f"after {starts} starts")
    else:
        violations.add("failed", task, f"{final['state']}: {final['error']}")


def is_worker_lost(final):
    return final["state"] == "dead" and (final["error"] or {}).get("code") == "worker_lost"


def check_result(task, home, violations):
    if not home.calls[task]:
        violations.add("never", task, "it succeeded and was never begun")
    elif home.recorded(task) is None:
        violations.add("result", task, "its result is no answer that it got")
    elif home.recorded(task)["left"]:
        violations.add("result", task, "its result is an answer that nobody waited for")


def check_starts(task, home, violations):
    """One after the other, and soon after a worker died."""
    unseen = home.unseen(task)
    for one, other in zip(home.calls[task], home.calls[task][1:]):
        if other["arrived_ns"] < one["ended_ns"]:
            violations.add("twice", task, "it was begun while it ran")
        gap_s = (other["arrived_ns"] - one["ended_ns"]) / 1e9
        free_s = gap_s - home.locked_s(one["ended_ns"], other["arrived_ns"])
        # As many starts in between as it takes, of those that nobody heard of.
        unseen -= max(0, math.ceil(free_s / AGAIN_S) - 1)
        if unseen < 0:
            violations.add("late", task, f"begun again after {gap_s:.1f} s")
            unseen = 0


def check_order(home, violations):
    for task, line in home.submitted.items():
        for before in line["after"]:
            recorded = home.recorded(before)
            calls = home.calls[task]
            if recorded is None or not calls:
                continue
            if calls[0]["arrived_ns"] < recorded["ended_ns"]:
                violations.add("order", task, f"begun before {before} had ended")


def show(name, home):
    starts = sum(len(calls) for calls in home.calls.values())
    again = [(other["arrived_ns"] - one["ended_ns"]) / 1e9
             for calls in home.calls.values() for one, other in zip(calls, calls[1:])]
    states = Counter(line["state"] for lines in home.finals.values() for line in lines)
    print(f"{name}: {len(home.submitted)} tasks, {dict(states)}; {len(home.kills)} kills, "
          f"{len(home.stops)} stops; {starts} starts, {len(again)} of them again"
          + (f", after {sorted(again)[len(again) // 2]:.1f} s, at most {max(again):.1f} s"
             if again else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    lines = read_lines(folder / "tasks.ndjson")
    run = next(line for line in lines if line["kind"] == "run")
    homes = {}
    for name in run["homes"]:
        calls = [line for line in read_lines(folder / f"tasks-{name}-calls.ndjson")
                 if line["kind"] == "call"]
        homes[name] = Home(name, [line for line in lines if line.get("home") == name], calls)
        show(name, homes[name])
    violations = check(run, homes)
    violations.show()
    sys.exit(bool(violations.found))


if __name__ == "__main__":
    main()
