#!/usr/bin/env python3
"""Judges a reload soak from its journal alone.

Prints the counts and the violations; exits with 1 when there is one.
"""

import argparse
import pathlib
import sys
from bisect import bisect_right
from collections import Counter, defaultdict

from journal import Violations, read_lines

STEADY = "left/answer"
MOST_GROWTH_KIB = 32 << 10
MOST_MORE_OPEN_FILES = 64
# A reload of an idle gateway shows nothing.
LEAST_REQUESTS_PER_RELOAD = 5
FILE = "tidegate.toml"


class Reloaded:
    """The journal, sorted by kind."""

    def __init__(self, lines):
        self.lines = defaultdict(list)
        for line in lines:
            self.lines[line["kind"]].append(line)
        self.run = self.lines["run"][0]
        self.reloads = sorted(self.lines["reload"], key=lambda line: line["number"])
        self.probes = {line["number"]: line for line in self.lines["probe"]}
        self.starts = [line["start_ms"] for line in self.reloads]
        self.ends = [line["done_ms"] for line in self.reloads]
        # What holds after so many reloads.
        self.states = [self.run["start"]]
        for line in self.reloads:
            self.states.append(self.states[-1] if line["kinds"] else line["wanted"])

    def providers(self, start_ms, end_ms):
        """Who may have served `flip` at some moment of this time."""
        first, last = bisect_right(self.ends, start_ms), bisect_right(self.starts, end_ms)
        return {state["provider"] for state in self.states[first : last + 1]}


def check(reloaded):
    """All rules; returns the violations."""
    violations = Violations()
    if [line["number"] for line in reloaded.reloads] != list(range(reloaded.run["reloads"])):
        violations.add("journal", "driver", f"{len(reloaded.reloads)} reloads were noted")
    for line in reloaded.lines["request"]:
        for rule, what in request_faults(reloaded, line):
            violations.add(rule, line["name"], f"{line['model']}: {what}")
    for place, line in enumerate(reloaded.reloads):
        who = f"reload {line['number']} by {line['how']}"
        for rule, what in reload_faults(line):
            violations.add(rule, who, what)
        for what in probe_faults(reloaded.probes.get(line["number"]), reloaded.states[place + 1]):
            violations.add("no effect", who, what)
    check_load(reloaded, violations)
    check_memory(reloaded, violations)
    check_exit(reloaded, violations)
    return violations


def request_faults(reloaded, line):
    if line["end"] != "whole" or line["status"] != 200:
        yield "failed request", f"{line['end']}, status {line['status']}, {line.get('error')}"
        return
    if line["headers"].get("x-request-id") != line["name"]:
        yield "failed request", f"the answer to {line['headers'].get('x-request-id')}"
    if line["content"] != line["text"] or line["finish"] != "stop" or line.get("error"):
        yield "failed request", f"{line['content']!r}, finish {line['finish']}"
    if line["stream"] and not whole_stream(line):
        yield "failed request", "the stream has no proper end"
    by = line["headers"].get("x-tidegate-model")
    allowed = {STEADY}
    if line["model"] == "flip":
        providers = reloaded.providers(line["start_ms"], line["end_ms"])
        allowed = {f"{provider}/answer" for provider in providers}
    if by not in allowed:
        yield "wrong source", f"answered by {by}, not {sorted(allowed)}"


def whole_stream(line):
    faults = line.get("errors") or line.get("malformed") or line.get("after_end")
    return line.get("done") and not faults


def reload_faults(line):
    """What is wrong with one reload, as the gateway tells of it."""
    valid = not line["kinds"]
    before, after = line["before"], line["after"]
    wanted = before["revision"] + 1 if valid else before["revision"]
    if after["revision"] != wanted:
        yield "revision", f"{after['revision']} after {before['revision']}, {line['kinds']}"
    if after["gauge"] != after["revision"]:
        yield "metrics", f"revision {after['gauge']}, readiness says {after['revision']}"
    for outcome, more in [("applied", valid), ("refused", not valid)]:
        counted = after["counts"].get(outcome, 0) - before["counts"].get(outcome, 0)
        if counted != more:
            yield "metrics", f"{counted} more {outcome}"
    if line["how"] == "signal":
        yield from signal_faults(line)
    elif valid:
        body = line["body"] or {}
        if line["status"] != 200 or body.get("revision") != wanted:
            yield "valid refused", f"status {line['status']}, {line['body']}"
    else:
        yield from refusal_faults(line)


def signal_faults(line):
    if not line["seen"]:
        yield "signal unheard", "nothing was counted"
    last_error = line["after"]["last_error"]
    if line["kinds"] and last_error is not None:
        # Where anybody may read it there are places only.
        for place in missing_places(line, last_error, end=""):
            yield "place not named", f"{place} in {last_error!r}"


def refusal_faults(line):
    error = (line["body"] or {}).get("error") or {}
    if line["status"] != 400 or error.get("code") != "invalid_configuration":
        yield "invalid accepted", f"status {line['status']}, {line['body']}"
        return
    for place in missing_places(line, error.get("message", "")):
        yield "place not named", f"{place} of {line['kinds']} in {error.get('message')!r}"


def missing_places(line, message, end=":"):
    """Places of mistakes that a message does not name."""
    places = (f"{FILE}:{row}:{column}{end}" for row, column in line["places"])
    return [place for place in places if place not in message]


def probe_faults(probe, state):
    """What the next requests show that is not as it should be."""
    if probe is None:
        yield "was not looked for"
        return
    flip, extra = probe["flip"], probe["extra"]
    if flip["by"] != f"{state['provider']}/answer":
        yield f"flip answered by {flip['by']}, status {flip['status']}"
    if extra["status"] != (200 if state["extra"] else 404):
        yield f"extra is {'there' if state['extra'] else 'gone'}, but status {extra['status']}"


def check_load(reloaded, violations):
    requests = reloaded.lines["request"]
    names = Counter(line["name"] for line in requests)
    for name, times in names.items():
        if times != 1:
            violations.add("journal", name, f"{times} ends")
    during = sum(line["end_ms"] <= max(reloaded.ends, default=0) for line in requests)
    if during < LEAST_REQUESTS_PER_RELOAD * reloaded.run["reloads"]:
        violations.add("too little load", "driver", f"{during} requests meanwhile")
    if not any(line["stream"] for line in requests) or all(line["stream"] for line in requests):
        violations.add("too little load", "driver", "not both whole and streamed")
    for valid in [True, False]:
        if not any((not line["kinds"]) == valid for line in reloaded.reloads):
            violations.add("too little load", "driver", f"no {'' if valid else 'in'}valid file")


def check_memory(reloaded, violations):
    memory = {line["label"]: line for line in reloaded.lines["memory"]}
    if memory.keys() != {"before", "after"}:
        violations.add("memory", "gateway", "was not measured")
        return
    growth_kib = memory["after"]["rss_kib"] - memory["before"]["rss_kib"]
    if growth_kib > MOST_GROWTH_KIB:
        violations.add("memory", "gateway", f"grew by {growth_kib} KiB")
    files = memory["after"]["open_files"] - memory["before"]["open_files"]
    if files > MOST_MORE_OPEN_FILES:
        violations.add("memory", "gateway", f"{files} more open files")


def check_exit(reloaded, violations):
    codes = [line["code"] for line in reloaded.lines["exit"]]
    if codes != [0]:
        violations.add("process", "gateway", f"exit codes {codes}")
    if not reloaded.lines["over"]:
        violations.add("journal", "driver", "it did not come to its end")


def print_report(reloaded, violations):
    requests = reloaded.lines["request"]
    failed = sum(1 for line in requests
                 if any(rule == "failed request" for rule, _ in request_faults(reloaded, line)))
    kinds = Counter(("several" if len(line["kinds"]) > 1 else line["kinds"][0])
                    if line["kinds"] else "valid" for line in reloaded.reloads)
    how = Counter(line["how"] for line in reloaded.reloads)
    over = reloaded.lines["over"]
    seconds = over[0]["seconds"] if over else 0
    print(f"reloads: {len(reloaded.reloads)} {dict(how)} {dict(kinds.most_common())}")
    print(f"requests: {len(requests)}, {len(requests) / seconds if seconds else 0:.0f}/s over "
          f"{reloaded.run['connections']} connections, failed: {failed}, "
          f"duration: {seconds or '?'} s, seed: {reloaded.run['seed']}")
    times = sorted(line["done_ms"] - line["start_ms"] for line in reloaded.reloads) or [0]
    memory = ", ".join(f"{line['label']} {line['rss_kib'] >> 10}"
                       for line in reloaded.lines["memory"])
    print(f"until done, ms: median {times[len(times) // 2]:.1f}, most {times[-1]:.1f}; "
          f"memory, MiB: {memory}")
    violations.show()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    reloaded = Reloaded(read_lines(folder / "reload.ndjson"))
    violations = check(reloaded)
    print_report(reloaded, violations)
    return 1 if violations.found else 0


if __name__ == "__main__":
    sys.exit(main())
