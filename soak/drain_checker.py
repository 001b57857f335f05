#!/usr/bin/env python3
"""Judges a drain soak from its journal and the gateways' logs alone.

Prints the counts and the violations; exits with 1 when there is one.
"""

import argparse
import pathlib
import sys
from collections import defaultdict

from journal import Violations, read_lines

GRACE_MS = 1_000
# Streams that SIGTERM must meet in their middle, of all.
LEAST_OPEN = 0.8
STEPS = ["told", "refused", "taken over", "exit"]


class Drained:
    """The journal, sorted by kind and restart."""

    def __init__(self, lines, logs):
        self.lines = defaultdict(list)
        self.streams = defaultdict(list)
        for line in lines:
            if line["kind"] == "stream":
                self.streams[line["restart"]].append(line)
            else:
                self.lines[line["kind"]].append(line)
        self.run = self.lines["run"][0]
        self.logs = logs

    def of(self, kind, restart):
        return [line for line in self.lines[kind] if line["restart"] == restart]


def check(drained):
    """All rules; returns the violations."""
    violations = Violations()
    for restart in range(drained.run["restarts"]):
        check_streams(drained, restart, violations)
        check_steps(drained, restart, violations)
    check_middle(drained, violations)
    check_end(drained, violations)
    return violations


def check_streams(drained, restart, violations):
    streams = drained.streams[restart]
    places = sorted(line["place"] for line in streams)
    if places != list(range(drained.run["streams"])):
        violations.add("missing stream", f"restart {restart}", f"{len(streams)} streams ended")
    for line in streams:
        for what in stream_faults(line):
            violations.add("cut stream", f"restart {restart} stream {line['place']}", what)


def stream_faults(line):
    if line["end"] != "whole":
        yield f"the connection ended {line['end']}"
        return
    if line["status"] != 200 or "events" not in line:
        yield f"status {line['status']}, {line.get('error')}"
        return
    if line["content"] != line["text"]:
        yield f"{len(line['content'])} of {len(line['text'])} characters"
    if not line["done"] or line["finish"] != "stop":
        yield f"no [DONE] or finish {line['finish']}"
    if line["errors"] or line["malformed"] or line["after_end"]:
        yield f"{line['errors']}, {line['malformed']} malformed, {line['after_end']} after the end"


def check_steps(drained, restart, violations):
    who = f"restart {restart}"
    found = {step: drained.of(step, restart) for step in STEPS}
    for step, lines in found.items():
        if len(lines) != 1:
            violations.add("journal", who, f"{len(lines)} lines of {step!r}")
            return
    told, refused, taken, exit_line = (lines[0] for lines in found.values())
    if not refused["refused"]:
        violations.add("still accepting", who, f"after {refused['after_ms']} ms")
    if taken["status"] != "ready":
        violations.add("no successor", who, f"it is {taken['status']}")
    if exit_line["code"] != 0:
        violations.add("exit code", who, f"{exit_line['code']}")
    if exit_line["after_ms"] > drained.run["drain_ms"] + GRACE_MS:
        violations.add("drain time", who, f"ended after {exit_line['after_ms']} ms")
    last = max((line["at_ms"] for line in drained.streams[restart]), default=told["at_ms"])
    if told["open"] and told["at_ms"] + refused["after_ms"] > last + GRACE_MS:
        violations.add("still accepting", who, "until the last stream had ended")


def check_middle(drained, violations):
    """The signals came while streams were open, or nothing was shown."""
    told = drained.lines["told"]
    streams = drained.run["streams"] * drained.run["restarts"]
    met = sum(line["open"] for line in told)
    if met < LEAST_OPEN * streams:
        violations.add("too few open", "driver", f"{met} of {streams} streams were open")


def check_end(drained, violations):
    codes = [line["code"] for line in drained.lines["last"]]
    if codes != [0]:
        violations.add("exit code", "the last process", f"{codes}")
    if not drained.lines["over"]:
        violations.add("journal", "driver", "it did not come to its end")
    for name, text in drained.logs.items():
        for line in text.splitlines():
            if "were cut" in line or "panicked" in line:
                violations.add("log", name, line[:120])


def print_report(drained, violations):
    streams = [line for lines in drained.streams.values() for line in lines]
    cut = sum(1 for line in streams if any(stream_faults(line)))
    met = sum(line["open"] for line in drained.lines["told"])
    overlap = sum(line["old_alive"] for line in drained.lines["taken over"])
    over = drained.lines["over"]
    print(f"restarts: {len(drained.lines['exit'])}, streams: {len(streams)}, open at SIGTERM: "
          f"{met}, cut: {cut}, taken over before the old one had ended: {overlap}, "
          f"duration: {over[0]['seconds'] if over else '?'} s, seed: {drained.run['seed']}")
    for kind, what in [("refused", "until nobody got in"), ("taken over", "until taken over"),
                       ("exit", "until ended")]:
        times = sorted(line["after_ms"] for line in drained.lines[kind]) or [0]
        print(f"{what}, ms: median {times[len(times) // 2]}, most {times[-1]} "
              f"(drain time {drained.run['drain_ms']})")
    violations.show()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    logs = {path.name: path.read_text(encoding="utf-8", errors="replace")
            for path in sorted(folder.glob("drain-gate-*.log"))}
    drained = Drained(read_lines(folder / "drain.ndjson"), logs)
    violations = check(drained)
    print_report(drained, violations)
    return 1 if violations.found else 0


if __name__ == "__main__":
    sys.exit(main())
