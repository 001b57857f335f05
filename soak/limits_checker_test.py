#!/usr/bin/env python3
"""Shows that the limits checker can fail: each kind of violation is planted and found."""

import unittest

import limits_checker

MS = 1_000_000


def call(serial, model, at_ms, long_ms=400, tokens=(20, 80)):
    return {"kind": "call", "serial": serial, "model": model, "caller": "gate",
            "arrived_ns": round(at_ms * MS), "ended_ns": round((at_ms + long_ms) * MS),
            "left": False, "prompt_tokens": tokens[0], "completion_tokens": tokens[1],
            "max_tokens": 100, "text": f"{serial}. wait:400"}


def asked(name, **fields):
    return {"kind": "asked", "name": name, "model": "requests", "place": 0, "end": "whole",
            "status": 200, "retry_after": None, "content": f"serial:{name[:-1]} re:",
            "error": None} | fields


def clean(name="plain"):
    """10 requests and 1,000 tokens in each window of 1 s, and 4 slots, for 10 s."""
    limits = {"requests": 10, "tokens": 1_000, "slots": 4}
    run = {"kind": "phase", "name": name, "window_ms": 1_000, "limits": limits, "nodes": 4,
           "seconds": 10, "clients": 64}
    calls = []
    for number in range(100):
        for model in ["requests", "tokens"]:
            calls.append(call(len(calls) + 1, model, 100 * number))
    # Each slot rests for 2 ms between two calls.
    for slot in range(4):
        for number in range(25):
            calls.append(call(len(calls) + 1, "slots", 400 * number + slot, 398))
    calls.append({"kind": "clock", "late_ms": 2.0})
    shifts = [[0, 0, 0, 0]] * 2
    if name in limits_checker.SHIFTED:
        shifts = [[0, 300, -300, 300], [0, 300, -300, -300]]
    lines = [{"kind": "clocks", "phase": name, "shifts_s": shift} for shift in shifts]
    if name in limits_checker.KILLING:
        lines += [{"kind": "kill", "number": 0}]
    clients = [{"kind": "began", "at_ns": 0}, *(asked(f"{serial}.") for serial in range(1, 40)),
               asked("40.", status=429, retry_after="3", content=None),
               {"kind": "over", "at_ns": 10_000 * MS}]
    return limits_checker.Phase(run, lines, calls, clients)


class Checker(unittest.TestCase):
    def check_planted(self, expected, change, name="plain"):
        """`change` is made to a clean phase; exactly `expected` has to be found."""
        phase = clean(name)
        change(phase)
        self.assertEqual(limits_checker.check(phase).rules(), expected)

    def check_call(self, expected, model, **fields):
        self.check_planted(expected, lambda phase: phase.calls_of(model)[3].update(fields))

    def check_asked(self, expected, name="plain", **fields):
        self.check_planted(expected, lambda phase: phase.asked[0].update(fields), name)

    def test_clean_phases_have_no_violation(self):
        for name in limits_checker.LEAST_USED:
            self.check_planted(set(), lambda phase: None, name)

    def test_one_request_that_comes_a_moment_too_early(self):
        self.check_call({"requests above"}, "requests", arrived_ns=300 * MS + 1_000 * MS - 1)

    def test_a_request_exactly_one_window_later_is_in_the_next(self):
        sums = limits_checker.sums_of_windows([(0, 1), (999, 1), (1_000, 1)], 1_000)
        self.assertEqual(sums, [1, 2, 2])

    def test_a_window_that_lies_across_the_seconds(self):
        def change(phase):
            for number, at in enumerate([9_300, 9_320, 9_340]):
                phase.calls.append(call(301 + number, "requests", at))

        self.check_planted({"requests above"}, change)

    def test_one_token_too_many(self):
        self.check_call({"tokens above"}, "tokens", completion_tokens=81)

    def test_one_call_too_many_at_once(self):
        self.check_planted({"slots above"}, lambda phase: phase.calls.append(
            call(301, "slots", 150, 10)))

    def test_a_slot_is_free_when_its_call_ends(self):
        self.assertEqual(limits_checker.open_at_begins([(0, 5), (5, 9), (6, 7)]), [1, 1, 2])

    def test_too_few_requests_and_too_few_tokens(self):
        for model in ["requests", "tokens", "slots"]:
            def change(phase, model=model):
                for line in phase.calls_of(model)[::4]:
                    line["model"] = "other"

            self.check_planted({"too little used"}, change)

    def test_what_calls_in_flight_may_still_use_is_not_idle(self):
        def change(phase):
            # A twentieth less is used, and as much was kept for calls in flight.
            for line in phase.calls_of("tokens"):
                line.update(completion_tokens=75, ended_ns=line["arrived_ns"] + 200 * MS)

        self.check_planted(set(), change)
        self.check_planted({"too little used"}, lambda phase: (change(phase), [
            line.update(ended_ns=line["arrived_ns"] + MS) for line in phase.calls_of("tokens")]))

    def test_what_is_enough_among_kills(self):
        def change(phase):
            for line in phase.calls_of("requests")[::6]:
                line["model"] = "other"

        self.check_planted(set(), change, "kills")
        self.check_planted({"too little used"}, change, "plain")

    def test_a_call_that_is_not_in_the_journal(self):
        self.check_planted({"journal", "foreign answer"}, lambda phase: phase.calls.pop(0))

    def test_an_answer_to_another_question(self):
        self.check_asked({"foreign answer"}, content="serial:7 re:")

    def test_an_upstream_that_breaks_off(self):
        self.check_planted({"journal"}, lambda phase: setattr(phase, "late_ms", None))

    def test_a_call_without_an_end(self):
        self.check_call({"journal"}, "tokens", ended_ns=None)

    def test_a_call_without_a_maximum(self):
        self.check_call({"journal"}, "requests", max_tokens=None)

    def test_a_connection_that_is_cut_where_nobody_dies(self):
        self.check_asked({"lost answer"}, end="cut", status=None)
        self.check_asked(set(), "kills", end="cut", status=None)

    def test_a_request_that_is_never_answered(self):
        self.check_asked({"lost answer"}, "kills", end="silent", status=None)

    def test_a_failure(self):
        self.check_asked({"failed"}, status=500)

    def test_a_refusal_that_does_not_say_for_how_long(self):
        self.check_asked({"no Retry-After"}, status=429)

    def test_gateways_that_were_not_killed(self):
        for name in ["kills", "both"]:
            self.check_planted({"too few kills"}, lambda phase: phase.lines.pop(), name)

    def test_clocks_that_were_not_shifted(self):
        for place in [1, 2, 3]:
            self.check_planted({"clocks"}, lambda phase, place=place: [
                line["shifts_s"].__setitem__(place, 0) for line in phase.lines], "clocks")

    def test_a_clock_that_did_not_jump(self):
        self.check_planted({"clocks"}, lambda phase: phase.lines.pop(), "clocks")

    def test_clients_that_break_off(self):
        self.check_planted({"journal"}, lambda phase: setattr(phase, "is_over", False))


if __name__ == "__main__":
    unittest.main(verbosity=0)
