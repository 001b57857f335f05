#!/usr/bin/env python3
"""Shows that the store checker can fail: each kind of violation is planted and found."""

import json
import unittest

import store_faults_checker as checker

S = 1_000_000_000
GATES = ["store_faults-single-gate-0", "store_faults-single-gate-1"]


def asked(name, model="open", **fields):
    return {"kind": "asked", "name": name, "model": model, "end": "whole", "status": 200,
            "start_ns": 0, "end_ns": S // 10, "degraded": None} | fields


AWAY_REACH = checker.AWAY
AWAY = "the store cannot be reached: no answer in time"
BACK = "the store can be reached again"


def log(said):
    lines = [{"level": "WARN", "message": message, "db": 0} for message in said]
    return "\n".join(json.dumps(line) for line in [{"message": "listening"}, *lines]) + "\n"


def clean():
    """Two events: a kill of 10 s and a flush; a tight model of 30 in 3 s."""
    run = {"kind": "phase", "name": "single", "window_ms": 3_000, "tight": 30, "gates": 2,
           "deadline_ms": 2_000}
    lines = [
        {"kind": "event", "phase": "single", "number": 0, "what": "kill", "start_ns": 20 * S,
         "healed_ns": 30 * S, "written_ns": 30 * S, "recovered_ns": [31 * S, 30 * S + S // 2]},
        {"kind": "event", "phase": "single", "number": 1, "what": "flush_scripts",
         "start_ns": 40 * S, "healed_ns": 40 * S, "written_ns": 40 * S,
         "recovered_ns": [40 * S, 40 * S]},
    ]
    for gate in GATES:
        lines += [{"kind": "reach", "gate": gate, "at_ns": at * S, "reach": reach}
                  for at, reach in [(0, "live"), (21, "unreachable"), (30.4, "live")]]
        lines.append({"kind": "live", "gate": gate, "asked": 100, "failed": 0, "slowest_ms": 9.0})
    # Ten in a second, always.
    calls = [{"model": "tight", "arrived_ns": number * S // 10} for number in range(500)]
    asks = [asked(f"1.{number}") for number in range(2_000)]
    asks += [asked(f"2.{number}", "tight", status=429) for number in range(10)]
    logs = {gate: log([AWAY, BACK]) for gate in GATES}
    return checker.Phase(run, lines, (calls, asks), logs)


class Checker(unittest.TestCase):
    def check_planted(self, expected, change):
        """`change` is made to a clean phase; exactly `expected` has to be found."""
        phase = clean()
        change(phase)
        rules = checker.check(phase).rules() | checker.check_share([phase]).rules()
        self.assertEqual(rules, expected)

    def add_calls(self, expected, at_s, count):
        def change(phase):
            phase.calls += [{"model": "tight", "arrived_ns": int(at_s * S)}] * count
            phase.calls.sort(key=lambda call: call["arrived_ns"])

        self.check_planted(expected, change)

    def test_a_clean_phase_has_no_violation(self):
        self.check_planted(set(), lambda phase: None)

    def test_three_unanswered_in_two_thousand(self):
        for fields in [{"status": 503}, {"end": "cut"}, {"status": 429}]:
            self.check_planted({"answered"}, lambda phase, fields=fields: [
                line.update(fields) for line in phase.asked[:3]])

    def test_one_unanswered_in_two_thousand(self):
        self.check_planted(set(), lambda phase: phase.asked[0].update(status=500))

    def test_a_request_beyond_its_deadline(self):
        self.check_planted({"deadline"}, lambda phase: phase.asked[0].update(end_ns=2_400_000_000))

    def test_a_gateway_that_recovers_late_or_never(self):
        for at_ns in [32 * S + S // 10, None]:
            self.check_planted({"recovery"}, lambda phase, at_ns=at_ns: phase.events[0].update(
                recovered_ns=[at_ns, 31 * S]))

    def test_a_gateway_that_was_not_watched(self):
        self.check_planted({"journal"}, lambda phase: phase.events[1].update(recovered_ns=[40 * S]))

    def test_a_store_that_does_not_come_back(self):
        self.check_planted({"event"}, lambda phase: phase.events[1].update(
            written_ns=None, recovered_ns=[]))

    def test_a_kill_that_nobody_notices(self):
        self.check_planted({"unnoticed"}, lambda phase: phase.reach[GATES[1]].pop(1))

    def test_one_too_many_while_nothing_happens(self):
        self.add_calls({"above while calm"}, 10, 1)

    def test_a_gateway_that_is_away_between_the_events_is_not_calm(self):
        def change(phase):
            phase.reach[GATES[1]][1:1] = [
                {"at_ns": int(at * S), "reach": reach} for at, reach in [(9, AWAY_REACH),
                                                                         (11, "live")]]
            phase.logs[GATES[1]] += log([AWAY, BACK])
            phase.calls += [{"arrived_ns": 10 * S}]
            phase.calls.sort(key=lambda call: call["arrived_ns"])

        self.check_planted(set(), change)

    def test_one_too_many_while_the_store_is_away(self):
        self.add_calls({"above while away"}, 25, 1)

    def test_both_grants_may_meet_across_a_change(self):
        self.add_calls(set(), 20.5, 30)

    def test_more_than_both_may_not(self):
        self.add_calls({"above the policy"}, 20.5, 31)

    def test_load_that_is_too_low(self):
        self.check_planted({"too little load"}, lambda phase: phase.calls.__delitem__(
            slice(10, None)))

    def test_a_log_that_says_the_same_twice(self):
        self.check_planted({"log repeated"}, lambda phase: phase.logs.update(
            {GATES[0]: log([AWAY, AWAY, BACK])}))

    def test_a_log_that_says_too_little(self):
        self.check_planted({"log missing"}, lambda phase: phase.logs.update({GATES[0]: log([])}))

    def test_databases_have_lines_of_their_own(self):
        def change(phase):
            own = phase.logs[GATES[0]]
            phase.logs[GATES[0]] = own + own.replace('"db": 0', '"db": 1')

        self.check_planted(set(), change)

    def test_a_word_of_too_little_knowledge_is_no_change_of_its_own(self):
        self.check_planted(set(), lambda phase: phase.reach[GATES[0]].insert(
            2, phase.reach[GATES[0]][2] | {"reach": "recovering"}))

    def test_looks_that_nobody_answered_are_no_changes(self):
        self.check_planted(set(), lambda phase: phase.reach[GATES[0]].insert(
            1, phase.reach[GATES[0]][0] | {"reach": "no answer"}))

    def test_a_log_that_says_too_much(self):
        self.check_planted({"log flood"}, lambda phase: phase.logs.update(
            {GATES[0]: log([AWAY, BACK] * 6)}))

    def test_a_panic(self):
        self.check_planted({"panic"}, lambda phase: phase.logs.update(
            {GATES[0]: phase.logs[GATES[0]] + "thread panicked at"}))

    def test_a_gateway_that_looks_dead(self):
        for fields in [{"failed": 1}, {"slowest_ms": 1_500.0}, {"asked": 0}]:
            self.check_planted({"liveness"}, lambda phase, fields=fields: phase.live[0].update(
                fields))

    def test_logs_that_are_missing(self):
        self.check_planted({"journal"}, lambda phase: phase.logs.pop(GATES[0]))


if __name__ == "__main__":
    unittest.main(verbosity=0)
