#!/usr/bin/env python3
"""Shows that the coherence checker can fail: each kind of violation is planted and found."""

import unittest

import coherence_checker

MS = 1_000_000


def read(at_ms, serial, cache, place=0, tenant=0, **fields):
    return {"kind": "read", "start_ns": at_ms * MS, "end_ns": (at_ms + 1) * MS, "end": "whole",
            "status": 200, "tenant": tenant, "place": place, "text": "prompt 1", "error": None,
            "cache": cache, "serial": serial, "other_text": False} | fields


def forget(at_ms, what="domain", **fields):
    return {"kind": "forget", "start_ns": at_ms * MS, "end_ns": (at_ms + 2) * MS, "end": "whole",
            "status": 200, "tenant": 0, "place": 0, "what": what, "value": "domain-1",
            "removed": 1, "covers": ["prompt 1"]} | fields


def clean():
    """Made at 100 and forgotten at 200, made again at 210; the other tenant's is older."""
    lines = [{"kind": "run", "seed": "1", "nodes": 3, "tenants": 3, "trials": 2,
              "operations": 9, "rounds": 1, "callers": 3}]
    lines += [{"kind": "trial", "number": n, "what": "tag", "held": ["hit", "hit"],
               "status": 200, "removed": 1, "reads": 3, "seen_ms": 4.0} for n in range(2)]
    lines += [
        read(50, 1, "miss", tenant=1), read(100, 2, "miss"), read(150, 2, "hit", place=1),
        read(151, 2, "hit"), forget(200), read(210, 3, "miss"),
        # Within the bound the other node may still have the old one.
        read(240, 2, "hit", place=1), read(260, 3, "hit", place=1),
        read(300, 1, "hit", tenant=1), forget(400, "key", removed=0, covers=[]),
        read(500, 3, "hit"),
        {"kind": "round", "number": 0, "text": "round 0", "statuses": [200] * 3, "serials": [4]},
        {"kind": "over"},
    ]
    calls = [{"kind": "call", "serial": serial, "arrived_ns": at * MS, "text": text}
             for serial, at, text in
             [(1, 50, "prompt 1"), (2, 100, "prompt 1"), (3, 211, "prompt 1"),
              (4, 600, "round 0")]]
    return lines, calls


class Checker(unittest.TestCase):
    def check_planted(self, expected, change):
        """`change` is made to clean journals; exactly `expected` has to be found."""
        lines, calls = clean()
        change(lines, calls)
        found = coherence_checker.check(coherence_checker.Run(lines, calls))
        self.assertEqual(found.rules(), expected)

    def check_added(self, expected, *more):
        self.check_planted(expected, lambda lines, calls: lines.extend(more))

    def check_line(self, expected, kind, **fields):
        self.check_planted(expected, lambda lines, calls: next(
            line for line in lines if line["kind"] == kind).update(fields))

    def test_clean_journals_have_no_violation(self):
        self.check_planted(set(), lambda lines, calls: None)

    def test_a_stale_read_on_another_node(self):
        self.check_added({"stale"}, read(253, 2, "hit", place=1))

    def test_a_stale_read_on_the_node_that_forgot(self):
        self.check_added({"stale at home"}, read(203, 2, "hit"))

    def test_a_read_that_began_before_the_invalidation_had_ended(self):
        self.check_added(set(), read(201, 2, "hit"))

    def test_what_was_loaded_before_and_kept_after_the_invalidation(self):
        self.check_planted({"stale", "stale at home"},
                           lambda lines, calls: calls[2].update(arrived_ns=199 * MS))

    def test_another_tenants_invalidation_does_not_count(self):
        self.check_added(set(), forget(310, tenant=1), read(490, 3, "hit"))

    def test_an_answer_of_another_tenant(self):
        self.check_added({"another tenant's"}, read(301, 3, "hit", tenant=2))

    def test_an_answer_to_another_question(self):
        self.check_line({"another answer"}, "read", other_text=True)

    def test_a_serial_number_that_was_never_made(self):
        self.check_added({"journal"}, read(301, 77, "hit"))

    def test_a_read_that_fails(self):
        self.check_line({"failed"}, "read", status=500)

    def test_a_cache_that_is_not_used(self):
        self.check_added({"not cached", "not shared"},
                         *(read(300, 3, "miss", place=1) for _ in range(90)))

    def test_a_cache_that_is_not_shared(self):
        def change(lines, calls):
            lines[:] = [line | {"place": 0} for line in lines
                        if line["kind"] != "read" or line["start_ns"] != 240 * MS]
            lines[0]["operations"] -= 1

        self.check_planted({"not shared"}, change)

    def test_an_invalidation_that_is_refused(self):
        self.check_line({"failed"}, "forget", status=403)

    def test_warming_that_fails(self):
        warm = {"kind": "warm", "end": "whole", "status": 200, "warmed": 1, "skipped": 0,
                "failed": 0, "tenant": 0, "text": "prompt 1"}
        self.check_added(set(), warm)
        for fields in [{"status": 403, "failed": None}, {"failed": 1}]:
            self.check_added({"failed"}, warm | fields)

    def test_a_key_that_removes_what_is_not_its_own(self):
        self.check_added({"removed too much"}, forget(900, "key", covers=[]))

    def test_selectors_that_remove_nothing_in_a_long_run(self):
        self.check_planted({"not removed", "not warmed", "journal"},
                           lambda lines, calls: lines[0].update(operations=100_000))

    def test_a_trial_that_is_seen_late(self):
        self.check_line({"seen late"}, "trial", seen_ms=51.0)

    def test_a_trial_that_is_never_seen(self):
        self.check_line({"never seen"}, "trial", seen_ms=None)

    def test_a_trial_that_removed_nothing(self):
        self.check_line({"not removed"}, "trial", removed=0)

    def test_a_trial_of_something_that_was_not_cached(self):
        self.check_line({"not shared"}, "trial", held=["hit", "miss"])

    def test_a_trial_that_is_missing(self):
        self.check_planted({"journal"}, lambda lines, calls: lines.pop(1))

    def test_a_herd(self):
        self.check_planted({"herd"}, lambda lines, calls: calls.append(
            {"kind": "call", "serial": 5, "arrived_ns": 600 * MS, "text": "round 0"}))
        self.check_line({"herd"}, "round", serials=[4, 5])

    def test_a_caller_that_gets_nothing(self):
        self.check_line({"failed"}, "round", statuses=[200, 200, 503])

    def test_a_run_that_breaks_off(self):
        self.check_planted({"journal"}, lambda lines, calls: lines.pop())


if __name__ == "__main__":
    unittest.main(verbosity=0)
