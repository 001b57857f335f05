"""What programs that use LangChain may rely on, whichever dialect the upstream speaks."""

import asyncio
import unittest
from importlib.metadata import version

import openai
import stage
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

import dialects


class Tide(BaseModel):
    """When the water comes."""

    harbour: str
    metres: float


@tool
def look_up(word: str, days: int) -> str:
    """Looks a word up."""
    return f"{word} for {days} days"


class Case:
    behind = None

    def setUp(self):
        self.upstream = stage.upstreams()[self.behind.name]
        stage.reset(self.upstream)

    def base(self):
        return f"http://{stage.home(self.behind.name).address}/v1"

    def model(self, script="echo", **options):
        return ChatOpenAI(
            model=self.behind.model(script),
            base_url=self.base(),
            api_key="client-key",
            max_retries=0,
            use_responses_api=False,
            **options,
        )

    def heard(self):
        return stage.journal(self.upstream)[-1]["body"]

    def test_a_model_is_invoked(self):
        answer = self.model().invoke([SystemMessage("You keep a harbour."), HumanMessage("hello there")])
        self.assertEqual(answer.content, "hello there")
        self.assertEqual(answer.response_metadata["finish_reason"], "stop")
        self.assertEqual(answer.usage_metadata["output_tokens"], 2)
        self.assertEqual(self.behind.system(self.heard()), ["You keep a harbour."])

    def test_an_answer_is_streamed(self):
        chunks = list(self.model(stream_usage=True).stream("hello there"))
        said = [chunk.content for chunk in chunks if chunk.content]
        self.assertGreater(len(said), 1)
        self.assertEqual("".join(said), "hello there")
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        self.assertEqual(whole.usage_metadata["output_tokens"], 2)

    def test_many_are_asked_at_once(self):
        given = [f"tide {number}" for number in range(20)]
        answers = asyncio.run(self.model().abatch(given))
        self.assertEqual([answer.content for answer in answers], given)

    def test_a_bound_tool_is_called_and_answered(self):
        model = self.model("tools").bind_tools([look_up])
        for first in [model.invoke("hello"), sum_of(model.stream("hello"))]:
            (call,) = first.tool_calls
            self.assertEqual((call["name"], call["args"]), ("look_up", {"word": "tide", "days": 7}))
            said = look_up.invoke(call)
            self.assertIsInstance(said, ToolMessage)
            answer = model.invoke([HumanMessage("hello"), first, said])
            self.assertEqual(answer.content, "the tool said: tide for 7 days")

    def test_an_answer_has_the_structure_that_was_asked_for(self):
        for method in ["function_calling", "json_schema"]:
            with self.subTest(method):
                model = self.model("echo").with_structured_output(Tide, method=method, strict=None)
                self.assertEqual(model.invoke("hello"), Tide(harbour="tide", metres=6.5))

    def test_what_breaks_raises(self):
        for script, expected in self.errors:
            with self.subTest(script), self.assertRaises(expected):
                self.model(script).invoke("hello")
        for script in ["error-mid-stream", "truncated", "cut"]:
            with self.subTest(script), self.assertRaises(openai.APIError):
                list(self.model(script).stream("hello"))

    errors = [
        ("status-400", openai.BadRequestError),
        ("status-404", openai.NotFoundError),
        ("status-429", openai.RateLimitError),
        ("status-500", openai.InternalServerError),
    ]


class Embeds(Case):
    vectors = "m"

    def test_texts_are_embedded(self):
        embeddings = OpenAIEmbeddings(
            model=self.vectors,
            base_url=self.base(),
            api_key="client-key",
            max_retries=0,
            check_embedding_ctx_length=False,
        )
        vectors = embeddings.embed_documents(["high tide", "low tide"])
        self.assertEqual(len(vectors), 2)
        for one, other in zip(vectors[1], embeddings.embed_query("low tide"), strict=True):
            self.assertAlmostEqual(one, other, places=6)


def sum_of(chunks):
    first, *rest = chunks
    for chunk in rest:
        first += chunk
    return first


class BeforeOpenAI(Embeds, unittest.TestCase):
    behind = dialects.OpenAI()


class BeforeAnthropic(Case, unittest.TestCase):
    behind = dialects.Anthropic()


class BeforeBedrock(Embeds, unittest.TestCase):
    behind = dialects.Bedrock()
    vectors = "cohere.embed-english-v3"
    errors = [
        ("validation", openai.BadRequestError),
        ("missing", openai.NotFoundError),
        ("throttled", openai.RateLimitError),
        ("internal", openai.InternalServerError),
    ]


if __name__ == "__main__":
    stage.run(f"langchain-openai {version('langchain-openai')}", f"openai {openai.__version__}")
