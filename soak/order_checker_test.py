#!/usr/bin/env python3
"""Shows that the order checker can fail: each kind of violation is planted and found."""

import datetime
import unittest

import order_checker

RUN = {"kind": "run", "seed": "1", "seconds": 12, "homes": ["redis"]}
FIRST = 1_800_000_000
LAST = FIRST + 12
WAITS = {"critical": 40, "high": 60, "normal": 900, "low": 4_000, "background": 9_000}


def tick(second, late_s=0.01):
    created = datetime.datetime.fromtimestamp(second + late_s, datetime.timezone.utc)
    return {"kind": "tick", "id": f"beat.{int(second * 1_000)}",
            "created_at": created.isoformat().replace("+00:00", "Z")}


def crowd(number, priority, **fields):
    return {"kind": "crowd", "id": f"crowd-{number}", "state": "succeeded",
            "priority": priority, "wait_ms": WAITS[priority]} | fields


def clean():
    lines = [{"kind": "ticks", "first_s": FIRST, "last_s": LAST}]
    lines += [{"kind": "kill", "worker": "w"}] * 4
    # One before those that count, as there may be.
    lines += [tick(second) for second in range(FIRST - 1, LAST + 1)]
    return lines + [crowd(number, priority) for number, priority in enumerate(WAITS)]


def rules(lines):
    return order_checker.check(RUN, {"redis": order_checker.Home(lines)}).rules()


class Planted(unittest.TestCase):
    def test_clean(self):
        self.assertEqual(rules(clean()), set())

    def test_a_tick_that_was_left_out(self):
        self.assertEqual(rules([line for line in clean() if line != tick(FIRST + 3)]), {"ticks"})

    def test_a_tick_that_was_submitted_twice(self):
        self.assertEqual(rules([*clean(), tick(FIRST + 3)]), {"ticks"})

    def test_a_task_between_two_ticks(self):
        self.assertEqual(rules([*clean(), tick(FIRST + 3.25)]), {"ticks"})

    def test_a_tick_whose_task_has_any_name(self):
        lines = [*clean(), tick(FIRST + 3) | {"id": "01a2030919b523cf"}]
        self.assertEqual(rules(lines), {"ticks"})

    def test_a_tick_that_came_late(self):
        lines = [line for line in clean() if line != tick(FIRST + 3)]
        self.assertEqual(rules([*lines, tick(FIRST + 3, late_s=7)]), {"late"})

    def test_critical_tasks_that_wait_like_the_others(self):
        self.assertEqual(rules([*clean(), crowd(9, "critical", wait_ms=800)]), {"waits"})

    def test_a_background_task_that_never_ended(self):
        lines = [*clean(), crowd(9, "background", state="queued", wait_ms=None)]
        self.assertEqual(rules(lines), {"end"})

    def test_a_run_that_tested_nothing(self):
        lines = [line for line in clean() if line["kind"] != "kill"]
        self.assertEqual(rules(lines), {"amount"})
        lines = [line for line in clean() if line.get("priority") != "low"]
        self.assertEqual(rules(lines), {"amount"})


if __name__ == "__main__":
    unittest.main()
