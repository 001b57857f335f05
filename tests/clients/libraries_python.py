"""What programs that use LiteLLM, LlamaIndex or instructor may rely on,
whichever dialect the upstream speaks.
"""

import asyncio
import os
import unittest
from importlib.metadata import version

import anthropic
import openai
import stage

# Without this, importing LiteLLM asks the network what models cost.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import instructor
import litellm
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

import dialects

litellm.telemetry = False
litellm.suppress_debug_info = True

# The gateway's, of which LiteLLM and instructor speak both.
DIALECTS = ["openai", "anthropic"]
HELLO = [{"role": "user", "content": "hello there"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
    },
}


class Tide(BaseModel):
    """When the water comes."""

    harbour: str
    metres: float


HIGH = {"harbour": "tide", "metres": 6.5}


class Case:
    behind = None

    def setUp(self):
        self.upstream = stage.upstreams()[self.behind.name]
        stage.reset(self.upstream)

    def address(self):
        return f"http://{stage.home(self.behind.name).address}"


class LiteLLM(Case):
    """Through either of the gateway's dialects."""

    def ask(self, dialect, script="echo", messages=HELLO, **fields):
        base = self.address() + ("/v1" if dialect == "openai" else "")
        return litellm.completion(
            model=f"{dialect}/{self.behind.model(script)}",
            messages=messages,
            api_base=base,
            api_key="client-key",
            max_retries=0,
            **fields,
        )

    def test_a_chat_is_answered(self):
        for dialect in DIALECTS:
            with self.subTest(dialect):
                messages = [{"role": "system", "content": "You keep a harbour."}, *HELLO]
                answer = self.ask(dialect, messages=messages, max_tokens=50)
                self.assertEqual(answer.choices[0].message.content, "hello there")
                self.assertEqual(answer.choices[0].finish_reason, "stop")
                self.assertEqual(answer.usage.completion_tokens, 2)
                heard = stage.journal(self.upstream)[-1]["body"]
                self.assertEqual(self.behind.system(heard), ["You keep a harbour."])

    def test_an_answer_is_streamed(self):
        for dialect in DIALECTS:
            with self.subTest(dialect):
                chunks = list(self.ask(dialect, stream=True))
                said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
                self.assertEqual("".join(piece or "" for piece in said), "hello there")

    def test_a_tool_is_called_and_answered(self):
        for dialect in DIALECTS:
            with self.subTest(dialect):
                # Without this LiteLLM wants a package for servers of tools, which nothing here is.
                fields = {"tools": [TOOL], "_skip_mcp_handler": True}
                message = self.ask(dialect, "tools", **fields).choices[0].message
                (call,) = message.tool_calls
                self.assertEqual((call.function.name, call.function.arguments), ("look_up", '{"word": "tide"}'))
                result = {"role": "tool", "tool_call_id": call.id, "content": "6.5 m"}
                answer = self.ask(dialect, "tools", [*HELLO, message, result], **fields)
                self.assertEqual(answer.choices[0].message.content, "the tool said: 6.5 m")

    def test_errors_are_typed(self):
        for dialect in DIALECTS:
            with self.subTest(dialect):
                for script, expected in self.errors:
                    with self.subTest(script), self.assertRaises(expected):
                        self.ask(dialect, script)

    errors = [
        ("status-400", litellm.BadRequestError),
        ("status-404", litellm.NotFoundError),
        ("status-429", litellm.RateLimitError),
        ("status-500", (litellm.InternalServerError, litellm.BadGatewayError)),
    ]

    def test_a_stream_that_breaks_raises(self):
        for dialect in DIALECTS:
            with self.subTest(dialect):
                for script in ["error-mid-stream", "truncated"]:
                    with self.subTest(script), self.assertRaises(openai.APIError):
                        list(self.ask(dialect, script, stream=True))


class LiteLLMEmbeds:
    def test_texts_are_embedded(self):
        answer = litellm.embedding(
            model=f"openai/{self.vectors}",
            input=["high tide", "low tide"],
            api_base=f"{self.address()}/v1",
            api_key="client-key",
            encoding_format="float",
        )
        self.assertEqual([item["index"] for item in answer.data], [0, 1])
        self.assertNotEqual(answer.data[0]["embedding"], answer.data[1]["embedding"])


class LlamaIndex(Case):
    def llm(self, script="echo", **options):
        return OpenAILike(
            model=self.behind.model(script),
            api_base=f"{self.address()}/v1",
            api_key="client-key",
            is_chat_model=True,
            is_function_calling_model=True,
            max_retries=0,
            **options,
        )

    def test_a_text_is_completed(self):
        self.assertEqual(self.llm().complete("hello there").text, "hello there")

    def test_a_chat_is_answered(self):
        messages = [ChatMessage(role="system", content="You keep a harbour."), ChatMessage("hello there")]
        self.assertEqual(self.llm().chat(messages).message.content, "hello there")
        heard = stage.journal(self.upstream)[-1]["body"]
        self.assertEqual(self.behind.system(heard), ["You keep a harbour."])

    def test_a_chat_is_streamed(self):
        answers = list(self.llm().stream_chat([ChatMessage("hello there")]))
        self.assertEqual("".join(answer.delta or "" for answer in answers), "hello there")
        self.assertEqual(answers[-1].message.content, "hello there")

    def test_many_are_asked_at_once(self):
        async def together():
            # A client that outlives the loop of its calls complains when it is closed.
            llm = self.llm(reuse_client=False)
            return await asyncio.gather(*(llm.acomplete(f"tide {number}") for number in range(20)))

        said = [answer.text for answer in asyncio.run(together())]
        self.assertEqual(said, [f"tide {number}" for number in range(20)])

    def test_a_tool_is_called(self):
        def look_up(word: str) -> str:
            """Looks a word up."""
            return word

        llm, tool = self.llm("tools"), FunctionTool.from_defaults(look_up)
        answer = llm.chat_with_tools([tool], user_msg="hello", allow_parallel_tool_calls=True)
        (call,) = llm.get_tool_calls_from_response(answer)
        self.assertEqual((call.tool_name, call.tool_kwargs), ("look_up", {"word": "tide"}))


class LlamaIndexEmbeds:
    def test_texts_are_embedded(self):
        model = OpenAIEmbedding(
            model_name=self.vectors, api_base=f"{self.address()}/v1", api_key="client-key", max_retries=0
        )
        vectors = model.get_text_embedding_batch(["high tide", "low tide"])
        self.assertEqual(len(vectors), 2)
        self.assertNotEqual(*vectors)


class Instructor(Case):
    """A structured answer, through either of the gateway's dialects."""

    def client(self, dialect, mode=instructor.Mode.TOOLS):
        options = {"api_key": "client-key", "max_retries": 0}
        if dialect == "openai":
            client = openai.OpenAI(base_url=f"{self.address()}/v1", **options)
            self.addCleanup(client.close)
            return instructor.from_openai(client, mode=mode)
        client = anthropic.Anthropic(base_url=self.address(), **options)
        self.addCleanup(client.close)
        return instructor.from_anthropic(client, mode=mode)

    def fields(self):
        model = self.behind.model("echo")
        return {"model": model, "messages": HELLO, "max_tokens": 500, "max_retries": 0}

    def test_a_tool_brings_the_structure(self):
        for dialect in DIALECTS:
            with self.subTest(dialect):
                create = self.client(dialect).chat.completions.create
                answer = create(response_model=Tide, **self.fields())
                self.assertIsInstance(answer, Tide)
                self.assertEqual(answer.model_dump(), HIGH)

    def test_a_structure_is_streamed_as_it_grows(self):
        for dialect in DIALECTS:
            with self.subTest(dialect):
                create = self.client(dialect).chat.completions.create_partial
                *_, last = create(response_model=Tide, **self.fields())
                self.assertEqual(last.model_dump(), HIGH)

    def test_a_schema_brings_the_structure(self):
        client = self.client("openai", instructor.Mode.JSON_SCHEMA)
        answer = client.chat.completions.create(response_model=Tide, **self.fields())
        self.assertEqual(answer.model_dump(), HIGH)


class OpenAIBehind:
    behind = dialects.OpenAI()
    vectors = "m"


class AnthropicBehind:
    behind = dialects.Anthropic()


class BedrockBehind:
    behind = dialects.Bedrock()
    vectors = "cohere.embed-english-v3"
    errors = [
        ("validation", litellm.BadRequestError),
        ("missing", litellm.NotFoundError),
        ("throttled", litellm.RateLimitError),
        ("internal", (litellm.InternalServerError, litellm.BadGatewayError)),
    ]


class LiteLLMBeforeOpenAI(OpenAIBehind, LiteLLMEmbeds, LiteLLM, unittest.TestCase):
    pass


class LiteLLMBeforeAnthropic(AnthropicBehind, LiteLLM, unittest.TestCase):
    pass


class LiteLLMBeforeBedrock(BedrockBehind, LiteLLMEmbeds, LiteLLM, unittest.TestCase):
    pass


class LlamaIndexBeforeOpenAI(OpenAIBehind, LlamaIndexEmbeds, LlamaIndex, unittest.TestCase):
    pass


class LlamaIndexBeforeAnthropic(AnthropicBehind, LlamaIndex, unittest.TestCase):
    pass


class LlamaIndexBeforeBedrock(BedrockBehind, LlamaIndexEmbeds, LlamaIndex, unittest.TestCase):
    pass


class InstructorBeforeOpenAI(OpenAIBehind, Instructor, unittest.TestCase):
    pass


class InstructorBeforeAnthropic(AnthropicBehind, Instructor, unittest.TestCase):
    pass


class InstructorBeforeBedrock(BedrockBehind, Instructor, unittest.TestCase):
    pass


if __name__ == "__main__":
    stage.run(
        f"litellm {version('litellm')}",
        f"llama-index-llms-openai-like {version('llama-index-llms-openai-like')}",
        f"instructor {instructor.__version__}",
        f"openai {openai.__version__}",
        f"anthropic {anthropic.__version__}",
    )
