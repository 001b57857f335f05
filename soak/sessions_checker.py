#!/usr/bin/env python3
"""Judges a sessions soak from the driver's journal and the gateways' logs alone.

Prints the counts and the violations; exits with 1 when there is one.
"""

import argparse
import pathlib
import sys
from collections import Counter, defaultdict

from journal import Violations, read_lines

# A lease is for 5 s, and runs out by itself when its holder dies; whoever waits for
# it looks again soon.
FREE_S = 6.0
TAKEN = (200, 201)
# A question to the store has 50 ms and is asked again for a second: this is for a
# machine that stands still for longer.
MOST_AWAY = 0.001
OK = ["ok"]


class Run:
    """The journal by kind, and the updates by session."""

    def __init__(self, lines, logs):
        self.lines = defaultdict(list)
        self.updates = defaultdict(list)
        self.session_of = {}
        for line in lines:
            self.lines[line["kind"]].append(line)
            if line["kind"] == "update":
                self.updates[line["session"]].append(line)
                self.session_of[line["name"]] = line["session"]
        self.run = self.lines["run"][0]
        self.logs = logs


def check(run):
    """All rules; returns the violations."""
    violations = Violations()
    check_amount(run, violations)
    for line in run.lines["final"]:
        check_session(run, line, f"session {line['session']} on node {line['place']}", violations)
    check_nodes_agree(run, violations)
    check_holds(run, violations)
    check_lite(run, violations)
    for name, text in run.logs.items():
        if "panicked" in text:
            violations.add("panic", name, "see its log")
    return violations


def is_lite(update):
    return update["name"].startswith("m-lite-")


def is_taken(update):
    whole = update["end"] == "whole" and update["status"] in TAKEN
    return whole and not is_unsaved(update)


def is_unsaved(update):
    """An answer that says of itself that its turn was not kept."""
    return "session:unsaved" in (update.get("degraded") or "")


def is_store_away(update):
    """The gateway says that its store did not answer in time: come back."""
    return is_unsaved(update) or (update["error"] or {}).get("code") == "store_unreachable"


def is_refused(update):
    """It was not done, by the gateway's own word."""
    return update["end"] == "whole" and 400 <= update["status"] < 500


def check_amount(run, violations):
    updates = [u for updates in run.updates.values() for u in updates]
    taken = sum(is_taken(u) for u in updates if not is_lite(u))
    away = sum(is_store_away(u) for u in updates)
    if away > max(3, MOST_AWAY * len(updates)):
        violations.add("store away", "driver", f"{away} of {len(updates)} updates")
    if taken < run.run["updates"]:
        violations.add("too few updates", "driver", f"{taken} of {run.run['updates']} were taken")
    for update in updates:
        cut_by_a_kill = is_lite(update) and update["end"] != "whole"
        if is_store_away(update) and not is_taken(update):
            continue
        if not is_taken(update) and update["status"] != 409 and not cut_by_a_kill:
            violations.add("failed", update["name"],
                           f"{update['end']} {update['status']} {update['error']}")
    counts = {"final": run.run["sessions"] * run.run["nodes"], "hold": run.run["rounds"],
              "kill": run.run["kills"], "over": 1}
    for kind, count in counts.items():
        if len(run.lines[kind]) != count:
            violations.add("journal", kind, f"{len(run.lines[kind])} of {count}")


def check_session(run, line, who, violations):
    """Every turn that was taken before it was read is there once, in its order."""
    if line["status"] != 200:
        violations.add("unreadable", who, f"{line['end']} {line['status']}")
        return
    places = defaultdict(list)
    answers = defaultdict(list)
    for place, (role, text) in enumerate(line["messages"]):
        if role == "user":
            places[text].append(place)
        else:
            answers[text.partition(" re:")[2]].append(place)
    for text, found in places.items():
        if len(found) > 1:
            violations.add("twice", who, f"{text!r} at {found}")
        if run.session_of.get(text) != line["session"]:
            violations.add("foreign turn", who, f"{text!r}")
    updates = [u for u in run.updates[line["session"]] if u["start_ns"] < line["start_ns"]]
    for update in updates:
        check_update(update, places, answers, line, violations)
    check_order([u for u in updates if u["name"] in places], places, who, violations)


def check_update(update, places, answers, line, violations):
    name = update["name"]
    if is_taken(update) and update["end_ns"] < line["start_ns"]:
        if name not in places:
            violations.add("lost turn", name, f"{update['how']} of session {update['session']}")
        elif update["how"] == "chat":
            if [place > places[name][0] for place in answers[name]] != [True]:
                violations.add("lost answer", name, f"{len(answers[name])} answers, or before it")
    elif is_refused(update) and name in places:
        violations.add("refused and done", name, f"{update['status']}")


def check_order(updates, places, who, violations):
    """Whoever was answered before another began stands before it."""
    latest, by = 0, None
    for update in sorted(updates, key=lambda update: places[update["name"]][0]):
        if update["end_ns"] < latest:
            violations.add("order", who, f"{update['name']!r} stands behind {by!r}")
        if update["start_ns"] > latest:
            latest, by = update["start_ns"], update["name"]


def check_nodes_agree(run, violations):
    by_session = defaultdict(list)
    for line in run.lines["final"]:
        by_session[line["session"]].append(line["messages"])
    for session, seen in by_session.items():
        if any(messages != seen[0] for messages in seen):
            violations.add("nodes differ", f"session {session}", f"{[len(m) for m in seen]}")


def check_holds(run, violations):
    """Nobody gets a session while its holder lives, and somebody soon after."""
    for line in run.lines["hold"]:
        who = f"round {line['number']}"
        free_s = (line["free_ns"] - line["killed_ns"]) / 1e9
        if line["statuses"][-1] != 200 or free_s > FREE_S:
            violations.add("stays taken", who, f"{free_s:.2f} s, {line['statuses'][-3:]}")
        elif free_s < 0:
            violations.add("not held", who, f"somebody else got in {-free_s:.2f} s before the kill")
        elif ["user", line["name"]] not in line["messages"]:
            violations.add("lost turn", who, f"{line['name']!r} after the holder's death")
        wrong = set(line["statuses"]) - {200, 409}
        if wrong:
            violations.add("failed", who, f"{wrong}")


def check_lite(run, violations):
    for line in run.lines["kill"]:
        who = f"kill {line['number']}"
        if not line["files"]:
            violations.add("journal", who, "there is no database")
        for name, said in line["files"].items():
            if said != OK:
                violations.add("corrupt", f"{who} {name}", f"{said[:3]}")
    reads = Counter(line["number"] for line in run.lines["lite"])
    wanted = {number: 2 if number else 1 for number in range(run.run["kills"])}
    for number, rounds in (wanted | {"end": run.run["kills"]}).items():
        if reads[number] != rounds * run.run["lite_sessions"]:
            violations.add("journal", f"kill {number}", f"{reads[number]} sessions were read")
    for line in run.lines["lite"]:
        check_session(run, line, f"after kill {line['number']}, session {line['session']}",
                      violations)
    lite = [u for updates in run.updates.values() for u in updates if is_lite(u)]
    if sum(map(is_taken, lite)) < run.run["kills"]:
        violations.add("too few updates", "SQLite", f"{sum(map(is_taken, lite))} were taken")
    if not any(u["end"] in ("cut", "refused") for u in lite):
        violations.add("too early", "SQLite", "no kill met an update")


def print_report(run, violations):
    updates = [u for updates in run.updates.values() for u in updates]
    lite = [u for u in updates if is_lite(u)]
    rest = [u for u in updates if not is_lite(u)]
    took = sorted((u["end_ns"] - u["start_ns"]) / 1e6 for u in rest if is_taken(u)) or [0]
    print(f"updates: {sum(map(is_taken, rest))} taken over {run.run['sessions']} sessions on "
          f"{run.run['nodes']} gateways, {sum(u['status'] == 409 for u in rest)} told to come "
          f"back; ms: median {took[len(took) // 2]:.1f}, most {took[-1]:.1f}; "
          f"seed {run.run['seed']}")
    free = sorted((l["free_ns"] - l["killed_ns"]) / 1e9 for l in run.lines["hold"]) or [0]
    print(f"holders killed: {len(run.lines['hold'])}, free again after s: "
          f"median {free[len(free) // 2]:.2f}, most {free[-1]:.2f}")
    back = sorted(line["after_ms"] for line in run.lines["back"]) or [0]
    print(f"SQLite: {len(run.lines['kill'])} kills, {sum(map(is_taken, lite))} turns taken, "
          f"{sum(u['end'] == 'cut' for u in lite)} cut by a kill; back after ms: "
          f"median {back[len(back) // 2]:.0f}, most {back[-1]:.0f}")
    violations.show()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    logs = {path.name: path.read_text(encoding="utf-8", errors="replace")
            for path in sorted(folder.glob("sessions*-gate-*.log"))}
    run = Run(read_lines(folder / "sessions.ndjson"), logs)
    violations = check(run)
    print_report(run, violations)
    return 1 if violations.found else 0


if __name__ == "__main__":
    sys.exit(main())
