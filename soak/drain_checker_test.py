#!/usr/bin/env python3
"""Shows that the drain checker can fail: each kind of violation is planted and found."""

import unittest

import drain_checker


def stream(restart, place):
    text = f"text {restart} {place}"
    return {"kind": "stream", "restart": restart, "place": place, "text": text, "end": "whole",
            "at_ms": 900.0, "status": 200, "headers": {}, "events": 3, "content": text,
            "finish": "stop", "errors": [], "after_end": 0, "done": True, "malformed": 0}


def clean():
    """The journal of a run in which nothing is wrong."""
    lines = [{"kind": "run", "seed": "1", "restarts": 2, "streams": 3, "drain_ms": 5_000}]
    for restart in range(2):
        lines += [
            {"kind": "told", "restart": restart, "at_ms": 100.0, "open": 3},
            {"kind": "refused", "restart": restart, "refused": True, "after_ms": 4.0},
            {"kind": "taken over", "restart": restart, "status": "ready", "old_alive": True,
             "after_ms": 40.0},
            *(stream(restart, place) for place in range(3)),
            {"kind": "exit", "restart": restart, "code": 0, "after_ms": 810.0},
        ]
    return [*lines, {"kind": "last", "code": 0}, {"kind": "over", "seconds": 2.0}]


def line_of(lines, kind):
    return next(line for line in lines if line["kind"] == kind)


class Checker(unittest.TestCase):
    def check_planted(self, expected, change, logs=None):
        """`change` is made to a clean journal; exactly `expected` has to be found."""
        lines = clean()
        change(lines)
        drained = drain_checker.Drained(lines, logs or {})
        self.assertEqual(drain_checker.check(drained).rules(), expected)

    def check_line(self, expected, kind, **fields):
        self.check_planted({expected}, lambda lines: line_of(lines, kind).update(fields))

    def test_a_clean_journal_has_no_violation(self):
        self.check_planted(set(), lambda lines: None, {"gate": '{"message":"draining"}'})

    def test_a_stream_without_an_end(self):
        self.check_planted({"missing stream"},
                           lambda lines: lines.remove(line_of(lines, "stream")))

    def test_a_stream_that_ends_twice(self):
        self.check_planted({"missing stream"},
                           lambda lines: lines.append(line_of(lines, "stream")))

    def test_a_connection_that_is_cut(self):
        self.check_line("cut stream", "stream", end="cut")

    def test_a_stream_that_is_refused(self):
        self.check_line("cut stream", "stream", status=503)

    def test_a_stream_that_lacks_content(self):
        self.check_line("cut stream", "stream", content="text")

    def test_a_stream_without_its_last_event(self):
        self.check_line("cut stream", "stream", done=False)

    def test_a_stream_without_a_finish_reason(self):
        self.check_line("cut stream", "stream", finish=None)

    def test_a_stream_with_an_error_event(self):
        self.check_line("cut stream", "stream", errors=[{"code": "overloaded"}])

    def test_a_process_that_goes_on_accepting(self):
        self.check_line("still accepting", "refused", refused=False)

    def test_a_process_that_accepts_until_the_streams_have_ended(self):
        self.check_line("still accepting", "refused", after_ms=3_000.0)

    def test_a_process_that_fails(self):
        self.check_line("exit code", "exit", code=1)

    def test_a_process_that_had_to_be_killed(self):
        self.check_line("exit code", "exit", code=None)

    def test_a_process_that_takes_too_long(self):
        self.check_line("drain time", "exit", after_ms=6_100.0)

    def test_a_successor_that_is_not_ready(self):
        self.check_line("no successor", "taken over", status="draining")

    def test_a_step_that_is_missing(self):
        self.check_planted({"journal"}, lambda lines: lines.remove(line_of(lines, "refused")))

    def test_a_run_that_breaks_off(self):
        self.check_planted({"journal"}, lambda lines: lines.remove(line_of(lines, "over")))

    def test_a_last_process_that_fails(self):
        self.check_line("exit code", "last", code=130)

    def test_signals_that_come_after_the_streams(self):
        self.check_line("too few open", "told", open=0)

    def test_a_log_that_owns_up_to_cuts(self):
        self.check_planted({"log"}, lambda lines: None, {"gate": "2 connections were cut when"})


if __name__ == "__main__":
    unittest.main(verbosity=0)
