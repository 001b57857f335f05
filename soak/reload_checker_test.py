#!/usr/bin/env python3
"""Shows that the reload checker can fail: each kind of violation is planted and found.

And that the plan of the soak is what the checker takes it for.
"""

import unittest

import reload_checker
import reload_plan

LEFT = {"provider": "left", "extra": False}
RIGHT = {"provider": "right", "extra": True}
PLACES = [[3, 12], [9, 1]]
MESSAGE = "x/tidegate.toml:3:12: server: wrong\nx/tidegate.toml:9:1: log.acess: unknown key"


def seen(revision, applied, refused, last_error=None):
    return {"revision": revision, "gauge": revision, "last_error": last_error,
            "counts": {"applied": applied, "refused": refused}}


def reload(number, how, wanted, kinds, before, after, **answered):
    start = 1_000.0 * (number + 1)
    return {"kind": "reload", "number": number, "how": how, "kinds": kinds,
            "places": PLACES if kinds else [], "wanted": wanted, "start_ms": start,
            "done_ms": start + 10, "before": before, "after": after} | answered


def probe(number, state):
    by = f"{state['provider']}/answer"
    return {"kind": "probe", "number": number,
            "flip": {"end": "whole", "status": 200, "by": by},
            "extra": {"end": "whole", "status": 200 if state["extra"] else 404, "by": None}}


def request(name, start_ms, model, by, stream=False):
    streamed = {"events": 4, "errors": [], "after_end": 0, "malformed": 0, "done": True}
    return {"kind": "request", "name": name, "model": model, "stream": stream, "text": name,
            "end": "whole", "start_ms": start_ms, "end_ms": start_ms + 5.0, "status": 200,
            "headers": {"x-request-id": name, "x-tidegate-model": by}, "content": name,
            "finish": "stop"} | (streamed if stream else {"error": None})


def reloads():
    """One of each form: valid and not, by request and by signal."""
    error = {"error": {"code": "invalid_configuration", "message": MESSAGE}}
    kinds = ["wrong type", "unknown key"]
    return [
        reload(0, "request", RIGHT, [], seen(1, 0, 0), seen(2, 1, 0), end="whole", status=200,
               body={"revision": 2}),
        reload(1, "request", LEFT, kinds, seen(2, 1, 0), seen(2, 1, 1), end="whole", status=400,
               body=error),
        reload(2, "signal", LEFT, [], seen(2, 1, 1), seen(3, 2, 1), seen=True),
        reload(3, "signal", RIGHT, kinds, seen(3, 2, 1), seen(3, 2, 2, MESSAGE), seen=True),
    ]


def clean():
    """The journal of a run in which nothing is wrong."""
    lines = [{"kind": "run", "seed": "1", "reloads": 4, "connections": 2, "start": LEFT}]
    lines += reloads()
    lines += [probe(number, state) for number, state in enumerate([RIGHT, RIGHT, LEFT, LEFT])]
    lines += [request(f"steady-{n}", 100.0 * n, "steady", "left/answer", n % 2 == 0)
              for n in range(38)]
    lines += [
        request("early", 500.0, "flip", "left/answer"),
        request("later", 1_500.0, "flip", "right/answer", stream=True),
        request("meanwhile-1", 2_998.0, "flip", "right/answer"),
        request("meanwhile-2", 2_998.0, "flip", "left/answer"),
        request("late", 3_500.0, "flip", "left/answer"),
    ]
    memory = {"kind": "memory", "rss_kib": 20_000, "open_files": 90}
    return [*lines, memory | {"label": "before"}, memory | {"label": "after"},
            {"kind": "exit", "code": 0}, {"kind": "over", "seconds": 4.0}]


def line_of(lines, kind, **fields):
    return next(line for line in lines if line["kind"] == kind
                and all(line.get(field) == value for field, value in fields.items()))


class Checker(unittest.TestCase):
    def check_planted(self, expected, change):
        """`change` is made to a clean journal; exactly `expected` has to be found."""
        lines = clean()
        change(lines)
        found = reload_checker.check(reload_checker.Reloaded(lines)).rules()
        self.assertEqual(found, expected)

    def check_line(self, expected, kind, where, **fields):
        self.check_planted({expected},
                           lambda lines: line_of(lines, kind, **where).update(fields))

    def check_request(self, expected, name, **fields):
        self.check_line(expected, "request", {"name": name}, **fields)

    def check_reload(self, expected, number, **fields):
        self.check_line(expected, "reload", {"number": number}, **fields)

    def test_a_clean_journal_has_no_violation(self):
        self.check_planted(set(), lambda lines: None)

    def test_a_request_that_is_cut(self):
        self.check_request("failed request", "early", end="cut")

    def test_a_request_that_is_refused(self):
        self.check_request("failed request", "early", status=503)

    def test_a_request_that_gets_other_words(self):
        self.check_request("failed request", "early", content="something else")

    def test_a_request_that_gets_the_answer_to_another(self):
        self.check_request("failed request", "early", headers={
            "x-request-id": "late", "x-tidegate-model": "left/answer"})

    def test_a_stream_that_breaks_off(self):
        self.check_request("failed request", "later", done=False)

    def test_a_stream_that_ends_in_an_error(self):
        self.check_request("failed request", "later", errors=[{"code": "upstream_reset"}])

    def test_a_request_that_ends_twice(self):
        self.check_planted({"journal"}, lambda lines: lines.append(
            request("early", 500.0, "flip", "left/answer")))

    def test_a_chain_that_holds_on(self):
        self.check_request("wrong source", "later", headers={
            "x-request-id": "later", "x-tidegate-model": "left/answer"})

    def test_a_chain_that_comes_too_early(self):
        self.check_request("wrong source", "early", headers={
            "x-request-id": "early", "x-tidegate-model": "right/answer"})

    def test_a_chain_that_nobody_touched_changes(self):
        self.check_request("wrong source", "steady-3", headers={
            "x-request-id": "steady-3", "x-tidegate-model": "right/answer"})

    def test_a_chain_of_a_refused_file(self):
        self.check_planted({"wrong source"}, lambda lines: lines.append(
            request("refused", 2_500.0, "flip", "left/answer")))

    def test_a_valid_file_that_is_refused(self):
        self.check_reload("valid refused", 0, status=400, body={"error": {"code": "x"}})

    def test_a_valid_file_with_another_revision(self):
        self.check_reload("valid refused", 0, body={"revision": 7})

    def test_an_invalid_file_that_is_accepted(self):
        self.check_reload("invalid accepted", 1, status=200, body={"revision": 3})

    def test_a_refusal_with_another_code(self):
        self.check_reload("invalid accepted", 1, body={"error": {"code": "x", "message": MESSAGE}})

    def test_a_refusal_without_an_answer(self):
        self.check_reload("invalid accepted", 1, status=None, body=None)

    def test_a_refusal_that_names_one_place_of_two(self):
        self.check_reload("place not named", 1, body={"error": {
            "code": "invalid_configuration", "message": MESSAGE.split("\n", maxsplit=1)[0]}})

    def test_a_refusal_that_names_a_place_nearby(self):
        self.check_reload("place not named", 1, body={"error": {
            "code": "invalid_configuration", "message": MESSAGE.replace(":9:1:", ":9:11:")}})

    def test_a_signal_that_names_no_place(self):
        self.check_reload("place not named", 3, after=seen(3, 2, 2, "the file is wrong"))

    def test_a_signal_that_nobody_hears(self):
        self.check_reload("signal unheard", 2, seen=False)

    def test_a_revision_that_does_not_rise(self):
        self.check_reload("revision", 2, after=seen(2, 2, 1))

    def test_a_revision_that_rises_by_two(self):
        self.check_reload("revision", 2, after=seen(4, 2, 1))

    def test_a_revision_that_rises_with_an_invalid_file(self):
        self.check_reload("revision", 3, after=seen(4, 2, 2, MESSAGE))

    def test_a_gauge_that_stays_behind(self):
        self.check_reload("metrics", 2, after=seen(3, 2, 1) | {"gauge": 2})

    def test_a_reload_that_is_not_counted(self):
        self.check_reload("metrics", 2, after=seen(3, 1, 1))

    def test_a_refusal_that_is_counted_as_applied(self):
        self.check_reload("metrics", 3, after=seen(3, 3, 1, MESSAGE))

    def test_a_next_request_that_sees_the_old_chain(self):
        flip = {"end": "whole", "status": 200, "by": "left/answer"}
        self.check_line("no effect", "probe", {"number": 0}, flip=flip)

    def test_a_model_that_does_not_appear(self):
        extra = {"end": "whole", "status": 404, "by": None}
        self.check_line("no effect", "probe", {"number": 0}, extra=extra)

    def test_a_model_that_does_not_go(self):
        extra = {"end": "whole", "status": 200, "by": "right/answer"}
        self.check_line("no effect", "probe", {"number": 2}, extra=extra)

    def test_an_effect_that_is_not_looked_for(self):
        self.check_planted({"no effect"},
                           lambda lines: lines.remove(line_of(lines, "probe", number=1)))

    def test_a_reload_that_is_missing(self):
        self.check_planted({"journal"},
                           lambda lines: lines.remove(line_of(lines, "reload", number=3)))

    def test_a_gateway_without_load(self):
        def quiet(lines):
            lines[:] = [line for line in lines if not line.get("name", "").startswith("steady")]

        self.check_planted({"too little load"}, quiet)

    def test_a_gateway_that_grows(self):
        self.check_line("memory", "memory", {"label": "after"}, rss_kib=90_000)

    def test_a_gateway_that_keeps_files_open(self):
        self.check_line("memory", "memory", {"label": "after"}, open_files=200)

    def test_a_gateway_that_fails_at_its_end(self):
        self.check_line("process", "exit", {}, code=101)

    def test_a_run_that_breaks_off(self):
        self.check_planted({"journal"}, lambda lines: lines.remove(line_of(lines, "over")))


class Plan(unittest.TestCase):
    PORTS = {"left": 1, "right": 2}

    def steps(self, count):
        return list(reload_plan.steps("9", self.PORTS, count))

    def test_one_file_in_five_is_wrong_by_signal_and_by_request(self):
        wrong = [step for step in self.steps(1_000) if step.kinds]
        self.assertEqual(len(wrong), 200)
        self.assertEqual({step.how for step in wrong}, {"signal", "request"})
        self.assertEqual({kind for step in wrong for kind in step.kinds},
                         set(reload_plan.MISTAKES))

    def test_each_place_is_where_the_mistake_stands(self):
        begins = {"missing value": "\n", "unknown key": "acess", "wrong type": '"soon"',
                  "out of range": "0", "unknown provider": '"nobody', "wrong word": '"loud"'}
        for step in self.steps(500):
            lines = step.text.split("\n")
            found = {(lines[line - 1] + "\n")[column - 1:] for line, column in step.places}
            self.assertEqual(len(found), len(step.kinds))
            for kind in step.kinds:
                self.assertTrue(any(rest.startswith(begins[kind]) for rest in found), kind)

    def test_every_valid_file_changes_the_chain(self):
        provider = reload_plan.START.provider
        for step in self.steps(100):
            self.assertNotEqual(step.wanted.provider, provider)
            if not step.kinds:
                provider = step.wanted.provider

    def test_the_same_seed_gives_the_same_files(self):
        self.assertEqual(self.steps(50), self.steps(50))


if __name__ == "__main__":
    unittest.main(verbosity=0)
