#!/usr/bin/env python3
"""Shows that the checker can fail: each kind of violation is planted and found."""

import copy
import unittest

import checker
import rules

CHAINS = {
    "alone/quick/reset": ["quick/reset"],
    "alone/quick/truncate": ["quick/truncate"],
    "alone/quick/throttle": ["quick/throttle"],
    "alone/quick/hang": ["quick/hang"],
    "rescued/quick/html": ["quick/html", "quick/answer"],
}
SLOTS = {entry: 4 for chain in CHAINS.values() for entry in chain}
CHUNKS = {"events": 3, "errors": [], "after_end": 0, "malformed": 0, "done": False}


def asked(name, model, stream=False):
    return {"kind": "asked", "name": name, "gateway": "steady", "model": model,
            "stream": stream, "text": f"text of {name}", "cached": False, "leave": None}


def ended(name, status, took_ms=20, **fields):
    headers = {"x-request-id": name} | fields.pop("headers", {})
    return {"kind": "ended", "name": name, "end": "whole", "status": status, "start_ms": 0,
            "end_ms": took_ms, "took_ms": took_ms, "headers": headers} | fields


def error(code):
    return {"message": "no model answered", "type": "api_error", "code": code, "param": None}


def entry(name, total):
    counts = dict.fromkeys(checker.COUNTS, 0) | {"total": total, "failed": total}
    return counts | {"name": name, "state": "healthy", "active_requests": 0,
                     "headroom": {"concurrent": 4}}


def answers():
    """A request of each form with the answer that it should have."""
    return [
        asked("r1", "alone/quick/reset"),
        ended("r1", 502, error=error("upstream_reset")),
        asked("r2", "alone/quick/truncate", stream=True),
        ended("r2", 200, **CHUNKS | {"content": "text", "errors": [error("upstream_truncated")]}),
        asked("r3", "alone/quick/throttle"),
        ended("r3", 429, error=error("rate_limit_exceeded"), headers={"retry-after": "1"}),
        asked("r4", "alone/quick/hang"),
        ended("r4", 504, took_ms=1_502, error=error("deadline_exceeded")),
        asked("r5", "rescued/quick/html", stream=True),
        ended("r5", 200, **CHUNKS | {"content": "text of r5", "finish": "stop", "done": True},
              headers={"x-tidegate-model": "quick/answer", "x-tidegate-cache": "bypass",
                       "x-tidegate-degraded": "fallback:quick/answer"}),
    ]


def clean():
    """The driver's journal of a run in which nothing is wrong."""
    gateways = {"steady": {"trips": False, "recovery_ms": 1_540, "chains": CHAINS,
                           "entries": SLOTS}}
    models = [entry(name, 9) for name in SLOTS]
    models[-1] |= {"successful": 1, "failed": 8}
    stats = {"models": models, "waiting_requests": 0}
    memory = {"kind": "memory", "gateway": "steady", "rss_kib": 9_000, "peak_kib": 90_000,
              "open_files": 12}
    return [
        {"kind": "run", "seed": "1", "target": 18, "deadline_ms": 1_500, "gateways": gateways},
        *answers(),
        *({"kind": "stats", "label": label, "gateway": "steady", "stats": copy.deepcopy(stats)}
          for label in ["after", "end"]),
        *(memory | {"label": label} for label in ["before", "round 1", "ordinary", "end"]),
        {"kind": "mock", "label": "after", "mock": "quick", "stats": {"in_flight": 0}},
        *({"kind": "fill", "gateway": "steady", "entry": name, "how": "healed", "slots": 4,
           "together": 4, "completed": 8, "calls": 8} for name in SLOTS),
        {"kind": "exit", "gateway": "steady", "code": 0},
        {"kind": "over", "seconds": 1.0},
    ]


def played():
    return [{"behavior": word} for word in rules.WHOLE for _ in range(2)]


def found(driver, mocks=None):
    """The rules that are broken, each once."""
    mocks = played() if mocks is None else mocks
    # Behaviors that no chain of this small run names are not counted by it.
    for line in driver:
        if line["kind"] == "stats" and line["label"] == "after":
            known = {model["name"].split("/")[1] for model in line["stats"]["models"]}
            unnamed = [entry(f"quick/{word}", 9) for word in rules.WHOLE if word not in known]
            line["stats"]["models"] += [model | {"headroom": {"concurrent": None}}
                                        for model in unnamed]
    report = checker.check(checker.Journals(driver, mocks))
    return {rule for rule, _, _ in report.violations}


def line_of(driver, kind, **fields):
    matches = (line for line in driver if line["kind"] == kind
               and all(line.get(field) == value for field, value in fields.items()))
    return next(matches)


class Checker(unittest.TestCase):
    def check_planted(self, expected, change):
        """`change` is made to a clean journal; exactly `expected` has to be found."""
        driver = clean()
        change(driver)
        self.assertEqual(found(driver), {expected})

    def check_end(self, expected, name, **fields):
        self.check_planted(expected, lambda driver: line_of(driver, "ended", name=name)
                           .update(fields))

    def test_a_clean_journal_has_no_violation(self):
        self.assertEqual(found(clean()), set())

    def test_a_request_without_an_end(self):
        self.check_planted("missing answer", lambda driver: driver.remove(
            line_of(driver, "ended", name="r1")))

    def test_a_request_with_two_ends(self):
        self.check_planted("missing answer", lambda driver: driver.append(
            line_of(driver, "ended", name="r1")))

    def test_an_end_of_what_nobody_asked(self):
        self.check_planted("journal", lambda driver: driver.append(ended("r9", 200)))

    def test_a_connection_that_ends_inside_an_answer(self):
        driver = clean()
        line_of(driver, "ended", name="r1").update(end="cut")
        self.assertIn("missing answer", found(driver))

    def test_a_truncated_stream_with_a_clean_end(self):
        driver = clean()
        line_of(driver, "ended", name="r2").update(errors=[], done=True, finish="stop")
        self.assertIn("clean end of a truncated answer", found(driver))

    def test_a_truncated_stream_without_any_end(self):
        driver = clean()
        line_of(driver, "ended", name="r2").update(errors=[])
        self.assertIn("clean end of a truncated answer", found(driver))

    def test_a_fallback_that_is_cut_short_and_looks_whole(self):
        self.check_end("clean end of a truncated answer", "r5", content="text")

    def test_a_fallback_without_a_finish_reason(self):
        self.check_end("clean end of a truncated answer", "r5", finish=None)

    def test_content_of_another_request_before_an_error(self):
        self.check_end("foreign content", "r2", content="other")

    def test_events_after_the_error(self):
        self.check_end("malformed stream", "r2", after_end=1)

    def test_a_status_that_does_not_fit_its_code(self):
        driver = clean()
        line_of(driver, "ended", name="r1").update(status=500)
        self.assertEqual(found(driver), {"wrong status", "unexpected end"})

    def test_a_code_that_does_not_fit_the_fault(self):
        self.check_end("unexpected end", "r1", error=error("upstream_garbage"))

    def test_a_code_that_nobody_knows(self):
        driver = clean()
        line_of(driver, "ended", name="r1").update(error=error("whatever"))
        self.assertEqual(found(driver), {"unknown code", "unexpected end"})

    def test_an_error_without_a_type(self):
        self.check_end("untyped error", "r1", error=error("upstream_reset") | {"type": None})

    def test_an_error_that_repeats_the_prompt(self):
        self.check_end("prompt in a message", "r1",
                       error=error("upstream_reset") | {"message": "bad: text of r1"})

    def test_a_throttle_without_retry_after(self):
        self.check_end("no retry-after", "r3", headers={"x-request-id": "r3"})

    def test_an_error_inside_a_success(self):
        driver = clean()
        line_of(driver, "ended", name="r1").update(status=200)
        self.assertIn("error in a success", found(driver))

    def test_an_answer_beyond_deadline_and_grace(self):
        self.check_end("hang", "r4", took_ms=2_501)

    def test_a_driver_that_was_late_excuses_only_its_own_lateness(self):
        for late_ms, expected in [(900, {"hang"}), (1_100, set())]:
            driver = clean()
            line_of(driver, "ended", name="r4").update(took_ms=3_500, end_ms=3_500)
            driver.append({"kind": "late", "late_ms": late_ms, "start_ms": 3_490 - late_ms,
                           "end_ms": 3_490})
            self.assertEqual(found(driver), expected)

    def test_a_deadline_that_had_not_passed(self):
        self.check_end("early deadline", "r4", took_ms=1_000)

    def test_an_error_where_a_fallback_was_due(self):
        driver = clean()
        line_of(driver, "ended", name="r5").update(status=502, error=error("upstream_status"))
        del line_of(driver, "ended", name="r5")["events"]
        self.assertIn("unexpected end", found(driver))

    def test_an_outage_excuses_only_what_overlaps_it(self):
        driver = clean()
        line_of(driver, "ended", name="r1").update(error=error("upstream_connect"))
        self.assertEqual(found(driver), {"unexpected end"})
        driver = clean()
        line_of(driver, "ended", name="r1").update(error=error("upstream_connect"))
        driver.append({"kind": "disturbance", "what": "kill", "start_ms": 10, "end_ms": 15})
        self.assertEqual(found(driver), set())

    def test_an_answer_by_an_entry_that_cannot_work(self):
        headers = {"x-request-id": "r5", "x-tidegate-model": "quick/html"}
        driver = clean()
        line_of(driver, "ended", name="r5").update(headers=headers)
        self.assertIn("wrong source", found(driver))

    def test_a_fallback_that_is_not_told(self):
        driver = clean()
        line_of(driver, "ended", name="r5")["headers"].pop("x-tidegate-degraded")
        self.assertEqual(found(driver), {"untold fallback"})

    def test_a_request_id_that_is_lost(self):
        driver = clean()
        line_of(driver, "ended", name="r1")["headers"].clear()
        self.assertEqual(found(driver), {"request id"})

    def test_statistics_that_are_not_balanced(self):
        for field, value in [("active_requests", 1), ("total", 10), ("headroom",
                             {"concurrent": 3}), ("state", "circuit_open")]:
            with self.subTest(field):
                self.check_planted("unbalanced stats", lambda driver: line_of(
                    driver, "stats", label="end")["stats"]["models"][0].update({field: value}))

    def test_requests_that_still_wait(self):
        self.check_planted("unbalanced stats", lambda driver: line_of(
            driver, "stats", label="after")["stats"].update(waiting_requests=1))

    def test_missing_statistics(self):
        self.check_planted("unbalanced stats", lambda driver: driver.remove(
            line_of(driver, "stats", label="end")))

    def test_successes_that_nobody_saw(self):
        def change(driver):
            models = line_of(driver, "stats", label="after")["stats"]["models"]
            models[-1].update(successful=2, failed=7)

        self.check_planted("unbalanced stats", change)

    def test_calls_that_arrived_and_were_not_counted(self):
        self.assertEqual(found(clean(), played() + [{"behavior": "reset"}] * 9),
                         {"unbalanced stats"})

    def test_too_few_faults(self):
        self.assertEqual(found(clean(), played()[:17]), {"too few faults"})

    def test_circuits_that_open_where_none_should(self):
        self.check_planted("needless trip", lambda driver: line_of(
            driver, "stats", label="after")["stats"]["models"][0].update(trips=1))

    def test_circuits_that_never_open(self):
        def change(driver):
            driver[0].update(target=1_000)
            driver[0]["gateways"]["steady"].update(trips=True)

        driver = clean()
        change(driver)
        self.assertEqual(found(driver, played() * 40), {"too few faults", "unbalanced stats"})

    def test_a_call_that_still_runs_upstream(self):
        self.check_planted("call not cancelled", lambda driver: line_of(
            driver, "mock")["stats"].update(in_flight=1))

    def test_slots_that_are_lost_or_too_many(self):
        for field, value in [("together", 3), ("together", 5), ("completed", 7)]:
            with self.subTest(field):
                self.check_planted("slots", lambda driver: line_of(driver, "fill").update(
                    {field: value}))

    def test_an_entry_that_was_not_filled(self):
        self.check_planted("slots", lambda driver: driver.remove(line_of(driver, "fill")))

    def test_memory_that_grows_or_stays_taken(self):
        for label, field, value in [("ordinary", "rss_kib", 20_000), ("end", "rss_kib", 99_000),
                                    ("end", "peak_kib", 2 << 20), ("end", "open_files", 20)]:
            with self.subTest(f"{label} {field}"):
                self.check_planted("memory", lambda driver: line_of(
                    driver, "memory", label=label).update({field: value}))

    def test_a_gateway_that_ends_by_itself(self):
        self.check_planted("process", lambda driver: driver.append(
            {"kind": "died", "gateway": "steady", "code": -11}))

    def test_a_gateway_that_does_not_stop(self):
        self.check_planted("process", lambda driver: line_of(driver, "exit").update(code=None))


if __name__ == "__main__":
    unittest.main(verbosity=0)
