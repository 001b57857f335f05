#!/usr/bin/env python3
"""Judges a store soak from its journals and the gateways' logs alone.

Prints the counts and the violations; exits with 1 when there is one.
"""

import argparse
import json
import pathlib
import re
import sys
from collections import Counter, defaultdict

from journal import Violations, read_lines
from limits_checker import sums_of_windows

LEAST_ANSWERED = 0.999
RECOVERY_S = 2.0
# What a busy machine adds before a client reads an answer that was in time.
GRACE_MS = 300
LIVE_MS = 1_000
# A model whose limit is never reached is answered; the tight one says when it
# is full.
ANSWERS = {"open": {200}, "tight": {200, 429}}
# No gateway can take these for nothing.
# A server that restarts empty may be back between two looks of ours.
NOTICED = {"kill", "pause", "failover"}
STATES = ("unreachable", "recovering", "live")
# The words of the two lines: the store is away, and it is back.
SAID = re.compile(r"\bstore (?:cannot be reached|can be reached again)")
AWAY = "unreachable"
# Away and back, and once more where an event has an echo.
LINES_OF_AN_EVENT = 4


class Phase:
    """The journals of one phase, and the logs of its gateways."""

    def __init__(self, run, lines, records, logs):
        calls, asked = records
        self.run = run
        self.name = run["name"]
        self.events = [line for line in lines
                       if line["kind"] == "event" and line["phase"] == self.name]
        mine = f"store_faults-{self.name}-"
        self.reach = defaultdict(list)
        for line in lines:
            if line["kind"] == "reach" and line["gate"].startswith(mine):
                self.reach[line["gate"]].append(line)
        self.live = [line for line in lines
                     if line["kind"] == "live" and line["gate"].startswith(mine)]
        self.calls = sorted((call for call in calls if call.get("model") == "tight"),
                            key=lambda call: call["arrived_ns"])
        self.asked = [line for line in asked if line["kind"] == "asked"]
        self.logs = logs


def check(phase):
    """All rules but the share that is answered, which holds over all phases."""
    violations = Violations()
    check_answers(phase, violations)
    check_recovery(phase, violations)
    check_windows(phase, violations)
    check_logs(phase, violations)
    check_live(phase, violations)
    return violations


def is_answered(line):
    return line["end"] == "whole" and line["status"] in ANSWERS[line["model"]]


def check_answers(phase, violations):
    most_ms = phase.run["deadline_ms"] + GRACE_MS
    for line in phase.asked:
        took_ms = (line["end_ns"] - line["start_ns"]) / 1e6
        if took_ms > most_ms:
            violations.add("deadline", f"{phase.name} {line['name']}", f"{took_ms:.0f} ms")


def check_share(phases):
    """The share of all requests that were answered."""
    violations = Violations()
    asked = [line for phase in phases for line in phase.asked]
    answered = sum(map(is_answered, asked))
    if not asked or answered / len(asked) < LEAST_ANSWERED:
        lost = Counter(f"{line['model']} {line['end']} {line['status']}"
                       for line in asked if not is_answered(line))
        violations.add("answered", "all", f"{answered} of {len(asked)}; {dict(lost)}")
    return violations


def check_recovery(phase, violations):
    for event in phase.events:
        who = f"{phase.name} {event['number']} {event['what']}"
        if event["written_ns"] is None:
            violations.add("event", who, "the store itself did not come back")
            continue
        for place, at_ns in enumerate(event["recovered_ns"]):
            if at_ns is None or (at_ns - event["written_ns"]) / 1e9 > RECOVERY_S:
                took = "never" if at_ns is None else f"{(at_ns - event['written_ns']) / 1e9:.2f} s"
                violations.add("recovery", f"{who} gateway {place}", took)
        if len(event["recovered_ns"]) != phase.run["gates"]:
            violations.add("journal", who, f"{len(event['recovered_ns'])} gateways were watched")
        if event["what"] in NOTICED and away_since(phase, event) is None:
            violations.add("unnoticed", who, "a gateway never said that its store is away")


def away_since(phase, event):
    """When the last gateway said during an event that its store is away."""
    until_ns = last_of(event)
    firsts = []
    for changes in phase.reach.values():
        within = [c["at_ns"] for c in changes
                  if c["reach"] == AWAY and event["start_ns"] <= c["at_ns"] <= until_ns]
        firsts += within[:1]
    return max(firsts) if len(firsts) == phase.run["gates"] else None


def last_of(event):
    times = [event["start_ns"], event["healed_ns"], event["written_ns"], *event["recovered_ns"]]
    return max(filter(None, times))


def spans(phase):
    """Spans in which the tight model's limit holds as it stands: those without any
    event or gateway without its store, and those in which every gateway is on its own."""
    troubles = [(event["start_ns"], last_of(event)) for event in phase.events]
    for changes in phase.reach.values():
        ends = [change["at_ns"] for change in changes[1:]] + [float("inf")]
        troubles += [(change["at_ns"], end) for change, end in zip(changes, ends)
                     if change["reach"] == AWAY]
    calm, since = [], 0
    for begin, end in sorted(troubles):
        if begin > since:
            calm.append((since, begin))
        since = max(since, end)
    calm.append((since, float("inf")))
    away = [(away_since(phase, event), event["written_ns"]) for event in phase.events]
    return {"calm": calm, "away": [span for span in away if all(span)]}


def figures(phase):
    """The windows of the tight model: all of them, and those that lie in the spans."""
    window_ns = phase.run["window_ms"] * 1_000_000
    found = {}
    events = [(call["arrived_ns"], 1) for call in phase.calls]
    sums = sums_of_windows(events, window_ns)
    found["all"] = {"windows": len(sums), "highest": max(sums, default=0),
                    "above": sum(total > phase.run["tight"] for total in sums)}
    for kind, within in spans(phase).items():
        sums = []
        for begin, end in within:
            sums += sums_of_windows([(at, n) for at, n in events if begin <= at <= end], window_ns)
        found[kind] = {"windows": len(sums), "highest": max(sums, default=0),
                       "above": sum(total > phase.run["tight"] for total in sums)}
    return found


def check_windows(phase, violations):
    """In a window across a change, what the store granted before and what the gateways
    grant by their shares may come together; never more than both."""
    found = figures(phase)
    tight = phase.run["tight"]
    for kind in ["calm", "away"]:
        if found[kind]["above"]:
            violations.add(f"above while {kind}", phase.name,
                           f"{found[kind]['above']} windows, the highest "
                           f"{found[kind]['highest']} of {tight}")
    both = tight + tight // phase.run["gates"] * phase.run["gates"]
    if found["all"]["highest"] > both:
        violations.add("above the policy", phase.name,
                       f"{found['all']['highest']} in a window, the limit is {tight}")
    if found["all"]["highest"] < tight // 2:
        violations.add("too little load", phase.name, f"{found['all']['highest']} of {tight}")


def store_lines(text):
    """Which database each line about the store is about, and what it says."""
    for line in text.splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        if not isinstance(fields, dict):
            continue
        found = SAID.search(str(fields.get("message", "")))
        if found:
            yield fields.get("db"), found[0]


def changes_seen(phase, gate):
    """Away or back; looks that nobody answered tell nothing, the first is no change."""
    seen = [line["reach"] == AWAY for line in phase.reach[gate] if line["reach"] in STATES]
    return sum(one != other for one, other in zip(seen, seen[1:]))


def check_logs(phase, violations):
    if len(phase.logs) != phase.run["gates"]:
        violations.add("journal", phase.name, f"{len(phase.logs)} logs")
    for gate, text in phase.logs.items():
        by_database = defaultdict(list)
        for database, said in store_lines(text):
            by_database[database].append(said)
        for said in by_database.values():
            repeated = sum(one == other for one, other in zip(said, said[1:]))
            if repeated:
                violations.add("log repeated", gate, f"{repeated} lines say what the last one said")
            if len(said) > LINES_OF_AN_EVENT * len(phase.events) + 2:
                violations.add("log flood", gate,
                               f"{len(said)} lines for {len(phase.events)} events")
        lines, changes = sum(map(len, by_database.values())), changes_seen(phase, gate)
        if lines < changes:
            violations.add("log missing", gate, f"{lines} lines for {changes} changes")
        if "panicked" in text:
            violations.add("panic", gate, "see its log")


def check_live(phase, violations):
    if len(phase.live) != phase.run["gates"]:
        violations.add("journal", phase.name, f"{len(phase.live)} gateways were asked for life")
    for line in phase.live:
        if line["failed"] or not line["asked"] or line["slowest_ms"] > LIVE_MS:
            violations.add("liveness", line["gate"], f"{line['failed']} of {line['asked']} "
                           f"failed, the slowest took {line['slowest_ms']} ms")


def print_report(phase, violations):
    kinds = Counter(event["what"] for event in phase.events)
    took = sorted((at - event["written_ns"]) / 1e6 for event in phase.events
                  for at in event["recovered_ns"] if at) or [0]
    answers = Counter(f"{line['model']} {line['status'] or line['end']}" for line in phase.asked)
    slowest = max((line["end_ns"] - line["start_ns"] for line in phase.asked), default=0) / 1e6
    degraded = sum(bool(line["degraded"]) for line in phase.asked)
    print(f"{phase.name}: {len(phase.events)} events {dict(kinds)}")
    print(f"  answers: {dict(answers)}, {degraded} degraded, the slowest after {slowest:.0f} ms")
    print(f"  recovery, ms: median {took[len(took) // 2]:.0f}, most {took[-1]:.0f}")
    for kind, figure in figures(phase).items():
        print(f"  tight windows, {kind}: {figure['above']} of {figure['windows']} above "
              f"{phase.run['tight']}, highest {figure['highest']}")
    for gate, text in phase.logs.items():
        lines = len(list(store_lines(text)))
        print(f"  {gate}: {changes_seen(phase, gate)} changes seen, {lines} lines in the log")
    violations.show()


def read(folder):
    lines = read_lines(folder / "store_faults.ndjson")
    run = next(line for line in lines if line["kind"] == "run")
    events = sum(line["kind"] == "event" for line in lines)
    if lines[-1]["kind"] != "over" or events != run["events"]:
        sys.exit(f"the driver did not come to its end: {events} of {run['events']} events")
    for line in lines:
        if line["kind"] != "phase":
            continue
        name = f"store_faults-{line['name']}"
        records = [read_lines(folder / f"{name}-{what}.ndjson") for what in ("calls", "asked")]
        logs = {path.stem: path.read_text(encoding="utf-8", errors="replace")
                for path in sorted(folder.glob(f"{name}-gate-*.log"))}
        yield Phase(line, lines, records, logs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    phases = list(read(parser.parse_args().folder))
    found = 0
    for phase in phases:
        violations = check(phase)
        print_report(phase, violations)
        found += len(violations.found)
    share = check_share(phases)
    asked = [line for phase in phases for line in phase.asked]
    answered = sum(map(is_answered, asked))
    print(f"answered: {answered} of {len(asked)} ({answered / max(1, len(asked)):.4%}), "
          f"{sum(len(phase.events) for phase in phases)} events")
    share.show()
    return 1 if found or share.found else 0


if __name__ == "__main__":
    sys.exit(main())
