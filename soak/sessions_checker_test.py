#!/usr/bin/env python3
"""Shows that the sessions checker can fail: each kind of violation is planted and found."""

import unittest

import sessions_checker

S = 1_000_000_000


def update(name, at_s, how="append", session="a", **fields):
    return {"kind": "update", "name": name, "session": session, "how": how, "place": 0,
            "start_ns": int(at_s * S), "end_ns": int((at_s + 0.5) * S), "end": "whole",
            "status": 200, "error": None} | fields


def final(session, place, messages):
    return {"kind": "final", "session": session, "place": place, "start_ns": 90 * S,
            "end": "whole", "status": 200, "messages": [list(pair) for pair in messages]}


def lite(number, session, at_s):
    return {"kind": "lite", "number": number, "session": f"lite-{session}", "place": 0,
            "start_ns": at_s * S, "end": "whole", "status": 200,
            "messages": [["user", f"m-lite-{session}.0"]]}


def clean():
    """Two sessions on two nodes, one holder that dies, two kills over SQLite."""
    turns = [("user", "m-1"), ("user", "m-2"), ("assistant", "serial:1 re:m-2"), ("user", "m-3")]
    lines = [
        {"kind": "run", "seed": "1", "updates": 4, "sessions": 2, "nodes": 2, "kills": 2,
         "rounds": 1, "lite_sessions": 1},
        update("m-1", 1), update("m-2", 2, "chat"), update("m-3", 3), update("m-4", 3, session="b"),
        update("m-5", 4, status=409), update("m-6", 4, session="b", status=409),
        *(final("a", place, turns) for place in range(2)),
        *(final("b", place, [("user", "m-4")]) for place in range(2)),
        {"kind": "hold", "number": 0, "session": "h", "killed_ns": 100 * S, "free_ns": 102 * S,
         "name": "after 0.1", "statuses": [409, 200],
         "messages": [["user", "held 0"], ["user", "after 0.1"]]},
    ]
    for number in range(2):
        session = f"lite-{number}"
        lines += [
            update(f"m-lite-{number}.0", 200 + 10 * number, session=session),
            update(f"m-lite-{number}.1", 201 + 10 * number, session=session, end="cut",
                   status=None),
            {"kind": "kill", "number": number, "files": {"tidegate.db": ["ok"]}},
            {"kind": "back", "number": number, "after_ms": 30.0},
        ]
        lines += [lite(number, read, 205 + 10 * number)
                  for read in range(max(0, number - 1), number + 1)]
    lines += [lite("end", read, 300) for read in range(2)]
    return [*lines, {"kind": "over"}]


class Checker(unittest.TestCase):
    def check_planted(self, expected, change, logs=None):
        """`change` is made to a clean journal; exactly `expected` has to be found."""
        lines = clean()
        change(lines)
        found = sessions_checker.check(sessions_checker.Run(lines, logs or {}))
        self.assertEqual(found.rules(), expected)

    def check_line(self, expected, kind, **fields):
        self.check_planted(expected, lambda lines: line_of(lines, kind).update(fields))

    def check_messages(self, expected, change):
        """`change` is made to what both nodes say of the first session."""
        self.check_planted(expected, lambda lines: [
            change(line["messages"]) for line in lines
            if line["kind"] == "final" and line["session"] == "a"])

    def test_a_clean_journal_has_no_violation(self):
        self.check_planted(set(), lambda lines: None)

    def test_a_lost_turn(self):
        self.check_messages({"lost turn"}, lambda messages: messages.pop(0))

    def test_a_turn_that_lost_its_answer(self):
        self.check_messages({"lost answer"}, lambda messages: messages.pop(2))

    def test_an_answer_before_its_question(self):
        self.check_messages({"lost answer"}, lambda messages: messages.insert(0, messages.pop(2)))

    def test_a_turn_that_is_there_twice(self):
        self.check_messages({"twice"}, lambda messages: messages.append(messages[3]))

    def test_turns_in_the_wrong_order(self):
        self.check_messages({"order"}, lambda messages: messages.insert(0, messages.pop(3)))

    def test_turns_at_the_same_time_may_stand_either_way(self):
        self.check_planted(set(), lambda lines: lines.extend([
            update("m-7", 5, session="c"), update("m-8", 5.2, session="c"),
        ]) or lines.extend(final("c", place, [("user", "m-8"), ("user", "m-7")])
                           for place in range(2)) or lines[0].update(sessions=3))

    def test_a_turn_of_another_session(self):
        self.check_messages({"foreign turn"}, lambda messages: messages.append(["user", "m-4"]))

    def test_a_turn_that_was_refused_and_done(self):
        self.check_messages({"refused and done"}, lambda messages: messages.append(["user", "m-5"]))

    def test_an_update_whose_answer_was_lost_may_be_there_or_not(self):
        def change(lines):
            lines.append(update("m-9", 6, session="lite-0", end="cut", status=None) |
                         {"name": "m-lite-9"})
            line_of(lines, "lite")["messages"].append(["user", "m-lite-0.1"])

        self.check_planted(set(), change)

    def test_nodes_that_differ(self):
        self.check_planted({"nodes differ", "lost turn"},
                           lambda lines: line_of(lines, "final")["messages"].pop())

    def test_a_session_that_cannot_be_read(self):
        self.check_line({"unreadable"}, "final", status=500)

    def test_an_update_that_fails(self):
        for name in ["m-7", "m-lite-7"]:
            self.check_planted({"failed"}, lambda lines, name=name: lines.append(
                update(name, 7, status=500)))
        self.check_planted({"failed"}, lambda lines: lines.append(update("m-7", 7, end="cut",
                                                                         status=None)))

    def test_too_few_updates(self):
        self.check_line({"too few updates"}, "run", updates=5)

    def test_a_session_that_stays_taken(self):
        self.check_line({"stays taken"}, "hold", free_ns=107 * S)
        self.check_line({"stays taken"}, "hold", statuses=[409, 409])

    def test_a_session_that_two_hold_at_once(self):
        self.check_line({"not held"}, "hold", free_ns=99 * S)

    def test_a_turn_that_is_lost_after_the_holders_death(self):
        self.check_line({"lost turn"}, "hold", messages=[["user", "held 0"]])

    def test_a_waiter_that_fails(self):
        self.check_line({"failed"}, "hold", statuses=[500, 200])

    def test_a_turn_that_a_kill_takes(self):
        self.check_line({"lost turn"}, "lite", messages=[])

    def test_a_turn_that_a_later_kill_takes(self):
        self.check_planted({"lost turn"}, lambda lines: [
            line for line in lines if line["kind"] == "lite"][1].update(messages=[]))

    def test_a_corrupt_database(self):
        self.check_line({"corrupt"}, "kill", files={"tidegate.db": ["row 3 missing from index"]})

    def test_a_database_that_is_not_there(self):
        self.check_line({"journal"}, "kill", files={})

    def test_sessions_that_were_not_read(self):
        for place in (0, -1):
            self.check_planted({"journal"}, lambda lines, place=place: lines.remove(
                [line for line in lines if line["kind"] == "lite"][place]))

    def test_kills_that_met_no_update(self):
        self.check_planted({"too early"}, lambda lines: [
            line.update(end="whole", status=409) for line in lines if line.get("end") == "cut"])

    def test_a_panic(self):
        self.check_planted({"panic"}, lambda lines: None, {"gate": "thread panicked at"})

    def test_a_run_that_breaks_off(self):
        self.check_planted({"journal"}, lambda lines: lines.pop())


def line_of(lines, kind):
    return next(line for line in lines if line["kind"] == kind)


if __name__ == "__main__":
    unittest.main(verbosity=0)
