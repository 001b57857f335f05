"""What programs that use Anthropic's own Python client may rely on.

The same cases run against the gateway with an upstream of each dialect behind
it, and once against the upstream of Anthropic's dialect without any gateway:
what holds there is what a program knows from Anthropic itself.
"""

import asyncio
import json
import unittest

import anthropic
import stage
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

import dialects

HELLO = [{"role": "user", "content": "hello there"}]
TOOL = {
    "name": "look_up",
    "description": "Looks a word up.",
    "input_schema": {
        "type": "object",
        "properties": {"word": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["word"],
    },
}
OTHER = {"name": "count", "input_schema": {"type": "object", "properties": {"up_to": {"type": "integer"}}}}
GIVEN = {"word": "tide", "days": 7}
THINKING = {"type": "enabled", "budget_tokens": 1024}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


class Tide(BaseModel):
    harbour: str
    metres: float


def error_type(error):
    return error.body["error"]["type"]


class Case:
    """A test with a client in front of the upstream `behind`."""

    behind = None

    def setUp(self):
        self.upstream = stage.upstreams()[self.behind.name]
        stage.reset(self.upstream)
        self.client = self.client_of()
        self.addCleanup(self.client.close)

    def address(self):
        return stage.home(self.behind.name).address

    def client_of(self, kind=Anthropic, **options):
        options = {"api_key": "client-key", "max_retries": 0, "timeout": 30} | options
        return kind(base_url=f"http://{self.address()}", **options)

    def fields(self, script="echo", messages=HELLO, **fields):
        return {
            "model": self.behind.model(script),
            "messages": messages,
            "max_tokens": 2000,
        } | fields

    def ask(self, *arguments, **fields):
        return self.client.messages.create(**self.fields(*arguments, **fields))

    def raw(self, *arguments, **fields):
        return self.client.messages.with_raw_response.create(**self.fields(*arguments, **fields))

    def stream(self, *arguments, **fields):
        """Every event that the helper hands out, and the message in the end."""
        with self.client.messages.stream(**self.fields(*arguments, **fields)) as stream:
            return list(stream), stream.get_final_message()

    def refused(self, expected, *arguments, **fields):
        """The error of a message, which must be of this class."""
        with self.assertRaises(expected) as caught:
            self.ask(*arguments, **fields)
        return caught.exception

    def unsupported(self, param, **fields):
        error = self.refused(anthropic.BadRequestError, **fields)
        self.assertEqual(error_type(error), "invalid_request_error")
        self.assertEqual(error.body["error"]["code"], "unsupported_parameter")
        self.assertEqual(error.body["error"]["param"], param)
        self.assertEqual(stage.journal(self.upstream), [])

    def heard(self):
        """The last request that the upstream took."""
        return stage.journal(self.upstream)[-1]["body"]

    def result(self, message, content="6.5 m", **fields):
        """The turns after a call: the call itself, and what the tool said."""
        said = [block.to_dict() for block in message.content]
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": content} | fields
            for block in said
            if block["type"] == "tool_use"
        ]
        return [*HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": results}]


class Answers(Case):
    def test_a_message_is_answered(self):
        answer = self.ask()
        self.assertEqual((answer.type, answer.role), ("message", "assistant"))
        self.assertEqual(answer.model, self.behind.model("echo"))
        self.assertTrue(answer.id)
        (block,) = answer.content
        self.assertEqual((block.type, block.text), ("text", "hello there"))
        self.assertEqual((answer.stop_reason, answer.stop_sequence), ("end_turn", None))
        self.assertGreater(answer.usage.input_tokens, 0)
        self.assertEqual(answer.usage.output_tokens, 2)

    def test_a_system_prompt_is_a_text_or_blocks(self):
        blocks = [{"type": "text", "text": "You keep a harbour."}, {"type": "text", "text": "Be brief."}]
        for system, expected in [
            ("You keep a harbour.", "You keep a harbour."),
            (blocks, "You keep a harbour.Be brief."),
        ]:
            with self.subTest(system):
                self.ask(system=system)
                self.assertEqual("".join(self.behind.system(self.heard())), expected)
                self.assertEqual(self.behind.turns(self.heard()), [("user", "hello there")])

    def test_the_turns_of_a_conversation_keep_their_order(self):
        turns = [("user", "high tide?"), ("assistant", "at six"), ("user", "and low tide?")]
        self.ask(messages=[{"role": role, "content": said} for role, said in turns])
        self.assertEqual(self.behind.turns(self.heard()), turns)

    def test_two_turns_of_the_same_role_reach_the_upstream(self):
        self.ask(messages=[{"role": "user", "content": "first"}, {"role": "user", "content": "second"}])
        said = " ".join(said for _, said in self.behind.turns(self.heard()))
        self.assertEqual(said, "first second")

    def test_the_blocks_of_a_turn_are_one_turn(self):
        content = [{"type": "text", "text": "hello"}, {"type": "text", "text": "there"}]
        self.ask(messages=[{"role": "user", "content": content}])
        self.assertEqual(self.behind.turns(self.heard()), [("user", "hello there")])

    def test_text_in_any_script_comes_back_as_it_went(self):
        text = 'größe "x" \\ 潮 🌊\n\t\u2028</script>'
        messages = [{"role": "user", "content": text}]
        self.assertEqual(self.ask(messages=messages).content[0].text, text)
        self.assertEqual(self.stream(messages=messages)[1].content[0].text, text)

    def test_an_image_reaches_the_upstream(self):
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        content = [{"type": "text", "text": "what is this?"}, {"type": "image", "source": source}]
        self.assertEqual(
            self.ask(messages=[{"role": "user", "content": content}]).content[0].text, "what is this?"
        )
        self.assertEqual(self.behind.images(self.heard()), [("image/png", PIXEL)])

    def test_the_maximum_and_the_stop_sequences_reach_the_upstream(self):
        self.ask(max_tokens=77, stop_sequences=["ebb", "flood"])
        self.assertEqual(self.behind.most(self.heard()), 77)
        self.assertEqual(self.behind.stops(self.heard()), ["ebb", "flood"])

    def test_the_maximum_ends_an_answer(self):
        for answer in [self.ask(max_tokens=1), self.stream(max_tokens=1)[1]]:
            self.assertEqual((answer.stop_reason, answer.content[0].text), ("max_tokens", "hello"))

    def test_a_stop_sequence_ends_an_answer(self):
        for answer in [self.ask(stop_sequences=["there"]), self.stream(stop_sequences=["there"])[1]]:
            self.assertEqual(answer.content[0].text.strip(), "hello")
            self.check_stopped(answer)

    def check_stopped(self, answer):
        self.assertEqual((answer.stop_reason, answer.stop_sequence), ("stop_sequence", "there"))

    def test_a_refusal_is_said(self):
        for answer in [self.ask(self.refusal), self.stream(self.refusal)[1]]:
            self.assertEqual(answer.stop_reason, "refusal")

    refusal = "stop-refusal"

    def test_what_nobody_knows_yet_does_no_harm(self):
        for answer in [self.ask("novel"), self.stream("novel")[1]]:
            self.assertEqual((answer.content[0].text, answer.stop_reason), ("hello there", "end_turn"))

    def test_tokens_of_the_cache_are_counted(self):
        plain = self.ask().usage.input_tokens
        for answer in [self.ask("cache"), self.stream("cache")[1]]:
            self.check_cached(plain, answer.usage)

    def check_cached(self, plain, usage):
        counted = (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
        self.assertEqual(counted, (plain, 7, 5))

    def test_an_answer_is_parsed_into_a_model(self):
        answer = self.client.messages.parse(**self.fields(output_format=Tide))
        self.assertEqual(answer.parsed_output, Tide(harbour="tide", metres=6.5))


class Streams(Case):
    def test_texts_come_in_pieces(self):
        with self.client.messages.stream(**self.fields()) as stream:
            pieces = list(stream.text_stream)
            final = stream.get_final_message()
        self.assertGreater(len(pieces), 1)
        self.assertEqual("".join(pieces), "hello there")
        self.assertEqual(final.content[0].text, "hello there")
        self.assertEqual((final.stop_reason, final.usage.output_tokens), ("end_turn", 2))
        self.assertGreater(final.usage.input_tokens, 0)

    def test_events_come_in_the_order_of_the_documents(self):
        for fields in [{}, {"script": "tools", "tools": [TOOL]}]:
            with self.subTest(fields):
                events = list(self.client.messages.create(stream=True, **self.fields(**fields)))
                first, *blocks, delta, last = [event for event in events if event.type != "ping"]
                self.assertEqual((first.type, first.message.content), ("message_start", []))
                self.assertIsNone(first.message.stop_reason)
                self.assertEqual((delta.type, last.type), ("message_delta", "message_stop"))
                self.check_blocks(blocks)

    def check_blocks(self, events):
        index, within = 0, False
        for event in events:
            self.assertEqual(event.index, index)
            self.assertEqual(within, event.type != "content_block_start", event)
            within = event.type != "content_block_stop"
            index += event.type == "content_block_stop"
        self.assertFalse(within)
        self.assertGreater(index, 0)

    def test_a_stream_that_breaks_raises(self):
        for script in ["error-first", "error-mid-stream", "truncated", "cut"]:
            with self.subTest(script), self.assertRaises(anthropic.APIError) as caught:
                self.stream(script)
            self.assertIsInstance(caught.exception, anthropic.APIStatusError)
            self.assertEqual(caught.exception.body["type"], "error")
            self.assertIn(error_type(caught.exception), ("api_error", "overloaded_error", "rate_limit_error"))

    def test_fifty_streams_at_once_get_their_own_answers(self):
        async def call(client, number):
            messages = [{"role": "user", "content": f"tide {number}"}]
            async with client.messages.stream(**self.fields(messages=messages)) as stream:
                return await stream.get_final_text()

        async def together():
            async with self.client_of(AsyncAnthropic) as client:
                return await asyncio.gather(*(call(client, number) for number in range(50)))

        self.assertEqual(asyncio.run(together()), [f"tide {number}" for number in range(50)])


class Tools(Case):
    def test_a_tool_is_called(self):
        answer = self.ask("tools", tools=[TOOL])
        self.assertEqual(answer.stop_reason, "tool_use")
        text, call = answer.content
        self.assertEqual((text.type, text.text), ("text", "Looking it up."))
        self.assertEqual((call.type, call.name, call.input), ("tool_use", "look_up", GIVEN))
        expected = {"look_up": (TOOL["description"], TOOL["input_schema"])}
        self.assertEqual(self.behind.tools(self.heard()), expected)

    def test_a_call_is_streamed_in_pieces(self):
        events, answer = self.stream("tools", tools=[TOOL])
        pieces = [event.partial_json for event in events if event.type == "input_json"]
        self.assertGreater(len([piece for piece in pieces if piece]), 1)
        self.assertEqual(json.loads("".join(pieces)), GIVEN)
        self.assertEqual((answer.stop_reason, answer.content[-1].input), ("tool_use", GIVEN))

    def test_what_the_tool_said_goes_back(self):
        for content in ["6.5 m", [{"type": "text", "text": "6.5 m"}]]:
            for first in [self.ask("tools", tools=[TOOL]), self.stream("tools", tools=[TOOL])[1]]:
                with self.subTest(content):
                    answer = self.ask("tools", self.result(first, content), tools=[TOOL])
                    self.assertEqual(answer.content[0].text, "the tool said: 6.5 m")
                    self.assertEqual(answer.stop_reason, "end_turn")

    def test_text_after_a_result_is_part_of_the_turn(self):
        messages = self.result(self.ask("tools", tools=[TOOL]))
        messages[-1]["content"].append({"type": "text", "text": "Go on."})
        self.ask("tools", messages, tools=[TOOL])
        self.assertIn("Go on.", json.dumps(self.heard()))

    def test_several_tools_are_called_at_once(self):
        for first in [
            self.ask("tools-parallel", tools=[TOOL, OTHER]),
            self.stream("tools-parallel", tools=[TOOL, OTHER])[1],
        ]:
            calls = [block for block in first.content if block.type == "tool_use"]
            self.assertEqual([call.name for call in calls], ["look_up", "count"])
            self.assertEqual([call.input for call in calls], [GIVEN, {"up_to": 7}])
            self.assertEqual(len({call.id for call in calls}), 2)
            answer = self.ask("tools-parallel", self.result(first), tools=[TOOL, OTHER])
            self.assertEqual(answer.content[0].text, "the tool said: 6.5 m; 6.5 m")

    def test_one_tool_at_a_time_can_be_asked_for(self):
        choice = {"type": "auto", "disable_parallel_tool_use": True}
        answer = self.ask("tools-parallel", tools=[TOOL, OTHER], tool_choice=choice)
        self.assertEqual([block.type for block in answer.content], ["text", "tool_use"])

    def test_a_choice_of_tools_reaches_the_upstream(self):
        for choice, expected in [
            ({"type": "auto"}, []),
            ({"type": "any"}, ["look_up"]),
            ({"type": "tool", "name": "count"}, ["count"]),
        ]:
            with self.subTest(choice):
                answer = self.ask("echo", tools=[TOOL, OTHER], tool_choice=choice)
                called = [block.name for block in answer.content if block.type == "tool_use"]
                self.assertEqual(called, expected)

    def test_no_tool_is_called_where_none_may_be(self):
        answer = self.ask("tools", tools=[TOOL], tool_choice={"type": "none"})
        self.assertEqual(answer.content[0].text, "hello there")


class Failures:
    """That a tool has failed, where the dialect can say it."""

    def test_the_failure_of_a_tool_is_said(self):
        first = self.ask("tools", tools=[TOOL])
        answer = self.ask("tools", self.result(first, "no such word", is_error=True), tools=[TOOL])
        self.assertEqual(answer.content[0].text, "the tool said: error: no such word")


class Thoughts:
    """Where the dialect has thoughts."""

    def test_a_thought_comes_with_its_seal(self):
        for answer in [self.ask("thinking", thinking=THINKING), self.stream("thinking", thinking=THINKING)[1]]:
            thought, text = answer.content
            self.assertEqual((thought.type, thought.thinking), ("thinking", "The tide turns twice a day."))
            self.assertEqual(len(thought.signature), 64)
            self.assertEqual(text.text, "hello there")

    def test_a_thought_is_streamed_in_pieces(self):
        events, _ = self.stream("thinking", thinking=THINKING)
        pieces = [event.thinking for event in events if event.type == "thinking"]
        self.assertGreater(len(pieces), 1)
        self.assertEqual("".join(pieces), "The tide turns twice a day.")
        self.assertEqual(len([event for event in events if event.type == "signature"]), 1)

    def test_thoughts_go_back_with_what_the_tool_said(self):
        fields = {"thinking": THINKING, "tools": [TOOL]}
        for script in ["thinking-tools", "redacted"]:
            for stream in [False, True]:
                with self.subTest(script, stream=stream):
                    # A choice must not force a tool while thoughts are asked for.
                    first = self.stream(script, **fields)[1] if stream else self.ask(script, **fields)
                    kind = "thinking" if script == "thinking-tools" else "redacted_thinking"
                    self.assertEqual(first.content[0].type, kind)
                    if script == "thinking-tools":
                        answer = self.ask(script, self.result(first), **fields)
                        self.assertEqual(answer.content[-1].text, "the tool said: 6.5 m")
                    else:
                        said = [block.to_dict() for block in first.content]
                        turns = [*HELLO, {"role": "assistant", "content": said}, *HELLO]
                        self.ask(script, turns, **fields)

    def test_a_forged_thought_is_refused(self):
        first = self.ask("thinking", thinking=THINKING)
        first.content[0].signature = "forged"
        said = [block.to_dict() for block in first.content]
        messages = [*HELLO, {"role": "assistant", "content": said}, *HELLO]
        error = self.refused(anthropic.BadRequestError, "thinking", messages, thinking=THINKING)
        self.assertIn("signature", error.message)


class Gateway(Case):
    """What only the gateway does."""

    def check(self, error, status, kind):
        self.assertEqual((error.status_code, error_type(error)), (status, kind))
        self.assertEqual(error.body["type"], "error")
        self.assertEqual(error.body["request_id"], error.response.headers["x-request-id"])

    def test_the_verdicts_of_an_upstream_keep_their_class(self):
        for script, expected, status, kind in self.verdicts:
            for stream in [False, True]:
                with self.subTest(script, stream=stream):
                    error = self.refused(expected, script, stream=stream)
                    self.check(error, status, kind)

    def test_a_limit_says_when_to_come_back(self):
        error = self.refused(anthropic.RateLimitError, self.throttled)
        self.check(error, 429, "rate_limit_error")
        self.assertGreater(int(error.response.headers["retry-after"]), 0)

    throttled = "rate-limited-3"

    def test_what_failed_once_is_tried_again(self):
        answer = self.raw(self.once)
        self.assertEqual(answer.parse().content[0].text, "hello there")
        self.assertEqual(answer.headers["x-tidegate-attempts"], "2")
        self.assertEqual(len(stage.journal(self.upstream)), 2)

    once = "once-500"

    def test_a_client_does_not_repeat_what_the_gateway_has_tried(self):
        self.client.max_retries = 3
        error = self.refused(anthropic.InternalServerError, self.broken)
        self.assertEqual(error.response.headers["x-should-retry"], "false")
        self.assertLessEqual(len(stage.journal(self.upstream)), 2)

    broken = "status-500"

    def test_a_broken_answer_is_an_error(self):
        for script in ["garbage", "truncated", "cut"]:
            with self.subTest(script):
                error = self.refused(anthropic.InternalServerError, script)
                self.check(error, 502, "api_error")

    def test_what_no_dialect_allows_is_a_bad_request(self):
        for fields in [
            {"messages": []},
            {"max_tokens": 0},
            {"max_tokens": "many"},
            {"messages": [{"role": "tool", "content": "x"}]},
            {"messages": [{"role": "user", "content": [{"type": "song", "text": "x"}]}]},
            {"model": ""},
            {"tools": [{"name": "look_up"}]},
            {"extra_body": {"harbour": "Brest"}},
        ]:
            with self.subTest(fields):
                error = self.refused(anthropic.BadRequestError, **fields)
                self.check(error, 400, "invalid_request_error")

    def test_a_body_beyond_the_maximum_is_too_large(self):
        messages = [{"role": "user", "content": "x" * 1_100_000}]
        error = self.refused(anthropic.APIStatusError, messages=messages)
        self.check(error, 413, "request_too_large")

    def test_an_unknown_path_is_not_found(self):
        with self.assertRaises(anthropic.NotFoundError):
            self.client.messages.count_tokens(model=self.behind.model("echo"), messages=HELLO)
        self.assertEqual(stage.journal(self.upstream), [])

    def test_an_answer_says_what_happened_on_the_way(self):
        for fields in [{}, {"stream": True}]:
            headers = self.raw(**fields).headers
            self.assertEqual(headers["x-tidegate-model"], f"{self.behind.name}/{self.behind.model('echo')}")
            self.assertEqual(headers["x-tidegate-attempts"], "1")
            self.assertNotIn("x-tidegate-degraded", headers)

    def test_a_request_id_is_kept(self):
        answer = self.raw(extra_headers={"x-request-id": "order-4711"})
        self.assertEqual(answer.headers["x-request-id"], "order-4711")

    def test_the_next_model_takes_over_whatever_its_dialect(self):
        for model, answered in [
            ("fallback", "openai/gpt-echo"),
            ("fallback-to-anthropic", "anthropic/claude-echo"),
            ("fallback-to-bedrock", "bedrock/anthropic.claude-echo-v1:0"),
        ]:
            with self.subTest(model):
                answer = self.raw(model=model, stream=True)
                self.assertEqual(answer.headers["x-tidegate-model"], answered)
                self.assertEqual(answer.headers["x-tidegate-degraded"], f"fallback:{answered}")
                events = list(answer.parse())
                said = [event.delta.text for event in events if event.type == "content_block_delta"]
                self.assertEqual("".join(said), "hello there")

    def test_the_key_of_the_client_stays_at_the_gateway(self):
        self.ask()
        (call,) = stage.journal(self.upstream)
        self.assertNotIn("client-key", json.dumps(call))

    def test_either_version_of_the_api_is_spoken(self):
        for version in ["2023-06-01", "2026-10-21"]:
            headers = {"anthropic-version": version}
            self.assertEqual(self.ask(extra_headers=headers).content[0].text, "hello there")

    def test_a_temperature_reaches_the_upstream(self):
        # The newest client has no such argument any more, but programs send it.
        headers = {"anthropic-version": "2023-06-01"}
        self.ask(extra_body={"temperature": 0.5, "top_p": 0.25}, extra_headers=headers)
        self.assertEqual(self.behind.sampling(self.heard()), {"temperature": 0.5, "top_p": 0.25})


class Own:
    """What nobody but Anthropic's dialect has a word for."""

    def test_the_marks_of_a_cache_reach_the_upstream(self):
        mark = {"cache_control": {"type": "ephemeral"}}
        self.ask(
            messages=[{"role": "user", "content": [{"type": "text", "text": "x"} | mark]}],
            system=[{"type": "text", "text": "You keep a harbour."} | mark],
            tools=[TOOL | mark],
        )
        self.assertEqual(json.dumps(self.heard()).count('"cache_control"'), 3)

    def test_a_document_reaches_the_upstream(self):
        source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}
        content = [{"type": "document", "source": source}, {"type": "text", "text": "what is this?"}]
        self.ask(messages=[{"role": "user", "content": content}])
        self.assertEqual(self.heard()["messages"][0]["content"], content)


class Lacks:
    """What a dialect that is not Anthropic's cannot be told."""

    def test_the_marks_of_a_cache_change_nothing(self):
        mark = {"cache_control": {"type": "ephemeral"}}
        content = [{"type": "text", "text": "hello there"} | mark]
        answer = self.ask(messages=[{"role": "user", "content": content}])
        self.assertEqual(answer.content[0].text, "hello there")

    def test_what_cannot_be_said_is_refused_by_its_name(self):
        source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}
        document = {"type": "document", "source": source}
        for param, fields in [
            ("messages[0].content[0].type", {"messages": [{"role": "user", "content": [document]}]}),
            ("tools[0].type", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            ("service_tier", {"service_tier": "standard_only"}),
            ("container", {"container": "container_1"}),
        ]:
            with self.subTest(param):
                self.unsupported(param, **fields)


class DirectlyAnthropic(Answers, Streams, Tools, Failures, Thoughts, Own, unittest.TestCase):
    """Without a gateway."""

    behind = dialects.Anthropic()

    def address(self):
        return self.upstream.address

    def client_of(self, kind=Anthropic, **options):
        return super().client_of(kind, api_key="upstream-anthropic-key", **options)

    def test_a_stream_that_breaks_raises(self):
        # The client itself takes a stream that ends too early for whole.
        for script in ["error-first", "error-mid-stream"]:
            with self.subTest(script), self.assertRaises(anthropic.APIStatusError):
                self.stream(script)


class BeforeAnthropic(Answers, Streams, Tools, Failures, Thoughts, Own, Gateway, unittest.TestCase):
    behind = dialects.Anthropic()
    verdicts = [
        ("status-400", anthropic.BadRequestError, 400, "invalid_request_error"),
        ("status-401", anthropic.InternalServerError, 502, "api_error"),
        # The key that lacks a permission is the gateway's.
        ("status-403", anthropic.InternalServerError, 502, "api_error"),
        ("status-404", anthropic.NotFoundError, 404, "not_found_error"),
        ("status-413", anthropic.APIStatusError, 413, "request_too_large"),
        ("status-429", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("status-500", anthropic.InternalServerError, 502, "api_error"),
        ("status-529", anthropic.RateLimitError, 429, "rate_limit_error"),
    ]


class BeforeBedrock(Answers, Streams, Tools, Failures, Thoughts, Lacks, Gateway, unittest.TestCase):
    behind = dialects.Bedrock()
    refusal = "stop-content-filtered"
    throttled, once, broken = "throttled", "internal-1", "internal"
    verdicts = [
        ("validation", anthropic.BadRequestError, 400, "invalid_request_error"),
        ("missing", anthropic.NotFoundError, 404, "not_found_error"),
        ("throttled", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("not-ready", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("unavailable", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("denied", anthropic.InternalServerError, 502, "api_error"),
        ("internal", anthropic.InternalServerError, 502, "api_error"),
        ("timeout", anthropic.InternalServerError, 502, "api_error"),
        ("model-error", anthropic.InternalServerError, 502, "api_error"),
    ]

    def test_a_stream_that_breaks_raises(self):
        super().test_a_stream_that_breaks_raises()
        for script in ["throttled-mid-stream", "error-frame", "wrong-crc", "wrong-prelude"]:
            with self.subTest(script), self.assertRaises(anthropic.APIStatusError) as caught:
                self.stream(script)
            self.assertEqual(caught.exception.body["type"], "error")

    def test_one_tool_at_a_time_is_a_word_for_anthropics_models_only(self):
        choice = {"type": "any", "disable_parallel_tool_use": True}
        fields = {"tools": [TOOL, OTHER], "tool_choice": choice}
        answer = self.ask("tools-parallel", **fields)
        self.assertEqual([block.type for block in answer.content], ["text", "tool_use"])
        stage.reset(self.upstream)
        param = "tool_choice.disable_parallel_tool_use"
        self.unsupported(param, model="amazon.nova-echo-v1:0", **fields)

    def test_after_a_call_the_tools_cannot_be_taken_away(self):
        messages = self.result(self.ask("tools", tools=[TOOL]))
        stage.reset(self.upstream)
        self.unsupported("tool_choice", messages=messages, tools=[TOOL], tool_choice={"type": "none"})

    def test_every_request_was_signed(self):
        self.ask()
        self.stream()
        for call in stage.journal(self.upstream):
            self.assertEqual(call["status"], 200)
            self.assertIn("AWS4-HMAC-SHA256", call["headers"]["authorization"])

    def test_what_is_throttled_is_left_alone_and_the_next_model_asked(self):
        answer = self.raw(model="fallback-when-throttled")
        self.assertEqual(answer.headers["x-tidegate-model"], "openai/gpt-echo")
        (call,) = stage.journal(self.upstream)
        self.assertEqual(call["status"], 429)

    def test_a_session_token_is_signed_too(self):
        token = "session/token+of=the=tests"
        gate = stage.home(
            "bedrock",
            AWS_ACCESS_KEY_ID="ASIDTIDAL",
            AWS_SECRET_ACCESS_KEY="another+secret/key",
            AWS_SESSION_TOKEN=token,
        )
        with Anthropic(base_url=f"http://{gate.address}", api_key="x", max_retries=0) as client:
            client.messages.create(**self.fields())
        (call,) = stage.journal(self.upstream)
        self.assertEqual(call["headers"]["x-amz-security-token"], token)

    def test_a_wrong_secret_is_not_the_callers_fault(self):
        gate = stage.home("bedrock", AWS_SECRET_ACCESS_KEY="wrong")
        with Anthropic(base_url=f"http://{gate.address}", api_key="x", max_retries=0) as client:
            with self.assertRaises(anthropic.InternalServerError) as caught:
                client.messages.create(**self.fields())
        self.check(caught.exception, 502, "api_error")

    def test_any_id_of_a_model_is_asked_for(self):
        arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-echo-v1:0"
        for model in ["eu.anthropic.claude-echo-v1:0", arn]:
            with self.subTest(model):
                self.assertEqual(self.ask(model=model).content[0].text, "hello there")


class BeforeOpenAI(Answers, Streams, Tools, Lacks, Gateway, unittest.TestCase):
    behind = dialects.OpenAI()
    refusal = "stop-content-filter"
    verdicts = [
        ("status-400", anthropic.BadRequestError, 400, "invalid_request_error"),
        ("status-401", anthropic.InternalServerError, 502, "api_error"),
        ("status-403", anthropic.PermissionDeniedError, 403, "permission_error"),
        ("status-404", anthropic.NotFoundError, 404, "not_found_error"),
        ("status-413", anthropic.APIStatusError, 413, "request_too_large"),
        ("status-429", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("status-500", anthropic.InternalServerError, 502, "api_error"),
        ("status-503", anthropic.RateLimitError, 429, "rate_limit_error"),
    ]

    def check_stopped(self, answer):
        # OpenAI's dialect does not tell a stop sequence from an end.
        self.assertEqual(answer.stop_reason, "end_turn")

    def check_cached(self, plain, usage):
        # There, the tokens from the cache are part of the prompt's.
        self.assertEqual((usage.input_tokens, usage.cache_read_input_tokens), (plain - 7, 7))

    def test_a_thought_cannot_be_asked_for(self):
        self.unsupported("thinking.budget_tokens", thinking=THINKING)

    def test_what_openai_does_not_know_it_refuses_itself(self):
        # Other servers of the dialect take a top_k, so it is passed on.
        error = self.refused(anthropic.BadRequestError, extra_body={"top_k": 5})
        self.assertIn("top_k", error.message)


class Keys(unittest.TestCase):
    """A gateway that wants a key takes either header."""

    @classmethod
    def setUpClass(cls):
        addresses = {"openai": stage.upstreams()["openai"].address}
        cls.gate = stage.gate("keyed", **addresses)
        cls.addClassCleanup(cls.gate.stop)

    def ask(self, **options):
        options = {"base_url": f"http://{self.gate.address}", "max_retries": 0} | options
        with Anthropic(**options) as client:
            return client.messages.create(model="gpt-echo", max_tokens=9, messages=HELLO)

    def test_a_key_is_taken_from_either_header(self):
        key = "key-of-the-patient-tenant"
        for options in [
            {"api_key": key},
            {"auth_token": key},
            {"api_key": None, "default_headers": {"x-api-key": key}},
        ]:
            with self.subTest(options):
                self.assertEqual(self.ask(**options).content[0].text, "hello there")

    def test_a_wrong_key_is_refused(self):
        with self.assertRaises(anthropic.AuthenticationError) as caught:
            self.ask(api_key="wrong")
        self.assertEqual(error_type(caught.exception), "authentication_error")
        self.assertNotIn("wrong", str(caught.exception.body))

    def test_the_limit_of_a_key_says_when_to_come_back(self):
        self.ask(api_key="key-of-the-hasty-tenant")
        with self.assertRaises(anthropic.RateLimitError) as caught:
            self.ask(api_key="key-of-the-hasty-tenant")
        self.assertEqual(error_type(caught.exception), "rate_limit_error")
        self.assertGreater(int(caught.exception.response.headers["retry-after"]), 0)


if __name__ == "__main__":
    stage.run(f"anthropic {anthropic.__version__}")
