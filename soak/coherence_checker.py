#!/usr/bin/env python3
"""Judges a coherence soak from the journals of the driver and of the upstream alone.

Prints the counts and the violations; exits with 1 when there is one.
"""

import argparse
import pathlib
import sys
from bisect import bisect_left
from collections import Counter, defaultdict

from journal import Violations, read_lines

BOUND_MS = 50
QUANTILE = 0.99
# Less and the cache was hardly used: then nothing was shown.
LEAST_HITS = 0.3
LEAST_SHARED = 0.05
REMOVING = ("domain", "tag", "namespace", "prefix")
# Selectors that are drawn rarely need a long run to be drawn at all.
MOST_OVERTAKEN = 0.05
LONG_RUN = 50_000


class Run:
    """The journal by kind, and when each serial number was made."""

    def __init__(self, lines, calls):
        self.lines = defaultdict(list)
        for line in lines:
            self.lines[line["kind"]].append(line)
        self.run = self.lines["run"][0]
        calls = [line for line in calls if line["kind"] == "call"]
        self.made_ns = {call["serial"]: call["arrived_ns"] for call in calls}
        self.calls_of_text = Counter(call["text"] for call in calls)


def check(run):
    """All rules; returns the violations."""
    violations = Violations()
    check_trials(run, violations)
    check_reads(run, violations)
    check_stale(run, violations)
    check_tenants(run, violations)
    check_forgetting(run, violations)
    check_rounds(run, violations)
    return violations


def delays(run):
    return sorted(max(0.0, trial["seen_ms"]) for trial in run.lines["trial"]
                  if trial["seen_ms"] is not None)


def quantile(values, share):
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def check_trials(run, violations):
    trials = run.lines["trial"]
    if len(trials) != run.run["trials"]:
        violations.add("journal", "trials", f"{len(trials)} of {run.run['trials']}")
    for trial in trials:
        who = f"trial {trial['number']} {trial['what']}"
        if trial["held"] != ["hit", "hit"]:
            violations.add("not shared", who, f"the second node said {trial['held']}")
        if trial["status"] != 200 or not trial["removed"]:
            violations.add("not removed", who, f"{trial['status']}, {trial['removed']} removed")
        if trial["seen_ms"] is None:
            violations.add("never seen", who, f"in {trial['reads']} reads")
    late = quantile(delays(run), QUANTILE)
    if late > BOUND_MS:
        violations.add("seen late", "trials", f"{late:.1f} ms at {QUANTILE:.0%}")


def check_reads(run, violations):
    reads = run.lines["read"]
    wanted = run.run["operations"]
    done = len(reads) + len(run.lines["forget"]) + len(run.lines["warm"])
    if done < wanted or not run.lines["over"]:
        violations.add("journal", "operations", f"{len(reads)} reads of {wanted} operations")
    for read in reads:
        if read["end"] != "whole" or read["status"] != 200 or read["serial"] is None:
            violations.add("failed", f"read of {read['text']!r}",
                           f"{read['end']} {read['status']} {read['error']}")
    if share(reads, lambda read: read["cache"] == "hit") < LEAST_HITS:
        violations.add("not cached", "reads", "too few of them hit")
    if share(reads, made_elsewhere(reads)) < LEAST_SHARED:
        violations.add("not shared", "reads", "too few hit what another node had asked for")


def share(reads, has):
    return sum(map(has, reads)) / max(1, len(reads))


def made_elsewhere(reads):
    """Whether a read hit what another node had made."""
    made_at = {read["serial"]: read["place"] for read in reads if read["cache"] == "miss"}
    return lambda read: (read["cache"] == "hit"
                         and made_at.get(read["serial"], read["place"]) != read["place"])


class Forgotten:
    """The invalidations that cover one text of one tenant."""

    def __init__(self):
        self.ends = []
        self.latest_starts = []

    def add(self, start_ns, end_ns):
        """In the order of their ends."""
        self.ends.append(end_ns)
        latest = self.latest_starts[-1] if self.latest_starts else 0
        self.latest_starts.append(max(latest, start_ns))

    def made_after(self, at_ns):
        """What was made before this is stale for whoever asks at `at_ns`."""
        over = bisect_left(self.ends, at_ns)
        return self.latest_starts[over - 1] if over else 0


def check_stale(run, violations):
    """On the node that forgot at once, on the others after the bound."""
    anywhere, here = defaultdict(Forgotten), defaultdict(Forgotten)
    for line in sorted(run.lines["forget"], key=lambda line: line["end_ns"]):
        if line["status"] != 200:
            continue
        for text in line["covers"]:
            times = (line["start_ns"], line["end_ns"])
            anywhere[line["tenant"], text].add(*times)
            here[line["tenant"], text, line["place"]].add(*times)
    for read in run.lines["read"]:
        made_ns = run.made_ns.get(read["serial"])
        if read["serial"] is None or read["status"] != 200:
            continue
        who = f"tenant {read['tenant']} {read['text']!r} on node {read['place']}"
        if made_ns is None:
            violations.add("journal", who, f"serial {read['serial']} was never made")
            continue
        key = (read["tenant"], read["text"])
        if made_ns < anywhere[key].made_after(read["start_ns"] - BOUND_MS * 1_000_000):
            violations.add("stale", who, f"serial {read['serial']}")
        elif made_ns < here[(*key, read["place"])].made_after(read["start_ns"]):
            violations.add("stale at home", who, f"serial {read['serial']}")


def check_tenants(run, violations):
    """A serial number belongs to the tenant, and to the text, that it was made for."""
    owners = {}
    for read in run.lines["read"]:
        if read["serial"] is None:
            continue
        owner = owners.setdefault(read["serial"], read["tenant"])
        if owner != read["tenant"]:
            violations.add("another tenant's", f"tenant {read['tenant']} {read['text']!r}",
                           f"serial {read['serial']} is of tenant {owner}")
        if read["other_text"]:
            violations.add("another answer", f"tenant {read['tenant']} {read['text']!r}",
                           f"serial {read['serial']}")


def check_forgetting(run, violations):
    removed = Counter()
    for line in run.lines["forget"]:
        who = f"{line['what']} {line['value']!r}"
        if line["end"] != "whole" or line["status"] != 200 or line["removed"] is None:
            violations.add("failed", who, f"{line['end']} {line['status']}")
            continue
        removed[line["what"]] += line["removed"]
        if line["what"] == "key" and line["removed"]:
            violations.add("removed too much", who, f"{line['removed']} of a key that is not there")
    # What is forgotten while it is warmed is not kept, and counts as failed.
    overtaken = sum(line["failed"] == 1 for line in run.lines["warm"])
    excused = overtaken <= MOST_OVERTAKEN * len(run.lines["warm"])
    for line in run.lines["warm"]:
        if excused and line["status"] == 200 and line["failed"] == 1:
            continue
        if line["end"] != "whole" or line["status"] != 200 or line["failed"] != 0:
            violations.add("failed", f"warming {line['text']!r} of tenant {line['tenant']}",
                           f"{line['end']} {line['status']}, {line['failed']} failed")
    if run.run["operations"] < LONG_RUN:
        return
    if not any(line["warmed"] for line in run.lines["warm"]):
        violations.add("not warmed", "operator", "nothing, in the whole run")
    for what in REMOVING:
        if not removed[what]:
            violations.add("not removed", what, "nothing, in the whole run")


def check_rounds(run, violations):
    rounds = run.lines["round"]
    if len(rounds) != run.run["rounds"]:
        violations.add("journal", "rounds", f"{len(rounds)} of {run.run['rounds']}")
    for line in rounds:
        who = f"round {line['number']}"
        if line["statuses"] != [200] * run.run["callers"]:
            violations.add("failed", who, f"{Counter(map(str, line['statuses']))}")
        calls = run.calls_of_text[line["text"]]
        if calls != 1 or len(line["serials"]) != 1:
            violations.add("herd", who, f"{calls} calls, {len(line['serials'])} answers")


def print_report(run, violations):
    reads, found = run.lines["read"], delays(run)
    warm = run.lines["warm"]
    forgotten = Counter(line["what"] for line in run.lines["forget"])
    print(f"{run.run['nodes']} gateways, {run.run['tenants']} tenants, seed {run.run['seed']}")
    print(f"trials: {len(found)} seen, ms: median {quantile(found, 0.5):.1f}, "
          f"p99 {quantile(found, QUANTILE):.1f}, most {quantile(found, 1):.1f} (bound {BOUND_MS})")
    hits = share(reads, lambda read: read["cache"] == "hit")
    print(f"operations: {len(reads)} reads, {hits:.1%} hits, "
          f"{share(reads, made_elsewhere(reads)):.1%} of what another node had made; "
          f"forgotten {dict(forgotten)}, warmed {sum(l['warmed'] or 0 for l in warm)} "
          f"of {len(warm)}")
    for line in run.lines["round"]:
        print(f"round {line['number']}: {len(line['statuses'])} callers, "
              f"{run.calls_of_text[line['text']]} calls")
    violations.show()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    run = Run(read_lines(folder / "coherence.ndjson"),
              read_lines(folder / "coherence-calls.ndjson"))
    violations = check(run)
    print_report(run, violations)
    return 1 if violations.found else 0


if __name__ == "__main__":
    sys.exit(main())
