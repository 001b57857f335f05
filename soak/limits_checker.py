#!/usr/bin/env python3
"""Judges a limits soak from the journals of the upstream, the clients and the driver.

A window slides over the arrivals that the upstream stamped: for every arrival,
everything that arrived less than a window before it. Prints the figures, as
JSON too, and the violations; exits with 1 when there is one.
"""

import argparse
import json
import pathlib
import re
import sys
from collections import defaultdict

from journal import Violations, read_lines

# Shares of the limits that have to be used, where nobody dies and where gateways
# are killed. A slot is idle from the end of one call until the next one arrives.
LEAST_USED = {"plain": 0.97, "clocks": 0.97, "kills": 0.80, "both": 0.60}
LEAST_SLOTS = {"plain": 0.90, "clocks": 0.90, "kills": 0.70, "both": 0.40}
KILLING = ("kills", "both")
SHIFTED = ("clocks", "both")
SHIFT_S = 300
SHIFT_SLACK_S = 3
# A gateway comes back before the next one is killed: on a busy machine later.
KILL_EVERY_S = {"kills": 5.5, "both": 8}
SERIAL = re.compile(r"^serial:(\d+) ")


class Phase:
    """The journals of one phase."""

    def __init__(self, run, lines, calls, asked):
        self.run = run
        self.name = run["name"]
        self.lines = lines
        self.calls = [line for line in calls if line["kind"] == "call"]
        self.late_ms = next((l["late_ms"] for l in calls if l["kind"] == "clock"), None)
        self.asked = [line for line in asked if line["kind"] == "asked"]
        self.began_ns = next((l["at_ns"] for l in asked if l["kind"] == "began"), 0)
        self.is_over = any(line["kind"] == "over" for line in asked)
        self.window_ns = run["window_ms"] * 1_000_000
        self.length_ns = run["seconds"] * 1_000_000_000

    def calls_of(self, model):
        calls = [call for call in self.calls if call["model"] == model]
        return sorted(calls, key=lambda call: call["arrived_ns"])


def sums_of_windows(events, window_ns):
    """The sum over the half-open window that ends with each event.

    `events` are (time, amount), sorted by time.
    """
    sums = []
    total = first = 0
    for at, amount in events:
        total += amount
        while events[first][0] <= at - window_ns:
            total -= events[first][1]
            first += 1
        sums.append(total)
    return sums


def open_at_begins(spans):
    """How many overlap after each begin; a span that ends when another begins is over."""
    changes = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    open_now, after_begins = 0, []
    for _, change in changes:
        open_now += change
        if change > 0:
            after_begins.append(open_now)
    return after_begins


def used_tokens(call):
    return call["prompt_tokens"] + call["completion_tokens"]


def held_tokens(phase):
    """What calls in flight may still use and will not, on the average over the phase.

    A limit that is never exceeded has to keep it free: nobody knows before the end.
    """
    calls = [call for call in phase.calls_of("tokens") if call["ended_ns"]]
    held = sum(((call["max_tokens"] or 0) - call["completion_tokens"])
               * (call["ended_ns"] - call["arrived_ns"]) for call in calls)
    return held / phase.length_ns


def figures(phase):
    """What was found about each limit: windows, highest, windows above, share used."""
    until_ns = phase.began_ns + phase.length_ns
    windows = phase.length_ns / phase.window_ns
    found = {}
    for model, amount in [("requests", lambda _: 1), ("tokens", used_tokens)]:
        events = [(call["arrived_ns"], amount(call)) for call in phase.calls_of(model)]
        within = sum(amount for at, amount in events if at < until_ns)
        found[model] = _figure(phase, model, sums_of_windows(events, phase.window_ns),
                               within / (phase.run["limits"][model] * windows))
    found["tokens"]["held"] = round(held_tokens(phase) / phase.run["limits"]["tokens"], 4)
    spans = [(call["arrived_ns"], call["ended_ns"]) for call in phase.calls_of("slots")
             if call["ended_ns"]]
    busy = sum(max(0, min(end, until_ns) - begin) for begin, end in spans)
    found["slots"] = _figure(phase, "slots", open_at_begins(spans),
                             busy / (phase.run["limits"]["slots"] * phase.length_ns))
    return found


def _figure(phase, model, sums, used):
    limit = phase.run["limits"][model]
    return {"limit": limit, "windows": len(sums), "highest": max(sums, default=0),
            "above": sum(total > limit for total in sums), "used": round(used, 4)}


def check(phase):
    """All rules; returns the violations."""
    violations = Violations()
    for model, figure in figures(phase).items():
        who = f"{phase.name} {model}"
        if figure["above"]:
            violations.add(f"{model} above", who, f"{figure['above']} windows, the highest "
                           f"{figure['highest']} of {figure['limit']}; the upstream's stamps "
                           f"are up to {phase.late_ms} ms late")
        least = (LEAST_SLOTS if model == "slots" else LEAST_USED)[phase.name]
        used = figure["used"] + figure.get("held", 0)
        if used < least:
            violations.add("too little used", who, f"{used:.1%} of {least:.0%}")
    check_calls(phase, violations)
    check_answers(phase, violations)
    check_disturbance(phase, violations)
    return violations


def check_calls(phase, violations):
    """The upstream's journal has every call that a client heard of."""
    calls = {call["serial"]: call for call in phase.calls}
    if phase.late_ms is None:
        violations.add("journal", f"{phase.name} upstream", "it did not come to its end")
    if len(calls) != len(phase.calls) or sorted(calls) != list(range(1, len(calls) + 1)):
        violations.add("journal", f"{phase.name} upstream", "serial numbers are missing or twice")
    for call in phase.calls:
        if call["ended_ns"] is None:
            violations.add("journal", f"call {call['serial']}", "it has no end")
        if call["max_tokens"] is None or call["completion_tokens"] > call["max_tokens"]:
            violations.add("journal", f"call {call['serial']}", "it has no maximum, or is above")
    for line in phase.asked:
        found = SERIAL.match(line.get("content") or "")
        if line["status"] != 200:
            continue
        call = calls.get(int(found[1])) if found else None
        if not call or not call["text"].startswith(f"{line['name']} "):
            violations.add("foreign answer", line["name"], "its call is not in the journal")


def check_answers(phase, violations):
    if not phase.is_over:
        violations.add("journal", f"{phase.name} clients", "they did not come to their end")
    for line in phase.asked:
        if line["end"] != "whole":
            if phase.name not in KILLING or line["end"] == "silent":
                violations.add("lost answer", f"{phase.name} {line['name']}", line["end"])
        elif line["status"] in (429, 503):
            if not (line["retry_after"] or "").isdigit():
                violations.add("no Retry-After", f"{phase.name} {line['name']}",
                               f"{line['status']} {line['error']}")
        elif line["status"] != 200:
            violations.add("failed", f"{phase.name} {line['name']}",
                           f"{line['status']} {line['error']}")


def check_disturbance(phase, violations):
    """What was to disturb the phase did happen."""
    if phase.name in KILLING:
        kills = [line for line in phase.lines if line["kind"] == "kill"]
        least = max(1, int((phase.run["seconds"] - 1) / KILL_EVERY_S[phase.name]))
        if len(kills) < least:
            violations.add("too few kills", phase.name, f"{len(kills)} of {least}")
    seen = [line["shifts_s"] for line in phase.lines
            if line["kind"] == "clocks" and line["phase"] == phase.name]
    by_node = [[shift for shift in shifts if shift is not None] for shifts in zip(*seen)]
    for place, shifts in enumerate(by_node):
        for wanted in wanted_shifts(phase.name, place):
            if not any(abs(shift - wanted) <= SHIFT_SLACK_S for shift in shifts):
                violations.add("clocks", f"{phase.name} gateway {place}",
                               f"never {wanted:+d} s, but {sorted(set(shifts))}")
    if not seen:
        violations.add("journal", phase.name, "nobody looked at the clocks")


def wanted_shifts(phase_name, place):
    if phase_name not in SHIFTED:
        return [0]
    return [[0], [SHIFT_S], [-SHIFT_S], [SHIFT_S, -SHIFT_S]][place % 4]


def print_report(phase, violations):
    found = figures(phase)
    by_status = defaultdict(int)
    for line in phase.asked:
        by_status[str(line["status"] if line["end"] == "whole" else line["end"])] += 1
    kills = sum(line["kind"] == "kill" for line in phase.lines)
    print(f"{phase.name}: {phase.run['nodes']} gateways, {phase.run['clients']} clients, "
          f"{phase.run['seconds']} s, windows of {phase.run['window_ms']} ms, {kills} kills, "
          f"{len(phase.calls)} calls, answers: {dict(by_status)}, "
          f"stamps at most {phase.late_ms} ms late")
    for model, figure in found.items():
        print(f"  {model}: {figure['above']} of {figure['windows']} windows above "
              f"{figure['limit']}, highest {figure['highest']}, used {figure['used']:.1%}"
              + (f", kept free for calls in flight {figure['held']:.1%}" if "held" in figure else ""))
    print(json.dumps({"phase": phase.name, "figures": found, "kills": kills,
                      "violations": len(violations.found)}))
    violations.show()


def read(folder):
    """All phases that were to run; ends the process where the driver's journal is partial."""
    lines = read_lines(folder / "limits.ndjson")
    runs = {line["name"]: line for line in lines if line["kind"] == "phase"}
    wanted = next(line for line in lines if line["kind"] == "run")["phases"]
    if lines[-1]["kind"] != "over" or list(runs) != wanted:
        sys.exit(f"the driver did not come to its end: phases {list(runs)} of {wanted}")
    for name in wanted:
        yield Phase(runs[name], lines, read_lines(folder / f"limits-{name}-calls.ndjson"),
                    read_lines(folder / f"limits-{name}-asked.ndjson"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    failed = False
    for phase in read(parser.parse_args().folder):
        violations = check(phase)
        print_report(phase, violations)
        failed |= bool(violations.found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
