"""What programs that use OpenAI's own Python client may rely on.

Runs with openai 2 and with openai 3: `python openai_python.py`.
"""

import asyncio
import time
import unittest

import stage
import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

HELLO = [{"role": "user", "content": "hello"}]
CONTENT = "token " * 20
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
    },
}


def setUpModule():
    def on_stage(program):
        unittest.addModuleCleanup(program.stop)
        return program

    global MOCK, SLOW, LISTENER, MAIN, HASTY, BRIEF
    MOCK = on_stage(stage.mock())
    SLOW = on_stage(stage.mock("--gap-ms", "50", "--events", "400"))
    LISTENER = on_stage(stage.Listener())
    upstreams = {
        "mock": MOCK.address,
        "slow": SLOW.address,
        "listener": LISTENER.address,
    }
    MAIN = on_stage(stage.gate("main", **upstreams))
    HASTY = on_stage(stage.gate("hasty", **upstreams))
    BRIEF = on_stage(stage.gate("brief", **upstreams))


def client_of(program, kind=OpenAI, **options):
    options = {"max_retries": 0, "timeout": 30, "api_key": "client-key"} | options
    return kind(base_url=f"http://{program.address}/v1", **options)


class Case(unittest.TestCase):
    """A test with a client in front of the patient gateway."""

    def setUp(self):
        self.client = self.client_of(MAIN)

    def client_of(self, program, **options):
        client = client_of(program, **options)
        self.addCleanup(client.close)
        return client

    def chat(self, model="m", client=None, messages=HELLO, **fields):
        client = client or self.client
        return client.chat.completions.create(model=model, messages=messages, **fields)

    def raw_chat(self, model="m", client=None, **fields):
        client = client or self.client
        create = client.chat.completions.with_raw_response.create
        return create(model=model, messages=HELLO, **fields)

    def refused(self, expected, *arguments, **fields):
        """The error of a chat, which must be exactly of this class."""
        with self.assertRaises(openai.OpenAIError) as caught:
            self.chat(*arguments, **fields)
        self.assertIs(type(caught.exception), expected)
        return caught.exception


class Answers(Case):
    def test_a_chat_is_answered(self):
        answer = self.chat()
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.model, "m")
        self.assertEqual(answer.choices[0].message.content, CONTENT)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertEqual(answer.usage.completion_tokens, 20)
        self.assertGreater(answer.usage.prompt_tokens, 0)

    def test_every_choice_that_was_asked_for_comes(self):
        answer = self.chat(n=3)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])

    def test_text_in_any_script_comes_back_as_it_went(self):
        text = 'größe "x" \\ 潮 🌊\n\t\u2028</script>'
        answer = self.chat(messages=[{"role": "user", "content": f"echo:{text}"}])
        self.assertEqual(answer.choices[0].message.content, text)

    def test_a_tool_is_called(self):
        choice = self.chat(tools=[TOOL]).choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        (call,) = choice.message.tool_calls
        self.assertEqual((call.function.name, call.function.arguments), ("look_up", "{}"))

    def test_an_answer_is_parsed_into_a_model(self):
        class Tide(BaseModel):
            harbour: str
            metres: float

        said = 'echo:{"harbour": "Brest", "metres": 6.5}'
        answer = self.client.chat.completions.parse(
            model="m",
            messages=[{"role": "user", "content": said}],
            response_format=Tide,
        )
        self.assertEqual(answer.choices[0].message.parsed, Tide(harbour="Brest", metres=6.5))

    def test_the_models_of_the_configuration_are_listed(self):
        names = {model.id for model in self.client.models.list()}
        expected = {"fallback", "fallback-before-content", "fallback-after-silence"}
        self.assertEqual(names, expected | {"long", "stuck", "listener"})

    def test_one_model_can_be_looked_up(self):
        self.assertEqual(self.client.models.retrieve("fallback").id, "fallback")
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.models.retrieve("nowhere")
        self.assertEqual(caught.exception.code, "model_not_found")


class Embeddings(Case):
    def embed(self, text, **fields):
        answer = self.client.embeddings.create(model="m", input=text, **fields)
        self.assertEqual([item.index for item in answer.data], list(range(len(answer.data))))
        return [item.embedding for item in answer.data]

    def test_the_default_form_holds_the_numbers_of_the_float_form(self):
        (packed,) = self.embed("tide")
        (floats,) = self.embed("tide", encoding_format="float")
        self.assertEqual(len(packed), 8)
        for one, other in zip(packed, floats, strict=True):
            self.assertAlmostEqual(one, other, places=6)

    def test_base64_stays_text_where_it_is_asked_for(self):
        (packed,) = self.embed("tide", encoding_format="base64")
        self.assertIsInstance(packed, str)

    def test_a_list_of_texts_is_embedded_in_order(self):
        tide, gate = self.embed(["tide", "gate"])
        self.assertEqual([tide, gate], [*self.embed("tide"), *self.embed("gate")])

    def test_token_ids_are_embedded(self):
        self.assertEqual(len(self.embed([1, 2, 3])), 1)
        self.assertEqual(len(self.embed([[1, 2], [3]])), 2)


class Streams(Case):
    def stream(self, model="m", client=None, **fields):
        return list(self.chat(model, client, stream=True, **fields))

    def test_a_stream_has_the_events_of_the_upstream(self):
        def told(chunks):
            keep = ("index", "delta", "finish_reason")
            choices = [choice for chunk in chunks for choice in chunk.choices]
            return [choice.model_dump(include=set(keep)) for choice in choices]

        direct = self.stream(client=self.client_of(MOCK))
        through = self.stream()
        self.assertEqual(told(through), told(direct))
        content = "".join(chunk.choices[0].delta.content or "" for chunk in through)
        self.assertEqual(content, CONTENT)
        self.assertEqual(through[-1].choices[0].finish_reason, "stop")

    def test_only_the_last_chunk_says_what_happened_on_the_way(self):
        *before, last = self.stream()
        closing = last.model_extra["tidegate"]
        self.assertEqual((closing["model"], closing["attempts"]), ("mock/m", 1))
        self.assertEqual((closing["cache"], closing["degraded"]), ("bypass", []))
        self.assertGreaterEqual(closing["overhead_ms"], 0)
        self.assertFalse([chunk for chunk in before if "tidegate" in chunk.model_extra])

    def test_usage_comes_where_it_was_asked_for(self):
        *before, last = self.stream(stream_options={"include_usage": True})
        self.assertEqual(last.choices, [])
        self.assertEqual(last.usage.completion_tokens, 20)
        self.assertIn("tidegate", last.model_extra)
        self.assertFalse([chunk for chunk in before if chunk.usage])

    def test_usage_does_not_come_where_nobody_asked(self):
        for options in [{}, {"stream_options": {"include_usage": False}}]:
            with self.subTest(options):
                chunks = self.stream(**options)
                self.assertFalse([chunk for chunk in chunks if chunk.usage])
                self.assertFalse([chunk for chunk in chunks if not chunk.choices])

    def test_a_stream_ends_in_done(self):
        create = self.client.chat.completions.with_streaming_response.create
        with create(model="m", messages=HELLO, stream=True) as response:
            kind = response.headers["content-type"]
            lines = [line for line in response.iter_lines() if line]
        self.assertTrue(kind.startswith("text/event-stream"), kind)
        self.assertEqual(lines[-1], "data: [DONE]")
        self.assertEqual(lines.count("data: [DONE]"), 1)

    def test_an_upstream_without_done_still_makes_a_whole_stream(self):
        chunks = self.stream("no-done")
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")

    def test_a_tool_call_is_streamed(self):
        deltas = [chunk.choices[0].delta for chunk in self.stream(tools=[TOOL])]
        calls = [call for delta in deltas for call in delta.tool_calls or []]
        self.assertEqual({call.index for call in calls}, {0})
        self.assertEqual(calls[0].function.name, "look_up")
        self.assertEqual("".join(call.function.arguments for call in calls), "{}")

    def test_the_accumulating_helper_finishes(self):
        helper = self.client.chat.completions.stream(model="m", messages=HELLO)
        with helper as stream:
            answer = stream.get_final_completion()
        self.assertEqual(answer.choices[0].message.content, CONTENT)

    def test_an_answer_that_breaks_off_is_an_error_not_an_end(self):
        for model in ["truncate", "reset-mid", "error-after-content"]:
            with self.subTest(model):
                content = ""
                with self.assertRaises(openai.APIError) as caught:
                    for chunk in self.chat(model, stream=True):
                        content += chunk.choices[0].delta.content or ""
                self.assertTrue(CONTENT.startswith(content) and content, content)
                self.assertTrue(caught.exception.code.startswith("upstream_"))

    def test_a_stream_that_never_begins_is_refused_with_a_status(self):
        for model in ["status-500", "garbage", "empty", "reset", "html"]:
            with self.subTest(model):
                self.refused(openai.InternalServerError, model, stream=True)


class Errors(Case):
    def check(self, error, status, code, source):
        self.assertEqual((error.status_code, error.code), (status, code))
        self.assertEqual(error.response.headers["x-tidegate-error-source"], source)
        self.assertTrue(error.request_id)

    def test_the_gateway_refuses_what_no_upstream_should_see(self):
        for fields, code, param in [
            ({"n": 17}, "limit_exceeded", "n"),
            ({"n": 0}, "invalid_parameter", "n"),
            ({"extra_body": {"api_base": "http://127.0.0.1:1"}}, "unsupported_parameter", "api_base"),
            ({"messages": []}, "invalid_parameter", "messages"),
            ({"model": ""}, "invalid_parameter", "model"),
        ]:
            with self.subTest(fields):
                error = self.refused(openai.BadRequestError, **fields)
                self.check(error, 400, code, "gateway")
                self.assertEqual(error.param, param)

    def test_the_upstreams_verdict_on_a_request_keeps_its_class_and_words(self):
        for status, expected in [
            (400, openai.BadRequestError),
            (403, openai.PermissionDeniedError),
            (404, openai.NotFoundError),
            (409, openai.ConflictError),
            (413, openai.APIStatusError),
            (422, openai.UnprocessableEntityError),
        ]:
            with self.subTest(status):
                error = self.refused(expected, f"status-{status}")
                code = "model_not_found" if status == 404 else "upstream_rejected"
                self.check(error, status, code, "provider")
                self.assertIn(f"the mock answers with status {status}", error.message)

    def test_a_broken_upstream_is_a_bad_gateway(self):
        for model, code in [
            ("status-500", "upstream_status"),
            ("status-502", "upstream_status"),
            ("html", "upstream_status"),
            ("reset", "upstream_reset"),
            ("reset-mid", "upstream_reset"),
            ("truncate", "upstream_reset"),
            ("garbage", "upstream_garbage"),
            ("empty", "upstream_garbage"),
            ("error-in-answer", "upstream_error_in_answer"),
        ]:
            with self.subTest(model):
                error = self.refused(openai.InternalServerError, model)
                self.check(error, 502, code, "provider")

    def test_a_key_that_the_upstream_refuses_is_not_the_callers(self):
        error = self.refused(openai.InternalServerError, "status-401")
        self.check(error, 502, "upstream_unauthorized", "provider")

    def test_an_unknown_model_is_not_found(self):
        error = self.refused(openai.NotFoundError, "nowhere", client=self.client_of(HASTY))
        self.check(error, 404, "model_not_found", "gateway")
        self.assertEqual(error.param, "model")

    def test_a_body_beyond_the_maximum_is_too_large(self):
        messages = [{"role": "user", "content": "x" * 70_000}]
        error = self.refused(openai.APIStatusError, client=self.client_of(HASTY), messages=messages)
        self.check(error, 413, "request_too_large", "gateway")

    def test_an_upstream_without_answer_meets_the_deadline(self):
        for fields in [{}, {"stream": True}]:
            with self.subTest(fields):
                client = self.client_of(HASTY)
                error = self.refused(openai.InternalServerError, "hang", client, **fields)
                self.check(error, 504, "deadline_exceeded", "gateway")

    def test_an_open_circuit_says_when_to_come_back(self):
        client = self.client_of(HASTY)
        for _ in range(3):
            error = self.refused(openai.InternalServerError, "broken", client)
            self.check(error, 502, "upstream_status", "provider")
        error = self.refused(openai.InternalServerError, "broken", client)
        self.check(error, 503, "no_healthy_model", "gateway")
        self.check_retry_after(error)

    def check_retry_after(self, error):
        headers = error.response.headers
        seconds, ms = int(headers["retry-after"]), int(headers["retry-after-ms"])
        # A minute, and one per cent by which the gateway keeps its distance.
        self.assertTrue(0 < ms <= 61_000, ms)
        self.assertEqual(seconds, -(-ms // 1000))

    def test_a_limit_that_stays_reached_says_when_to_come_back(self):
        for model, fields in [("once", {}), ("once-streamed", {"stream": True})]:
            with self.subTest(model):
                client = self.client_of(HASTY)
                first = self.chat(model, client, **fields)
                list(first)
                error = self.refused(openai.RateLimitError, model, client, **fields)
                self.check(error, 429, "rate_limit_exceeded", "gateway")
                self.check_retry_after(error)

    def test_an_upstream_without_room_is_a_rate_limit(self):
        for model in ["throttle", "unavailable", "overloaded"]:
            with self.subTest(model):
                error = self.refused(openai.RateLimitError, model)
                self.assertEqual((error.status_code, error.code), (429, "rate_limit_exceeded"))

    def test_the_client_waits_as_told_and_then_succeeds(self):
        client = self.client_of(BRIEF, max_retries=2)
        started = time.monotonic()
        self.assertEqual(self.raw_chat("waits", client).retries_taken, 0)
        second = self.raw_chat("waits", client)
        self.assertEqual(second.retries_taken, 1)
        self.assertEqual(second.parse().choices[0].message.content, CONTENT)
        took = time.monotonic() - started
        self.assertTrue(2.9 < took < 20, took)

    def test_a_client_that_gives_up_raises_its_own_time_out(self):
        before = stage.stats(SLOW)["disconnects"]
        self.refused(openai.APITimeoutError, "stuck", self.client_of(MAIN, timeout=0.3))
        stage.eventually(lambda: stage.stats(SLOW)["disconnects"] == before + 1)

    def test_a_stopped_gateway_is_a_connection_error(self):
        program = stage.gate("brief", mock=MOCK.address)
        client = self.client_of(program)
        self.chat(client=client)
        self.assertEqual(program.stop(), 0)
        self.refused(openai.APIConnectionError, client=client)


class Headers(Case):
    def test_an_answer_says_what_happened_on_the_way(self):
        headers = self.raw_chat().headers
        self.assertEqual(headers["x-tidegate-model"], "mock/m")
        self.assertEqual(headers["x-tidegate-attempts"], "1")
        self.assertEqual(headers["x-tidegate-cache"], "bypass")
        self.assertNotIn("x-tidegate-degraded", headers)
        self.assertGreaterEqual(float(headers["x-tidegate-overhead-ms"]), 0)

    def test_the_next_model_of_a_chain_takes_over(self):
        for model in ["fallback", "fallback-after-silence"]:
            with self.subTest(model):
                response = self.raw_chat(model)
                self.check_fallback(response.headers)
                self.assertEqual(response.parse().choices[0].message.content, CONTENT)

    def test_the_next_model_takes_over_a_stream_that_has_no_content_yet(self):
        for model in ["fallback", "fallback-before-content"]:
            with self.subTest(model):
                response = self.raw_chat(model, stream=True)
                self.check_fallback(response.headers)
                last = list(response.parse())[-1]
                self.assertEqual(last.model_extra["tidegate"]["model"], "mock/m")

    def check_fallback(self, headers):
        self.assertEqual(headers["x-tidegate-model"], "mock/m")
        self.assertEqual(headers["x-tidegate-degraded"], "fallback:mock/m")
        self.assertGreaterEqual(int(headers["x-tidegate-attempts"]), 2)

    def test_a_request_id_is_kept(self):
        sent = {"x-request-id": "order-4711"}
        self.assertEqual(self.chat(extra_headers=sent)._request_id, "order-4711")
        error = self.refused(openai.BadRequestError, n=17, extra_headers=sent)
        self.assertEqual(error.request_id, "order-4711")

    def test_a_request_without_id_gets_its_own(self):
        first, second = self.chat()._request_id, self.chat()._request_id
        self.assertTrue(first and second and first != second)

    def test_an_answer_is_cached_where_that_is_asked_for(self):
        use = {"extra_body": {"tidegate": {"cache": "use"}}, "seed": 4711}
        seen = [self.raw_chat(**use).headers["x-tidegate-cache"] for _ in range(2)]
        self.assertEqual(seen, ["miss", "hit"])


class Upstream(Case):
    def test_unknown_fields_pass_in_both_directions(self):
        extra = {"x_unknown_field": {"deep": [1, 2.5, None, "ü"]}}
        answer = self.chat("listener", seed=7, extra_body=extra)
        self.assertEqual(LISTENER.body["x_unknown_field"], extra["x_unknown_field"])
        self.assertEqual((LISTENER.body["seed"], LISTENER.body["model"]), (7, "heard"))
        self.assertEqual(LISTENER.body["messages"], HELLO)
        self.assertEqual(answer.model_extra["x_unknown_answer_field"], 7)

    def test_what_is_meant_for_the_gateway_stays_there(self):
        self.chat("listener", extra_body={"tidegate": {"cache": "skip"}})
        self.assertNotIn("tidegate", LISTENER.body)
        headers = {name.lower(): value for name, value in LISTENER.headers.items()}
        self.assertEqual(headers["authorization"], f"Bearer {stage.LISTENER_KEY}")
        self.assertNotIn("client-key", str(headers))


class Together(unittest.IsolatedAsyncioTestCase):
    """Many at once, and those who leave early."""

    async def asyncSetUp(self):
        # Fifty connections at once are slow to open; that is no fault.
        asyncio.get_running_loop().slow_callback_duration = 10
        self.client = client_of(MAIN, AsyncOpenAI)
        self.addAsyncCleanup(self.client.close)
        self.create = self.client.chat.completions.create

    async def upstream(self, check):
        await asyncio.to_thread(stage.eventually, lambda: check(stage.stats(SLOW)))

    async def leaving(self, leave):
        """Runs `leave`; the slow upstream must see one more client hang up."""
        before = stage.stats(SLOW)["disconnects"]
        await leave()
        await self.upstream(lambda seen: seen["disconnects"] == before + 1)
        await self.upstream(lambda seen: seen["in_flight"] == 0)

    async def test_fifty_calls_at_once_get_their_own_answers(self):
        stage.ask(MOCK.address, "POST", "/__mock/reset")

        async def call(number):
            messages = [{"role": "user", "content": f"echo:{number}"}]
            answer = await self.create(model="slow-200", messages=messages)
            return answer.choices[0].message.content

        answers = await asyncio.gather(*map(call, range(50)))
        self.assertEqual(answers, [str(number) for number in range(50)])
        seen = stage.stats(MOCK)
        self.assertEqual(seen["requests"], 50)
        self.assertGreater(seen["max_in_flight"], 10)

    async def test_fifty_streams_at_once_all_end(self):
        async def call():
            stream = await self.create(model="m", messages=HELLO, stream=True)
            return [chunk async for chunk in stream]

        for chunks in await asyncio.gather(*(call() for _ in range(50))):
            self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
            self.assertIn("tidegate", chunks[-1].model_extra)

    async def test_a_stream_that_is_closed_early_stops_the_upstream(self):
        async def leave():
            stream = await self.create(model="long", messages=HELLO, stream=True)
            for _ in range(3):
                await anext(stream)
            await stream.close()

        await self.leaving(leave)

    async def test_a_blocking_stream_that_is_closed_early_stops_the_upstream(self):
        async def leave():
            with client_of(MAIN) as client:
                stream = client.chat.completions.create(model="long", messages=HELLO, stream=True)
                for _ in range(3):
                    next(stream)
                stream.close()

        await self.leaving(leave)

    async def test_a_cancelled_call_stops_the_upstream(self):
        for stream in [False, True]:
            with self.subTest(stream=stream):
                await self.leaving(lambda: self.cancel(stream))

    async def cancel(self, stream):
        call = asyncio.create_task(self.create(model="stuck", messages=HELLO, stream=stream))
        await self.upstream(lambda seen: seen["in_flight"] == 1)
        call.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await call


if __name__ == "__main__":
    stage.run(f"openai {openai.__version__}")
