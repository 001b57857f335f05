#!/usr/bin/env python3
"""Judges a fault soak from its journals alone.

Reads what the driver asked and got, what the mocks played, and what the
gateways say of themselves; recomputes every verdict. Prints a table and the
violations; exits with 1 when there is one.
"""

import argparse
import json
import pathlib
import sys
from collections import Counter, defaultdict

import rules
from journal import read_lines

GRACE_MS = 1_000
LEAST_FAULTS_FOR_TRIPS = 1_000
# A connection that died with its mock may still be picked up shortly after.
OUTAGE_TAIL_MS = 250
# How long after a pause the driver may take to read what arrived during it.
LOOK_MS = 40
MOST_SHOWN = 40
COUNTS = ["total", "successful", "failed", "throttled", "abandoned", "retried", "trips"]
# Less than one whole line of 1 GiB.
MOST_PEAK_KIB = 1 << 20
# Over all rounds of ordinary faults but the first.
MOST_GROWTH_KIB = 4 << 10
# What is left of the huge lines when all is over.
MOST_KEPT_KIB = 64 << 10
MOST_LEFT_OPEN_FILES = 4


class Journals:
    """Everything that was written down, sorted by kind."""

    def __init__(self, driver, mocks):
        self.asked = {}
        self.ended = defaultdict(list)
        self.others = defaultdict(list)
        for line in driver:
            if line["kind"] == "asked":
                self.asked[line["name"]] = line
            elif line["kind"] == "ended":
                self.ended[line["name"]].append(line)
            else:
                self.others[line["kind"]].append(line)
        self.run = self.others["run"][0]
        self.mocks = mocks

    def disturbed(self, start_ms, end_ms, tail_ms):
        return any(
            start_ms <= window["end_ms"] + tail_ms and end_ms >= window["start_ms"]
            for window in self.others["disturbance"]
        )

    def late_ms(self, start_ms, end_ms):
        """How long the driver itself did not look at its connections just before `end_ms`."""
        return sum(
            line["late_ms"]
            for line in self.others["late"]
            if start_ms <= line["start_ms"] <= end_ms - LOOK_MS <= line["end_ms"]
        )

    def labelled(self, kind, label):
        return {line["gateway"]: line for line in self.others[kind] if line["label"] == label}


class Report:
    """Violations, and counts of ends by what was asked for."""

    def __init__(self):
        self.violations = []
        self.ends = defaultdict(Counter)
        self.completed = Counter()
        self.completed_cached = Counter()
        self.by_kind = Counter()

    def violate(self, rule, who, what):
        self.violations.append((rule, who, what))


def check(journals):
    """All rules; returns the report."""
    report = Report()
    for name, asked in journals.asked.items():
        check_request(journals, asked, journals.ended.get(name, []), report)
    for name in journals.ended.keys() - journals.asked.keys():
        report.violate("journal", name, "an end of what nobody asked")
    check_played(journals, report)
    for label in ["after", "end"]:
        check_stats(journals, label, report)
    check_counts(journals, report)
    check_fills(journals, report)
    check_memory(journals, report)
    check_exits(journals, report)
    return report


def check_request(journals, asked, ended, report):
    name = asked["name"]
    if len(ended) != 1:
        report.violate("missing answer", name, f"{len(ended)} ends for {asked['model']}")
        return
    ended = ended[0]
    kind = asked["model"] if asked["model"].startswith("lost") else asked["model"].split("/")[2]
    row = "lost chains" if kind.startswith("lost") else kind
    if ended["end"] == "left":
        report.ends[row]["left"] += 1
        return
    outcome, faults = judge_answer(asked, ended)
    took_ms = ended["took_ms"] - journals.late_ms(ended["start_ms"], ended["end_ms"])
    if took_ms > journals.run["deadline_ms"] + GRACE_MS:
        faults.append(("hang", f"{ended['took_ms']} ms until {outcome}"))
    if "deadline_exceeded" in outcome and ended["took_ms"] < journals.run["deadline_ms"] - 1:
        faults.append(("early deadline", f"{outcome} after {ended['took_ms']} ms"))
    gateway = journals.run["gateways"][asked["gateway"]]
    chain = gateway["chains"][asked["model"]]
    span = ended["start_ms"], ended["end_ms"]
    outage = journals.disturbed(*span, OUTAGE_TAIL_MS)
    recovering = journals.disturbed(*span, gateway["recovery_ms"])
    allowed = rules.allowed_ends(chain, asked["stream"], gateway["trips"], outage, recovering)
    if outcome not in allowed:
        faults.append(("unexpected end", f"{outcome}, not one of {sorted(allowed)}"))
    for rule, what in faults:
        where = f"{asked['model']}{' streamed' if asked['stream'] else ''}"
        report.violate(rule, name, f"{where}: {what}")
    count_end(report, row, asked, ended, outcome, outage)
    if outcome == "complete":
        check_source(asked, ended, chain, report)


def count_end(report, row, asked, ended, outcome, outage):
    if outcome == "complete":
        column = "complete"
    elif outcome.startswith("stream"):
        column = "broken"
    else:
        column = outcome.split(" ")[0]
    report.ends[row][column] += 1
    report.ends[row]["in outage"] += outage
    report.by_kind[outcome] += 1
    if outcome == "complete":
        model = f"{asked['gateway']}/{ended['headers'].get('x-tidegate-model')}"
        (report.completed_cached if asked["cached"] else report.completed)[model] += 1


def judge_answer(asked, ended):
    """What kind of end it is, and what is wrong with it whatever was expected."""
    if ended["end"] != "whole":
        return ended["end"], [("missing answer", f"the exchange ended {ended['end']}")]
    faults = []
    if ended["headers"].get("x-request-id") != asked["name"]:
        faults.append(("request id", f"{ended['headers'].get('x-request-id')}"))
    if ended["status"] != 200:
        return judge_refusal(asked, ended, faults)
    if "events" in ended:
        return judge_stream(asked, ended, faults)
    if asked["stream"]:
        faults.append(("wrong form", "a stream was asked for, and none came"))
    if ended.get("error") or ended.get("unreadable"):
        faults.append(("error in a success", f"status 200 with {ended.get('error')}"))
        return "200 error", faults
    judge_content(asked, ended, faults)
    return "complete", faults


def judge_refusal(asked, ended, faults):
    error = ended.get("error")
    judge_error(asked, error, faults)
    code = error.get("code") if isinstance(error, dict) else None
    if code in rules.STATUS and rules.STATUS[code] != ended["status"]:
        faults.append(("wrong status", f"{ended['status']} for {code}"))
    if ended["status"] in rules.WITH_RETRY_AFTER:
        wait = ended["headers"].get("retry-after", "")
        if not wait.isdigit():
            faults.append(("no retry-after", f"{ended['status']} {code} says {wait!r}"))
    return f"{ended['status']} {code}", faults


def judge_stream(asked, ended, faults):
    if not asked["stream"]:
        faults.append(("wrong form", "a stream came, and none was asked for"))
    if ended["malformed"]:
        faults.append(("malformed stream", f"{ended['malformed']} parts are no events"))
    if ended["after_end"]:
        faults.append(("malformed stream", f"{ended['after_end']} events after the last one"))
    if ended["errors"]:
        error = ended["errors"][0]
        judge_error(asked, error, faults)
        if not asked["text"].startswith(ended["content"]):
            faults.append(("foreign content", f"{ended['content'][:60]!r}"))
        return f"stream {error.get('code') if isinstance(error, dict) else None}", faults
    if not ended["done"]:
        faults.append(("clean end of a truncated answer", "neither [DONE] nor an error event"))
        return "silent end", faults
    judge_content(asked, ended, faults)
    return "complete", faults


def judge_content(asked, ended, faults):
    content = ended.get("content")
    if content != asked["text"] or ended.get("finish") != "stop":
        shown = repr(content)[:60]
        what = f"{shown} of {len(asked['text'])} characters, finish {ended.get('finish')}"
        faults.append(("clean end of a truncated answer", what))


def judge_error(asked, error, faults):
    if not isinstance(error, dict):
        faults.append(("untyped error", f"{error!r}"))
        return
    for field in ["message", "type", "code"]:
        if not isinstance(error.get(field), str) or not error[field]:
            faults.append(("untyped error", f"{field} is {error.get(field)!r}"))
    if error.get("code") not in rules.STATUS:
        faults.append(("unknown code", f"{error.get('code')!r}"))
    if asked["text"] in str(error.get("message")):
        faults.append(("prompt in a message", error["message"][:60]))


def check_source(asked, ended, chain, report):
    """A complete answer comes from an entry that works, and says so."""
    model = ended["headers"].get("x-tidegate-model", "")
    if model not in chain or model.split("/")[1] not in rules.WORKING:
        report.violate("wrong source", asked["name"], f"{asked['model']} answered by {model!r}")
    degraded = ended["headers"].get("x-tidegate-degraded")
    hit = ended["headers"].get("x-tidegate-cache") == "hit"
    if not hit and model != chain[0] and degraded != f"fallback:{model}":
        report.violate("untold fallback", asked["name"], f"{asked['model']}: {degraded!r}")


def check_played(journals, report):
    """Enough faults, every kind of them, and nobody left hanging upstream."""
    counts = Counter(line["behavior"] for line in journals.mocks)
    faults = {word: counts[word] for word in rules.WHOLE}
    if sum(faults.values()) < journals.run["target"]:
        report.violate("too few faults", "mocks", f"{sum(faults.values())} were played")
    check_trips(journals, report)
    for word, times in faults.items():
        if not times:
            report.violate("too few faults", "mocks", f"{word} was never played")
    for line in journals.others["mock"]:
        if line["label"] != "before" and line["stats"]["in_flight"]:
            what = f"{line['stats']['in_flight']} calls still run upstream, {line['label']}"
            report.violate("call not cancelled", line["mock"], what)


def check_trips(journals, report):
    """Where failures open circuits, enough of them have opened some."""
    for gateway, line in journals.labelled("stats", "after").items():
        trips = sum(entry["trips"] for entry in line["stats"]["models"])
        due = journals.run["gateways"][gateway]["trips"]
        if due and not trips and journals.run["target"] >= LEAST_FAULTS_FOR_TRIPS:
            report.violate("too few faults", gateway, "no circuit was opened by failures")
        for entry in line["stats"]["models"]:
            # A throttle opens a circuit as well, and then one failed probe does.
            if entry["trips"] and not due and not entry["throttled"]:
                what = f"opened {entry['trips']} times below the threshold"
                report.violate("needless trip", f"{gateway}/{entry['name']}", what)


def check_stats(journals, label, report):
    """Everything that was taken has been given back."""
    found = journals.labelled("stats", label)
    for gateway, described in journals.run["gateways"].items():
        if gateway not in found:
            report.violate("unbalanced stats", gateway, f"there are none, {label}")
            continue
        stats = found[gateway]["stats"]
        if stats["waiting_requests"]:
            report.violate("unbalanced stats", gateway, f"{stats['waiting_requests']} wait {label}")
        entries = {entry["name"]: entry for entry in stats["models"]}
        for name in described["entries"].keys() - entries.keys():
            report.violate("unbalanced stats", f"{gateway}/{name}", "has no statistics")
        for name, entry in entries.items():
            slots = described["entries"].get(name)
            for what in entry_faults(entry, slots, healed=label == "end"):
                report.violate("unbalanced stats", f"{gateway}/{name}", f"{what}, {label}")


def entry_faults(entry, slots, healed):
    if entry["active_requests"]:
        yield f"{entry['active_requests']} active requests"
    if entry["headroom"]["concurrent"] != slots:
        yield f"{entry['headroom']['concurrent']} of {slots} slots are free"
    ends = ["successful", "failed", "throttled", "abandoned"]
    if entry["total"] != sum(entry[end] for end in ends):
        yield f"{entry['total']} calls, but " + ", ".join(f"{entry[end]} {end}" for end in ends)
    if healed and entry["state"] != "healthy":
        yield f"its circuit is {entry['state']}"


def check_counts(journals, report):
    """The gateways' counts fit what was asked and what was played."""
    after = journals.labelled("stats", "after")
    totals = Counter()
    left = Counter()
    for name, asked in journals.asked.items():
        if any(ended["end"] == "left" for ended in journals.ended.get(name, [])):
            chain = journals.run["gateways"][asked["gateway"]]["chains"][asked["model"]]
            left.update(f"{asked['gateway']}/{entry}" for entry in chain)
    for gateway, line in after.items():
        for entry in line["stats"]["models"]:
            name = f"{gateway}/{entry['name']}"
            totals[entry["name"].split("/")[1]] += entry["total"]
            least = report.completed[name]
            most = least + report.completed_cached[name] + left[name]
            if not least <= entry["successful"] <= most:
                what = f"{entry['successful']} successes, seen were {least} to {most}"
                report.violate("unbalanced stats", name, what)
    played = Counter(line["behavior"] for line in journals.mocks)
    for word in rules.WHOLE:
        if played[word] > totals[word]:
            what = f"{word}: {played[word]} calls arrived, {totals[word]} were counted"
            report.violate("unbalanced stats", "mocks", what)


def check_fills(journals, report):
    """Every slot of every entry could be taken at once, and no more than those."""
    filled = set()
    for line in journals.others["fill"]:
        name = f"{line['gateway']}/{line['entry']}"
        slots = journals.run["gateways"][line["gateway"]]["entries"][line["entry"]]
        if line["together"] != slots or line["completed"] != line["calls"]:
            what = (f"{line['together']} of {slots} ran together, {line['completed']} of "
                    f"{line['calls']} completed ({line['how']})")
            report.violate("slots", name, what)
        if line["how"] == "healed":
            filled.add(name)
    for gateway, described in journals.run["gateways"].items():
        for name in described["entries"]:
            if f"{gateway}/{name}" not in filled:
                report.violate("slots", f"{gateway}/{name}", "was not filled")


def check_memory(journals, report):
    labels = ["before", "round 1", "ordinary", "end"]
    lines = [journals.labelled("memory", label) for label in labels]
    for gateway in journals.run["gateways"]:
        if not all(gateway in line for line in lines):
            report.violate("memory", gateway, "was not measured")
            continue
        before, first, ordinary, end = (line[gateway] for line in lines)
        growth_kib = ordinary["rss_kib"] - first["rss_kib"]
        if growth_kib > MOST_GROWTH_KIB:
            report.violate("memory", gateway, f"grew by {growth_kib} KiB over ordinary faults")
        kept_kib = end["rss_kib"] - before["rss_kib"]
        if kept_kib > MOST_KEPT_KIB:
            report.violate("memory", gateway, f"keeps {kept_kib} KiB when all is over")
        if end["peak_kib"] > MOST_PEAK_KIB:
            report.violate("memory", gateway, f"peak of {end['peak_kib']} KiB")
        files = end["open_files"] - before["open_files"]
        if files > MOST_LEFT_OPEN_FILES:
            report.violate("memory", gateway, f"{files} more open files than before")


def check_exits(journals, report):
    for line in journals.others["died"]:
        report.violate("process", line["gateway"], f"ended by itself with {line['code']}")
    codes = {line["gateway"]: line["code"] for line in journals.others["exit"]}
    for gateway in journals.run["gateways"]:
        if codes.get(gateway) != 0:
            report.violate("process", gateway, f"exit code {codes.get(gateway)} after SIGTERM")


def print_report(journals, report):
    columns = ["complete", "broken", "429", "502", "503", "504", "left"]
    known = set(columns) | {"in outage"}
    print(f"{'scripted':<22}{'played':>8}" + "".join(f"{c:>10}" for c in columns)
          + f"{'other':>8}{'in outage':>11}")
    played = Counter(line["behavior"] for line in journals.mocks)
    for row, ends in sorted(report.ends.items()):
        other = sum(times for end, times in ends.items() if end not in known)
        print(f"{row:<22}{played.get(row, ''):>8}" + "".join(f"{ends[c]:>10}" for c in columns)
              + f"{other:>8}{ends['in outage']:>11}")
    print(f"\nends: {dict(report.by_kind.most_common())}")
    print_totals(journals, report, played)
    shown = Counter(rule for rule, _, _ in report.violations)
    print(f"\nviolations: {len(report.violations)} {dict(shown) if shown else ''}")
    for rule, who, what in report.violations[:MOST_SHOWN]:
        print(f"  {rule}: {who}: {what}")
    if len(report.violations) > MOST_SHOWN:
        print(f"  … and {len(report.violations) - MOST_SHOWN} more")


def print_totals(journals, report, played):
    over = journals.others["over"]
    disturbances = Counter(line["what"] for line in journals.others["disturbance"])
    print(f"\nrequests: {len(journals.asked)}, faults played: "
          f"{sum(played[word] for word in rules.WHOLE)}, mock disturbances: {dict(disturbances)}, "
          f"slots filled: {sum(line['together'] for line in journals.others['fill'])}, "
          f"duration: {over[0]['seconds'] if over else '?'} s, seed: {journals.run['seed']}")
    slowest = max((e[0]["took_ms"] for e in journals.ended.values() if e), default=0)
    late = max((line["late_ms"] for line in journals.others["late"]), default=0)
    print(f"slowest answer: {slowest} ms (deadline {journals.run['deadline_ms']} ms); "
          f"the driver itself was late by {late} ms at most")
    for gateway in journals.run["gateways"]:
        lines = [line for line in journals.others["memory"] if line["gateway"] == gateway]
        steps = ", ".join(f"{line['label']} {line['rss_kib'] >> 10}" for line in lines)
        peak = max((line["peak_kib"] for line in lines), default=0) >> 10
        after = journals.labelled("stats", "after").get(gateway, {"stats": {"models": []}})
        counts = Counter()
        for entry in after["stats"]["models"]:
            counts.update({count: entry[count] for count in COUNTS})
        print(f"counts of {gateway}: " + ", ".join(f"{counts[c]} {c}" for c in COUNTS))
        print(f"memory of {gateway}, MiB: {steps}, peak {peak}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    mocks = [line for path in sorted(folder.glob("mock-*.ndjson")) for line in read_lines(path)]
    journals = Journals(read_lines(folder / "driver.ndjson"), mocks)
    report = check(journals)
    print_report(journals, report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
