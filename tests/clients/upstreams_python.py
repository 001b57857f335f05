"""The scripted upstreams against the official clients, with no gateway between.

What a client of Anthropic, AWS or OpenAI can talk to is right enough to hold a
gateway against; and what these upstreams must refuse, they refuse.
"""

import base64
import json
import unittest
import urllib.error
import urllib.request

import anthropic
import boto3
import botocore
import httpx2
import openai
import stage
from anthropic.types import ToolResultBlockParam, message_create_params
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError
from urllib3.exceptions import ProtocolError
from typing_extensions import get_type_hints

import anthropic_upstream

HELLO = [{"role": "user", "content": "hello there"}]
SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}, "days": {"type": "integer"}}}
GIVEN = {"word": "tide", "days": 7}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def setUpModule():
    global ANTHROPIC, BEDROCK, OPENAI
    ANTHROPIC, BEDROCK, OPENAI = map(stage.upstream, ["anthropic", "bedrock", "openai"])
    for program in (ANTHROPIC, BEDROCK, OPENAI):
        unittest.addModuleCleanup(program.stop)


class Anthropic(unittest.TestCase):
    def setUp(self):
        stage.reset(ANTHROPIC)
        self.client = anthropic.Anthropic(
            base_url=f"http://{ANTHROPIC.address}", api_key="upstream-anthropic-key", max_retries=0
        )
        self.addCleanup(self.client.close)

    def ask(self, model="echo", messages=HELLO, max_tokens=2000, **fields):
        create = self.client.messages.create
        return create(model=f"claude-{model}", messages=messages, max_tokens=max_tokens, **fields)

    def stream(self, model="echo", messages=HELLO, **fields):
        model = f"claude-{model}"
        with self.client.messages.stream(model=model, messages=messages, max_tokens=2000, **fields) as stream:
            return list(stream), stream.get_final_message()

    def refused(self, words, **fields):
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.ask(**fields)
        self.assertIn(words, caught.exception.message)

    def test_a_stream_says_what_the_answer_says(self):
        fields = {
            "tools": [{"name": "look_up", "input_schema": SCHEMA}],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        }
        for model in ["echo", "tools", "redacted", "cache", "novel", "stop-refusal"]:
            with self.subTest(model):
                answer = self.ask(model, **fields)
                _, streamed = self.stream(model, **fields)
                self.assertEqual(
                    [block.to_dict() for block in streamed.content],
                    [block.to_dict() for block in answer.content],
                )
                self.assertEqual(streamed.stop_reason, answer.stop_reason)
                self.assertEqual(streamed.usage.output_tokens, answer.usage.output_tokens)

    def test_a_tool_is_called_with_what_its_schema_asks_for(self):
        answer = self.ask("tools", tools=[{"name": "look_up", "input_schema": SCHEMA}])
        self.assertEqual(answer.stop_reason, "tool_use")
        self.assertEqual(answer.content[-1].input, GIVEN)

    def test_a_thought_must_come_back_with_its_seal(self):
        thinking = {"type": "enabled", "budget_tokens": 1024}
        tools = [{"name": "look_up", "input_schema": SCHEMA}]
        first = self.ask("tools", thinking=thinking, tools=tools)
        result = {"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "6.5 m"}

        def turn(blocks):
            said = [block.to_dict() for block in blocks]
            return [*HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": [result]}]

        fields = {"thinking": thinking, "tools": tools}
        answer = self.ask("tools", turn(first.content), **fields)
        self.assertEqual(answer.content[-1].text, "the tool said: 6.5 m")
        self.refused("found `text`", messages=turn(first.content[1:]), **fields)
        first.content[0].signature = "forged"
        self.refused("Invalid `signature`", messages=turn(first.content), **fields)

    def test_errors_are_typed(self):
        for status, expected in [
            (400, anthropic.BadRequestError),
            (401, anthropic.AuthenticationError),
            (403, anthropic.PermissionDeniedError),
            (404, anthropic.NotFoundError),
            (413, anthropic.APIStatusError),
            (429, anthropic.RateLimitError),
            (500, anthropic.InternalServerError),
            (529, anthropic.InternalServerError),
        ]:
            with self.subTest(status), self.assertRaises(expected) as caught:
                self.ask(f"status-{status}")
            self.assertEqual(caught.exception.type, anthropic_upstream.TYPES[status])

    def test_the_client_tries_again_where_it_may(self):
        self.client.max_retries = 1
        self.assertEqual(self.ask("once-529").content[0].text, "hello there")
        self.assertEqual([call["status"] for call in stage.journal(ANTHROPIC)], [529, 200])

    def test_a_stream_that_breaks_raises(self):
        for model, expected in [
            ("error-first", anthropic.APIStatusError),
            ("error-mid-stream", anthropic.APIStatusError),
            ("cut", httpx2.RemoteProtocolError),
        ]:
            with self.subTest(model), self.assertRaises(expected):
                self.stream(model)

    def test_the_client_takes_a_stream_that_ends_early_for_whole(self):
        # Which is why a gateway must say it in an event of its own.
        _, message = self.stream("truncated")
        self.assertIsNone(message.stop_reason)

    def test_a_wrong_key_is_refused(self):
        self.client.api_key = "wrong"
        with self.assertRaises(anthropic.AuthenticationError):
            self.ask()

    def test_every_field_that_is_accepted_is_one_of_the_official_client(self):
        official = set(get_type_hints(message_create_params.MessageCreateParamsNonStreaming))
        ours = anthropic_upstream.REQUEST.known
        self.assertEqual(ours - official, set(anthropic_upstream.SAMPLING))
        # Of features that a translation knows nothing of.
        self.assertEqual(
            official - ours,
            {"container", "diagnostics", "inference_geo", "speed", "user_profile_id", "workspace_id"},
        )
        official = set(get_type_hints(ToolResultBlockParam))
        self.assertEqual(anthropic_upstream.TOOL_RESULT.known - official, set())

    def test_what_the_api_does_not_take_is_refused(self):
        def user(*blocks):
            return {"role": "user", "content": list(blocks)}

        text = {"type": "text", "text": "x"}
        call = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {}}
        said = {"role": "assistant", "content": [call]}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "y"}
        tool = {"name": "look_up", "input_schema": SCHEMA}
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": PIXEL}}
        for words, fields in [
            ("n: Extra inputs", {"extra_body": {"n": 1}}),
            ("temperature: Extra inputs", {"extra_body": {"temperature": 0}}),
            ("max_tokens", {"max_tokens": 0}),
            ("messages: List", {"messages": []}),
            ("first message", {"messages": [{"role": "assistant", "content": "x"}]}),
            ("messages.0", {"messages": [{"role": "tool", "content": "x"}]}),
            ("non-empty", {"messages": [user({"type": "text", "text": ""})]}),
            ("non-empty", {"messages": [{"role": "user", "content": ""}]}),
            ("image_url", {"messages": [user({"type": "image_url", "image_url": {"url": "x"}})]}),
            ("media_type", {"messages": [user(image)]}),
            ("unexpected `tool_use_id`", {"messages": [user(result)]}),
            ("without `tool_result`", {"messages": [*HELLO, said, user(text)], "tools": [tool]}),
            ("must come first", {"messages": [*HELLO, said, user(text, result)], "tools": [tool]}),
            ("tools.0.input_schema", {"tools": [{"name": "look_up"}]}),
            ("tools.0.name", {"tools": [{"type": "function", "function": {"name": "look_up"}}]}),
            ("must be unique", {"tools": [tool, tool]}),
            ("tool_choice", {"tool_choice": {"type": "auto"}}),
            ("not found", {"tools": [tool], "tool_choice": {"type": "tool", "name": "other"}}),
            ("budget_tokens", {"thinking": {"type": "enabled", "budget_tokens": 100}}),
            ("must be greater", {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
            ("stop_sequences.0", {"stop_sequences": [" "]}),
            ("whitespace", {"messages": [*HELLO, {"role": "assistant", "content": "x "}]}),
        ]:
            with self.subTest(words):
                self.refused(words, **fields)

    def test_the_old_version_still_takes_a_temperature(self):
        sent = {"anthropic-version": "2023-06-01"}
        self.ask(extra_body={"temperature": 0.5}, extra_headers=sent)
        with self.assertRaises(anthropic.BadRequestError):
            self.ask(extra_headers={"anthropic-version": "2024-01-01"})


class Bedrock(unittest.TestCase):
    def setUp(self):
        stage.reset(BEDROCK)
        self.client = self.client_of()

    def client_of(self, access="AKIDTIDAL", secret="upstream+secret/key", token=None, retries=0):
        client = boto3.client(
            "bedrock-runtime",
            region_name="eu-west-1",
            endpoint_url=f"http://{BEDROCK.address}",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": retries + 1}),
        )
        self.addCleanup(client.close)
        return client

    def ask(self, model="echo", said="hello there", client=None, **fields):
        messages = [{"role": "user", "content": [{"text": said}]}]
        call = (client or self.client).converse
        return call(modelId=f"anthropic.claude-{model}-v1:0", **({"messages": messages} | fields))

    def stream(self, model="echo", **fields):
        messages = [{"role": "user", "content": [{"text": "hello there"}]}]
        call = self.client.converse_stream
        model = f"anthropic.claude-{model}-v1:0"
        return list(call(modelId=model, **({"messages": messages} | fields))["stream"])

    def code(self, call, *arguments, **fields):
        with self.assertRaises(ClientError) as caught:
            call(*arguments, **fields)
        return caught.exception.response["Error"]["Code"]

    def test_a_conversation_is_answered(self):
        answer = self.ask()
        self.assertEqual(answer["output"]["message"]["content"], [{"text": "hello there"}])
        self.assertEqual(answer["stopReason"], "end_turn")
        self.assertEqual(answer["usage"]["outputTokens"], 2)

    def test_a_stream_brings_the_answer_in_pieces(self):
        events = self.stream()
        said = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
        self.assertEqual("".join(said), "hello there")
        self.assertEqual(events[-2]["messageStop"]["stopReason"], "end_turn")
        self.assertEqual(events[-1]["metadata"]["usage"]["outputTokens"], 2)

    def test_every_id_of_a_model_can_be_signed(self):
        for model in [
            "anthropic.claude-echo",
            "eu.anthropic.claude-echo-v1:0",
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-echo-v1:0",
        ]:
            with self.subTest(model):
                messages = [{"role": "user", "content": [{"text": "x"}]}]
                answer = self.client.converse(modelId=model, messages=messages)
                self.assertEqual(answer["stopReason"], "end_turn")

    def test_only_the_right_secret_and_token_are_taken(self):
        token = "session/token+of=the=tests"
        own = {"access": "ASIDTIDAL", "secret": "another+secret/key"}
        self.assertEqual(self.ask(client=self.client_of(**own, token=token))["stopReason"], "end_turn")
        for code, keys in [
            ("InvalidSignatureException", {"secret": "wrong"}),
            ("UnrecognizedClientException", {"access": "AKIDNOBODY"}),
            ("UnrecognizedClientException", own),
            ("UnrecognizedClientException", own | {"token": "wrong"}),
            ("UnrecognizedClientException", {"token": token}),
        ]:
            with self.subTest(keys):
                self.assertEqual(self.code(self.ask, client=self.client_of(**keys)), code)

    def signed(self, service="bedrock", region="eu-west-1", keep=True, **change):
        """Status and error of a request that is changed after it was signed."""
        url = f"http://{BEDROCK.address}/model/anthropic.claude-echo-v1%3A0/converse"
        body = json.dumps({"messages": [{"role": "user", "content": [{"text": "x"}]}]}).encode()
        headers = {"content-type": "application/json"}
        request = AWSRequest("POST", url, data=body, headers=headers)
        credentials = Credentials("AKIDTIDAL", "upstream+secret/key")
        SigV4Auth(credentials, service, region).add_auth(request)
        sent = dict(request.headers.items()) | change.get("headers", {})
        if not keep:
            del sent["Authorization"]
        sent = urllib.request.Request(change.get("url", url), change.get("body", body), sent)
        try:
            with urllib.request.urlopen(sent) as answer:
                return answer.status, None
        except urllib.error.HTTPError as error:
            with error:
                return error.status, error.headers["x-amzn-errortype"].split(":")[0]

    def test_what_was_changed_after_it_was_signed_is_refused(self):
        self.assertEqual(self.signed(), (200, None))
        wrong = (403, "InvalidSignatureException")
        other = f"http://{BEDROCK.address}/model/anthropic.claude-echo-v2%3A0/converse"
        text = json.dumps({"messages": [{"role": "user", "content": [{"text": "y"}]}]}).encode()
        self.assertEqual(self.signed(body=text), wrong)
        self.assertEqual(self.signed(url=other), wrong)
        self.assertEqual(self.signed(url=other.replace("-v2", "-v1") + "?x=1"), wrong)
        self.assertEqual(self.signed(headers={"X-Amz-Date": "20200101T000000Z"}), wrong)
        self.assertEqual(self.signed(headers={"X-Amz-Target": "x"}), wrong)
        self.assertEqual(self.signed(region="us-east-1"), wrong)
        self.assertEqual(self.signed(service="bedrock-runtime"), wrong)
        self.assertEqual(self.signed(keep=False), (403, "MissingAuthenticationTokenException"))

    def test_exceptions_are_typed(self):
        for model, code in [
            ("throttled", "ThrottlingException"),
            ("not-ready", "ModelNotReadyException"),
            ("validation", "ValidationException"),
            ("denied", "AccessDeniedException"),
            ("missing", "ResourceNotFoundException"),
            ("timeout", "ModelTimeoutException"),
            ("model-error", "ModelErrorException"),
            ("internal", "InternalServerException"),
            ("unavailable", "ServiceUnavailableException"),
        ]:
            with self.subTest(model):
                self.assertEqual(self.code(self.ask, model), code)
                self.assertEqual(self.code(self.stream, model), code)

    def test_the_client_tries_again_when_throttled(self):
        client = self.client_of(retries=2)
        self.assertEqual(self.ask("throttled-2", client=client)["stopReason"], "end_turn")
        self.assertEqual([call["status"] for call in stage.journal(BEDROCK)], [429, 429, 200])

    def test_a_stream_that_breaks_raises(self):
        for model, expected in [
            ("error-first", EventStreamError),
            ("error-mid-stream", EventStreamError),
            ("throttled-mid-stream", EventStreamError),
            ("error-frame", EventStreamError),
            ("wrong-crc", ChecksumMismatch),
            ("wrong-prelude", ChecksumMismatch),
            ("cut", ProtocolError),
        ]:
            with self.subTest(model), self.assertRaises(expected):
                self.stream(model)

    def test_a_stream_that_ends_early_lacks_its_last_events(self):
        self.assertNotIn("messageStop", [name for event in self.stream("truncated") for name in event])

    def test_texts_are_embedded(self):
        def invoke(model, **body):
            answer = self.client.invoke_model(modelId=model, body=json.dumps(body))
            return json.loads(answer["body"].read())

        titan = "amazon.titan-embed-text-v2:0"
        self.assertEqual(len(invoke(titan, inputText="x", dimensions=256)["embedding"]), 256)
        cohere = "cohere.embed-english-v3"
        found = invoke(cohere, texts=["x", "y"], input_type="search_query")["embeddings"]
        self.assertEqual([len(vector) for vector in found], [1024, 1024])
        for model, body in [
            (titan, {"inputText": "x", "dimensions": 7}),
            (titan, {"input": "x"}),
            (cohere, {"texts": ["x"]}),
            (cohere, {"texts": ["x"] * 97, "input_type": "search_query"}),
            ("amazon.titan-embed-none", {"inputText": "x"}),
        ]:
            with self.subTest(body):
                self.assertEqual(self.code(invoke, model, **body), "ValidationException")

    def test_what_the_service_does_not_take_is_refused(self):
        # The official client holds back what does not fit, so these go past it.
        user = {"role": "user", "content": [{"text": "x"}]}
        call = {"toolUse": {"toolUseId": "tooluse_1", "name": "look_up", "input": {}}}
        said = {"role": "assistant", "content": [call]}
        result = {"role": "user", "content": [{"toolResult": {"toolUseId": "tooluse_1", "content": []}}]}
        tool = {"toolSpec": {"name": "look_up", "inputSchema": {"json": SCHEMA}}}
        tools = {"toolConfig": {"tools": [tool]}}
        self.ask(messages=[user, said, result], **tools)
        for fields in [
            {"messages": []},
            {"messages": [user, user]},
            {"messages": [said, user], **tools},
            {"messages": [user, said, result]},
            {"messages": [user, said, user], **tools},
            {"messages": [user, {"role": "assistant", "content": []}, user]},
            {"messages": [{"role": "user", "content": [{"text": " "}]}]},
            {"messages": [{"role": "user", "content": [call]}], **tools},
            {"inferenceConfig": {"maxTokens": 0}},
            {"inferenceConfig": {"temperature": 1.5}},
            {"toolConfig": {"tools": [{"toolSpec": {"name": "look up", "inputSchema": {"json": SCHEMA}}}]}},
            {"toolConfig": {"tools": [tool, tool]}},
            {"toolConfig": {"tools": [tool], "toolChoice": {"tool": {"name": "other"}}}},
            {"toolConfig": {"tools": []}},
        ]:
            with self.subTest(fields):
                self.assertEqual(self.unchecked(fields), "ValidationException")

    def unchecked(self, fields):
        """The code of the answer to a request that no client has looked at."""
        body = {"messages": [{"role": "user", "content": [{"text": "x"}]}]} | fields
        url = f"http://{BEDROCK.address}/model/anthropic.claude-echo/converse"
        request = AWSRequest(
            "POST", url, data=json.dumps(body).encode(), headers={"content-type": "application/json"}
        )
        SigV4Auth(Credentials("AKIDTIDAL", "upstream+secret/key"), "bedrock", "eu-west-1").add_auth(request)
        sent = urllib.request.Request(url, request.data, dict(request.headers.items()))
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(sent)
        with caught.exception as error:
            self.assertEqual(error.status, 400)
            return error.headers["x-amzn-errortype"].split(":")[0]


class OpenAI(unittest.TestCase):
    def setUp(self):
        stage.reset(OPENAI)
        self.client = openai.OpenAI(
            base_url=f"http://{OPENAI.address}/v1", api_key="upstream-openai-key", max_retries=0
        )
        self.addCleanup(self.client.close)

    def ask(self, model="echo", messages=HELLO, **fields):
        return self.client.chat.completions.create(model=f"gpt-{model}", messages=messages, **fields)

    def test_a_stream_says_what_the_answer_says(self):
        tools = [{"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}]
        answer = self.ask("tools", tools=tools).choices[0].message
        with self.client.chat.completions.stream(model="gpt-tools", messages=HELLO, tools=tools) as stream:
            streamed = stream.get_final_completion().choices[0].message
        self.assertEqual(streamed.content, answer.content)
        (one,), (other,) = streamed.tool_calls, answer.tool_calls
        self.assertEqual((one.id, one.function.arguments), (other.id, other.function.arguments))
        self.assertEqual(json.loads(one.function.arguments), GIVEN)

    def test_usage_comes_last_where_it_is_asked_for(self):
        *_, last = self.ask(stream=True, stream_options={"include_usage": True})
        self.assertEqual((last.choices, last.usage.completion_tokens), ([], 2))

    def test_a_prompt_is_completed(self):
        answer = self.client.completions.create(model="gpt-echo", prompt="hello there")
        self.assertEqual(answer.choices[0].text, "hello there")

    def test_what_the_api_does_not_take_is_refused(self):
        call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
        said = {"role": "assistant", "content": None, "tool_calls": [call]}
        result = {"role": "tool", "tool_call_id": "call_1", "content": "y"}
        broken = {**call, "function": {"name": "look_up", "arguments": "{"}}
        tool = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}
        picture = {"type": "image_url", "image_url": {"url": PIXEL}}
        self.ask(messages=[*HELLO, said, result])
        for words, fields in [
            ("max_tokens_to_sample: Extra inputs", {"extra_body": {"max_tokens_to_sample": 1}}),
            ("stop_sequences: Extra inputs", {"extra_body": {"stop_sequences": ["x"]}}),
            ("top_k: Extra inputs", {"extra_body": {"top_k": 1}}),
            ("messages.0", {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}),
            ("messages.0", {"messages": [{"role": "user", "content": [picture]}]}),
            ("preceding message", {"messages": [*HELLO, result]}),
            ("must be followed", {"messages": [*HELLO, said, *HELLO]}),
            ("no tool messages", {"messages": [*HELLO, said]}),
            ("not JSON", {"messages": [*HELLO, {**said, "tool_calls": [broken]}, result]}),
            ("tools.0", {"tools": [{"name": "look_up", "input_schema": SCHEMA}]}),
            ("tool_choice", {"tool_choice": "auto"}),
            ("not found", {"tools": [tool], "tool_choice": {"type": "function", "function": {"name": "x"}}}),
            ("stop", {"stop": list("abcde")}),
            ("stream_options", {"stream_options": {"include_usage": True}}),
        ]:
            with self.subTest(words), self.assertRaises(openai.BadRequestError) as caught:
                self.ask(**fields)
            self.assertIn(words, caught.exception.message)


if __name__ == "__main__":
    stage.run(
        f"anthropic {anthropic.__version__}",
        f"boto3 {boto3.__version__} (botocore {botocore.__version__})",
        f"openai {openai.__version__}",
    )
