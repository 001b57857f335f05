#!/usr/bin/env python3
"""Shows that the tasks checker can fail: each kind of violation is planted and found."""

import unittest

import tasks_checker

S = 1_000_000_000
RUN = {"kind": "run", "seed": "1", "kills": 3, "tasks": 3, "homes": ["sqlite"]}


def submitted(name, after=()):
    return {"kind": "submitted", "home": "sqlite", "id": name, "at_ns": S, "after": list(after)}


def call(serial, name, at_s, left=False):
    return {"kind": "call", "serial": serial, "text": f"task:{name} wait:20", "left": left,
            "arrived_ns": int(at_s * S), "ended_ns": int((at_s + 0.02) * S)}


def final(name, serial, **fields):
    return {"kind": "final", "home": "sqlite", "id": name, "state": "succeeded", "attempt": 1,
            "error": None, "response": f"serial:{serial} re:task:{name}"} | fields


def kill(at_s):
    return {"kind": "kill", "home": "sqlite", "worker": "w", "at_ns": at_s * S}


def clean():
    """Three tasks, of which one was begun twice and another one depends on the first."""
    lines = [submitted("a"), submitted("b", ["a"]), submitted("c"), kill(2), kill(3), kill(4),
             final("a", 1), final("b", 4), final("c", 3)]
    calls = [call(1, "a", 1), call(2, "c", 2, left=True), call(3, "c", 17), call(4, "b", 5)]
    return lines, calls


def stop(at_s):
    return {"kind": "stop", "home": "sqlite", "worker": "w", "at_ns": at_s * S}


def rules(lines, calls, name="sqlite"):
    home = tasks_checker.Home(name, lines, calls)
    return tasks_checker.check(RUN, {"sqlite": home}).rules()


def without(lines, kind, name):
    return [line for line in lines if (line["kind"], line.get("id")) != (kind, name)]


class Planted(unittest.TestCase):
    def setUp(self):
        self.lines, self.calls = clean()

    def test_clean(self):
        self.assertEqual(rules(self.lines, self.calls), set())

    def test_a_task_that_is_gone(self):
        self.assertEqual(rules(without(self.lines, "final", "c"), self.calls), {"lost"})

    def test_a_task_that_is_there_twice(self):
        self.assertEqual(rules([*self.lines, final("c", 3)], self.calls), {"lost"})

    def test_a_task_that_has_not_ended(self):
        lines = without(self.lines, "final", "c") + [final("c", 3, state="retrying")]
        self.assertEqual(rules(lines, self.calls), {"unended"})

    def test_a_task_that_failed(self):
        lines = without(self.lines, "final", "c") + [final("c", 3, state="failed")]
        self.assertEqual(rules(lines, self.calls), {"failed"})

    def test_a_worker_that_was_not_lost_so_often(self):
        lost = final("c", 3, state="dead", error={"code": "worker_lost", "message": ""})
        lines = without(self.lines, "final", "c") + [lost]
        self.assertEqual(rules(lines, self.calls), {"worker_lost"})
        calls = self.calls + [call(n, "c", 17 + 15 * (n - 10), left=True) for n in (11, 12, 13)]
        self.assertEqual(rules(lines, calls), set())

    def test_a_task_that_was_never_begun(self):
        calls = [call for call in self.calls if call["serial"] != 4]
        self.assertEqual(rules(self.lines, calls), {"never"})

    def test_the_result_of_another_task(self):
        lines = without(self.lines, "final", "c") + [final("c", 1)]
        self.assertEqual(rules(lines, self.calls), {"result"})

    def test_the_result_of_a_worker_that_was_gone(self):
        lines = without(self.lines, "final", "c") + [final("c", 2)]
        self.assertEqual(rules(lines, self.calls), {"result"})

    def test_a_task_that_was_begun_while_it_ran(self):
        self.assertEqual(rules(self.lines, [*self.calls, call(5, "a", 1.01)]), {"twice"})

    def test_a_task_that_was_begun_again_too_late(self):
        calls = [one for one in self.calls if one["serial"] != 3] + [call(3, "c", 23)]
        self.assertEqual(rules(self.lines, calls), {"late"})
        # Taken in between by a worker that died before it asked.
        lines = without(self.lines, "final", "c")
        self.assertEqual(rules([*lines, final("c", 3, attempt=3)], calls), set())
        self.assertEqual(rules([*lines, final("c", 3, attempt=2)], calls), {"late"})
        # What is stopped may hold the file's lock, over SQLite.
        self.assertEqual(rules([*self.lines, stop(3)], calls), set())
        self.assertEqual(rules([*self.lines, stop(3)], calls, "redis"), {"late"})
        self.assertEqual(rules([*self.lines, stop(23)], calls), {"late"})

    def test_a_task_that_was_begun_before_what_it_depends_on(self):
        calls = [one for one in self.calls if one["serial"] != 4] + [call(4, "b", 0.9)]
        self.assertEqual(rules(self.lines, calls), {"order"})

    def test_too_few_kills(self):
        lines = [line for line in self.lines if line["kind"] != "kill"]
        self.assertEqual(rules(lines, self.calls), {"amount"})


if __name__ == "__main__":
    unittest.main()
