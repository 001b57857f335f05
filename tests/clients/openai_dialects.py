"""What programs that use OpenAI's own Python client may rely on, whichever
dialect the upstream speaks.

The same cases run against the gateway with an upstream of each dialect behind
it, and once against the upstream of OpenAI's dialect without any gateway.
"""

import json
import unittest

import openai
import stage
from openai import OpenAI
from pydantic import BaseModel

import dialects

HELLO = [{"role": "user", "content": "hello there"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a word up.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["word"],
        },
    },
}
OTHER = {
    "type": "function",
    "function": {
        "name": "count",
        "parameters": {"type": "object", "properties": {"up_to": {"type": "integer"}}},
    },
}
GIVEN = {"word": "tide", "days": 7}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


class Tide(BaseModel):
    harbour: str
    metres: float


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

    def client_of(self, **options):
        options = {"api_key": "client-key", "max_retries": 0, "timeout": 30} | options
        return OpenAI(base_url=f"http://{self.address()}/v1", **options)

    def fields(self, script="echo", messages=HELLO, **fields):
        return {"model": self.behind.model(script), "messages": messages} | fields

    def ask(self, *arguments, **fields):
        return self.client.chat.completions.create(**self.fields(*arguments, **fields))

    def raw(self, *arguments, **fields):
        create = self.client.chat.completions.with_raw_response.create
        return create(**self.fields(*arguments, **fields))

    def chunks(self, *arguments, **fields):
        return list(self.ask(*arguments, stream=True, **fields))

    def stream(self, *arguments, **fields):
        """The answer that the client puts together from a stream."""
        fields = self.fields(*arguments, **fields)
        options = {"include_usage": True}
        with self.client.chat.completions.stream(stream_options=options, **fields) as stream:
            return stream.get_final_completion()

    def both(self, *arguments, **fields):
        yield self.ask(*arguments, **fields)
        yield self.stream(*arguments, **fields)

    def refused(self, expected, *arguments, **fields):
        with self.assertRaises(expected) as caught:
            self.ask(*arguments, **fields)
        return caught.exception

    def unsupported(self, param, **fields):
        error = self.refused(openai.BadRequestError, **fields)
        self.assertEqual((error.code, error.param), ("unsupported_parameter", param))
        self.assertEqual(stage.journal(self.upstream), [])

    def heard(self):
        return stage.journal(self.upstream)[-1]["body"]

    def results(self, message, content="6.5 m"):
        """The messages after a call: the call itself, and what the tool said."""
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": content} for call in message.tool_calls
        ]
        # As the documents show it, the message goes back as it came.
        return [*HELLO, message, *results]


class Answers(Case):
    def test_a_chat_is_answered(self):
        for answer in self.both():
            self.assertEqual(answer.object, "chat.completion")
            self.assertEqual(answer.model, self.behind.model("echo"))
            self.assertTrue(answer.id)
            (choice,) = answer.choices
            self.assertEqual((choice.message.role, choice.message.content), ("assistant", "hello there"))
            self.assertEqual(choice.finish_reason, "stop")
            usage = answer.usage
            self.assertEqual(usage.completion_tokens, 2)
            self.assertEqual(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens)
            self.assertGreater(usage.prompt_tokens, 0)

    def test_instructions_and_turns_keep_their_order(self):
        turns = [("user", "high tide?"), ("assistant", "at six"), ("user", "and low tide?")]
        messages = [{"role": role, "content": said} for role, said in turns]
        for role in ["system", "developer"]:
            with self.subTest(role):
                self.ask(messages=[{"role": role, "content": "You keep a harbour."}, *messages])
                self.assertEqual(self.behind.system(self.heard()), ["You keep a harbour."])
                self.assertEqual(self.behind.turns(self.heard()), turns)

    def test_text_in_any_script_comes_back_as_it_went(self):
        text = 'größe "x" \\ 潮 🌊\n\t\u2028</script>'
        for answer in self.both(messages=[{"role": "user", "content": text}]):
            self.assertEqual(answer.choices[0].message.content, text)

    def test_parts_of_a_message_are_one_turn(self):
        content = [{"type": "text", "text": "hello"}, {"type": "text", "text": "there"}]
        self.ask(messages=[{"role": "user", "content": content}])
        self.assertEqual(self.behind.turns(self.heard()), [("user", "hello there")])

    def test_an_image_reaches_the_upstream(self):
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
        content = [{"type": "text", "text": "what is this?"}, image]
        self.ask(messages=[{"role": "user", "content": content}])
        self.assertEqual(self.behind.images(self.heard()), [("image/png", PIXEL)])

    def test_how_words_are_chosen_reaches_the_upstream(self):
        self.ask(max_completion_tokens=77, stop=["ebb", "flood"], temperature=0.5, top_p=0.25)
        heard = self.heard()
        self.assertEqual(self.behind.most(heard), 77)
        self.assertEqual(self.behind.stops(heard), ["ebb", "flood"])
        self.assertEqual(self.behind.sampling(heard), {"temperature": 0.5, "top_p": 0.25})

    def test_the_older_names_of_a_bound_and_a_stop_are_known(self):
        self.ask(max_tokens=77, stop="ebb")
        self.assertEqual(self.behind.most(self.heard()), 77)
        self.assertEqual(self.behind.stops(self.heard()), ["ebb"])

    def test_the_maximum_ends_an_answer(self):
        # The helper for streams raises where the maximum is met.
        choice = self.ask(max_tokens=1).choices[0]
        self.assertEqual((choice.finish_reason, choice.message.content), ("length", "hello"))
        last = [chunk for chunk in self.chunks(max_tokens=1) if chunk.choices][-1]
        self.assertEqual(last.choices[0].finish_reason, "length")

    def test_a_stop_sequence_ends_an_answer(self):
        for answer in self.both(stop=["there"]):
            (choice,) = answer.choices
            self.assertEqual((choice.finish_reason, choice.message.content.strip()), ("stop", "hello"))

    def test_what_was_filtered_is_said(self):
        choice = self.ask(self.refusal).choices[0]
        self.assertEqual(choice.finish_reason, "content_filter")

    refusal = "stop-refusal"

    def test_tokens_of_the_cache_are_counted(self):
        plain = self.ask().usage.prompt_tokens
        for answer in self.both("cache"):
            usage = answer.usage
            self.assertEqual(usage.prompt_tokens_details.cached_tokens, 7)
            self.assertEqual(usage.prompt_tokens, plain + self.beyond)
            self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)

    # Read from the cache and written to it, which the others count apart.
    beyond = 12

    def test_an_answer_is_parsed_into_a_model(self):
        answer = self.client.chat.completions.parse(**self.fields(response_format=Tide))
        message = answer.choices[0].message
        self.assertEqual(message.parsed, Tide(harbour="tide", metres=6.5))
        again = self.ask(messages=[*HELLO, message, *HELLO])
        self.assertEqual(again.choices[0].message.content, "hello there")

    def test_what_nobody_knows_yet_does_no_harm(self):
        for answer in self.both("novel"):
            self.assertEqual(answer.choices[0].message.content, "hello there")


class Streams(Case):
    def test_texts_come_in_pieces(self):
        chunks = self.chunks()
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        self.assertGreater(len([piece for piece in said if piece]), 1)
        self.assertEqual("".join(piece or "" for piece in said), "hello there")
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")

    def test_usage_comes_only_where_it_is_asked_for(self):
        self.assertEqual([chunk.usage for chunk in self.chunks() if chunk.usage], [])
        *_, last = self.chunks(stream_options={"include_usage": True})
        self.assertEqual((last.choices, last.usage.completion_tokens), ([], 2))

    def test_a_stream_that_breaks_raises(self):
        for script in ["error-first", "error-mid-stream", "truncated", "cut"]:
            with self.subTest(script), self.assertRaises(openai.APIError):
                self.chunks(script)


class Tools(Case):
    def test_a_tool_is_called(self):
        for answer in self.both("tools", tools=[TOOL]):
            (choice,) = answer.choices
            self.assertEqual(choice.finish_reason, "tool_calls")
            self.assertEqual(choice.message.content, "Looking it up.")
            (call,) = choice.message.tool_calls
            self.assertEqual((call.type, call.function.name), ("function", "look_up"))
            self.assertEqual(json.loads(call.function.arguments), GIVEN)
        function = TOOL["function"]
        expected = {"look_up": (function["description"], function["parameters"])}
        self.assertEqual(self.behind.tools(self.heard()), expected)

    def test_what_the_tool_said_goes_back(self):
        for answer in list(self.both("tools", tools=[TOOL])):
            again = self.ask("tools", self.results(answer.choices[0].message), tools=[TOOL])
            self.assertEqual(again.choices[0].message.content, "the tool said: 6.5 m")

    def test_an_answer_of_openais_own_goes_back_to_any_upstream(self):
        calls = [{"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]
        said = {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": calls,
        }
        result = {"role": "tool", "tool_call_id": "call_1", "content": "6.5 m"}
        again = self.ask("tools", [*HELLO, said, result], tools=[TOOL])
        self.assertEqual(again.choices[0].message.content, "the tool said: 6.5 m")

    def test_several_tools_are_called_at_once(self):
        for answer in list(self.both("tools-parallel", tools=[TOOL, OTHER])):
            message = answer.choices[0].message
            self.assertEqual([call.function.name for call in message.tool_calls], ["look_up", "count"])
            self.assertEqual(len({call.id for call in message.tool_calls}), 2)
            again = self.ask("tools-parallel", self.results(message), tools=[TOOL, OTHER])
            self.assertEqual(again.choices[0].message.content, "the tool said: 6.5 m; 6.5 m")

    def test_one_tool_at_a_time_can_be_asked_for(self):
        answer = self.ask("tools-parallel", tools=[TOOL, OTHER], parallel_tool_calls=False)
        self.assertEqual(len(answer.choices[0].message.tool_calls), 1)

    def test_a_choice_of_tools_reaches_the_upstream(self):
        named = {"type": "function", "function": {"name": "count"}}
        for choice, expected in [("auto", []), ("none", []), ("required", ["look_up"]), (named, ["count"])]:
            with self.subTest(choice):
                message = self.ask(tools=[TOOL, OTHER], tool_choice=choice).choices[0].message
                called = [call.function.name for call in message.tool_calls or []]
                self.assertEqual(called, expected)


class Thoughts:
    """Where the upstream's models think aloud."""

    def test_thoughts_come_in_fields_of_their_own(self):
        for answer in self.both("thinking", extra_body=THINKING, max_tokens=2000):
            message = answer.choices[0].message
            self.assertEqual(message.content, "hello there")
            self.assertEqual(message.reasoning_content, "The tide turns twice a day.")

    def test_thoughts_go_back_with_what_the_tool_said(self):
        fields = {"extra_body": THINKING, "max_tokens": 2000, "tools": [TOOL]}
        message = self.ask("thinking-tools", **fields).choices[0].message
        again = self.ask("thinking-tools", self.results(message), **fields)
        self.assertEqual(again.choices[0].message.content, "the tool said: 6.5 m")

    def test_an_effort_reaches_the_upstream(self):
        self.ask(reasoning_effort="low")
        config = self.heard().get("output_config") or self.heard()["outputConfig"]
        self.assertEqual(config["effort"], "low")


class Lacks:
    """What a dialect that is not OpenAI's cannot be told."""

    def test_what_cannot_be_said_is_refused_by_its_name(self):
        audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
        for param, fields in [
            ("n", {"n": 2}),
            ("seed", {"seed": 7}),
            ("logprobs", {"logprobs": True}),
            ("logit_bias", {"logit_bias": {"50256": -100}}),
            ("presence_penalty", {"presence_penalty": 0.5}),
            ("frequency_penalty", {"frequency_penalty": 0.5}),
            ("response_format.type", {"response_format": {"type": "json_object"}}),
            ("messages[0].content[0].type", {"messages": [{"role": "user", "content": [audio]}]}),
            ("harbour", {"extra_body": {"harbour": "Brest"}}),
        ]:
            with self.subTest(param):
                self.unsupported(param, **fields)

    def test_what_says_nothing_may_be_said(self):
        self.ask(n=1, presence_penalty=0, frequency_penalty=0, logprobs=False)
        self.assertEqual(self.behind.turns(self.heard()), [("user", "hello there")])

    def test_a_text_is_not_completed_in_the_legacy_dialect(self):
        with self.assertRaises(openai.BadRequestError):
            self.client.completions.create(model=self.behind.model("echo"), prompt="hello there")
        self.assertEqual(stage.journal(self.upstream), [])


class Gateway(Case):
    """What only the gateway does."""

    def test_the_verdicts_of_an_upstream_keep_their_class(self):
        for script, expected, status in self.verdicts:
            for stream in [False, True]:
                with self.subTest(script, stream=stream):
                    error = self.refused(expected, script, stream=stream)
                    self.assertEqual(error.status_code, status)
                    self.assertTrue(error.code)

    def test_what_failed_once_is_tried_again(self):
        answer = self.raw(self.once)
        self.assertEqual(answer.parse().choices[0].message.content, "hello there")
        self.assertEqual(answer.headers["x-tidegate-attempts"], "2")
        self.assertEqual(len(stage.journal(self.upstream)), 2)

    once = "once-500"

    def test_a_client_does_not_repeat_what_the_gateway_has_tried(self):
        self.client.max_retries = 3
        error = self.refused(openai.InternalServerError, self.broken)
        self.assertEqual(error.response.headers["x-should-retry"], "false")
        self.assertLessEqual(len(stage.journal(self.upstream)), 2)

    broken = "status-500"

    def test_a_broken_answer_is_an_error(self):
        for script in ["garbage", "truncated", "cut"]:
            with self.subTest(script):
                self.assertEqual(self.refused(openai.InternalServerError, script).status_code, 502)

    def test_an_answer_says_who_gave_it(self):
        for fields in [{}, {"stream": True}]:
            headers = self.raw(**fields).headers
            self.assertEqual(headers["x-tidegate-model"], f"{self.behind.name}/{self.behind.model('echo')}")

    def test_the_next_model_takes_over_whatever_its_dialect(self):
        for model, answered in [
            ("fallback", "openai/gpt-echo"),
            ("fallback-to-anthropic", "anthropic/claude-echo"),
            ("fallback-to-bedrock", "bedrock/anthropic.claude-echo-v1:0"),
        ]:
            with self.subTest(model):
                answer = self.raw(model=model, stream=True)
                self.assertEqual(answer.headers["x-tidegate-model"], answered)
                said = [chunk.choices[0].delta.content for chunk in answer.parse() if chunk.choices]
                self.assertEqual("".join(piece or "" for piece in said), "hello there")

    def test_the_key_of_the_client_stays_at_the_gateway(self):
        self.ask()
        (call,) = stage.journal(self.upstream)
        self.assertNotIn("client-key", json.dumps(call))


class Completions:
    def test_a_text_is_completed_in_the_legacy_dialect(self):
        create = self.client.completions.create
        answer = create(model="gpt-echo", prompt="hello there", max_tokens=9)
        self.assertEqual((answer.object, answer.choices[0].text), ("text_completion", "hello there"))
        chunks = create(model="gpt-echo", prompt="hello there", max_tokens=9, stream=True)
        self.assertEqual("".join(chunk.choices[0].text for chunk in chunks), "hello there")


class DirectlyOpenAI(Answers, Streams, Tools, Completions, unittest.TestCase):
    """Without a gateway."""

    behind = dialects.OpenAI()
    refusal = "stop-content-filter"
    beyond = 0

    def address(self):
        return self.upstream.address

    def client_of(self, **options):
        return super().client_of(api_key="upstream-openai-key", **options)

    def test_a_stream_that_breaks_raises(self):
        # The client itself takes a stream that ends too early for whole.
        for script in ["error-first", "error-mid-stream"]:
            with self.subTest(script), self.assertRaises(openai.APIError):
                self.chunks(script)


class BeforeOpenAI(Answers, Streams, Tools, Completions, Gateway, unittest.TestCase):
    behind = dialects.OpenAI()
    refusal = "stop-content-filter"
    beyond = 0
    verdicts = [
        ("status-400", openai.BadRequestError, 400),
        ("status-401", openai.InternalServerError, 502),
        ("status-403", openai.PermissionDeniedError, 403),
        ("status-404", openai.NotFoundError, 404),
        ("status-429", openai.RateLimitError, 429),
        ("status-500", openai.InternalServerError, 502),
    ]

    def test_the_fields_of_the_dialect_pass_through(self):
        self.ask(seed=7, presence_penalty=0.5, response_format={"type": "json_object"})
        self.assertEqual((self.heard()["seed"], self.heard()["presence_penalty"]), (7, 0.5))


class BeforeAnthropic(Answers, Streams, Tools, Thoughts, Lacks, Gateway, unittest.TestCase):
    behind = dialects.Anthropic()
    verdicts = [
        ("status-400", openai.BadRequestError, 400),
        ("status-401", openai.InternalServerError, 502),
        # The key that lacks a permission is the gateway's.
        ("status-403", openai.InternalServerError, 502),
        ("status-404", openai.NotFoundError, 404),
        ("status-413", openai.APIStatusError, 413),
        ("status-429", openai.RateLimitError, 429),
        ("status-500", openai.InternalServerError, 502),
        ("status-529", openai.RateLimitError, 429),
    ]

    def test_a_bound_is_set_where_the_client_sets_none(self):
        self.ask()
        self.assertEqual(self.heard()["max_tokens"], 4096)

    def test_texts_are_not_embedded(self):
        with self.assertRaises(openai.APIStatusError) as caught:
            self.client.embeddings.create(model=self.behind.model("echo"), input="x")
        self.assertIn(caught.exception.status_code, (400, 404))
        self.assertEqual(stage.journal(self.upstream), [])


class BeforeBedrock(Answers, Streams, Tools, Thoughts, Lacks, Gateway, unittest.TestCase):
    behind = dialects.Bedrock()
    refusal = "stop-content-filtered"
    once, broken = "internal-1", "internal"
    verdicts = [
        ("validation", openai.BadRequestError, 400),
        ("missing", openai.NotFoundError, 404),
        ("denied", openai.InternalServerError, 502),
        ("throttled", openai.RateLimitError, 429),
        ("internal", openai.InternalServerError, 502),
    ]

    def test_one_tool_at_a_time_is_a_word_for_anthropics_models_only(self):
        fields = {"tools": [TOOL, OTHER], "parallel_tool_calls": False}
        self.unsupported("parallel_tool_calls", model="amazon.nova-echo-v1:0", **fields)

    def test_a_stream_that_breaks_raises(self):
        super().test_a_stream_that_breaks_raises()
        for script in ["throttled-mid-stream", "error-frame", "wrong-crc", "wrong-prelude"]:
            with self.subTest(script), self.assertRaises(openai.APIError):
                self.chunks(script)

    def embed(self, model, given, **fields):
        answer = self.client.embeddings.create(model=model, input=given, **fields)
        self.assertEqual([item.index for item in answer.data], list(range(len(answer.data))))
        self.assertGreater(answer.usage.prompt_tokens, 0)
        return [item.embedding for item in answer.data]

    def test_texts_are_embedded(self):
        for model, calls in [("amazon.titan-embed-text-v2:0", 3), ("cohere.embed-english-v3", 1)]:
            with self.subTest(model):
                stage.reset(self.upstream)
                given = ["high tide", "low tide", "ebb"]
                vectors = self.embed(model, given)
                self.assertEqual([len(vector) for vector in vectors], [1024] * 3)
                # Titan takes one text a call.
                self.assertEqual(len(stage.journal(self.upstream)), calls)
                # Each text has its own numbers, wherever in the list it stands.
                (alone,) = self.embed(model, "low tide", encoding_format="float")
                for one, other in zip(vectors[1], alone, strict=True):
                    self.assertAlmostEqual(one, other, places=6)
                self.assertNotAlmostEqual(vectors[0][0], vectors[1][0], places=6)

    def test_the_length_of_a_vector_can_be_asked_for(self):
        (vector,) = self.embed("amazon.titan-embed-text-v2:0", "x", dimensions=256)
        self.assertEqual(len(vector), 256)

    def test_more_texts_than_cohere_takes_are_asked_for_in_several_calls(self):
        given = [f"tide {number}" for number in range(200)]
        self.assertEqual(len(self.embed("cohere.embed-english-v3", given)), 200)
        sizes = [len(call["body"]["texts"]) for call in stage.journal(self.upstream)]
        self.assertEqual((sum(sizes), max(sizes)), (200, 96))


if __name__ == "__main__":
    stage.run(f"openai {openai.__version__}")
