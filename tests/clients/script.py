"""What the scripted upstreams say, whatever their dialect.

The word in a model's name says what happens; what is said follows from the
question alone, so that a test can foresee it.
"""

import hashlib
import json
from dataclasses import dataclass, field

# The arguments of a tool follow from its schema.
SAMPLES = {"string": "tide", "integer": 7, "number": 6.5, "boolean": True, "null": None}
THOUGHT = "The tide turns twice a day."


@dataclass
class Ask:
    """A question, freed of its dialect."""

    script: str
    said: str  # the texts of the last user turn
    results: list  # the texts of the tool results of the last turn
    tools: dict  # name to schema
    choice: str = "auto"  # auto, any, none, or `tool:NAME`
    parallel: bool = True
    thinking: bool = False
    max_tokens: int = 1 << 20
    stops: list = field(default_factory=list)
    words: int = 0  # in the whole question
    schema: dict = None  # of the value that the answer must be


@dataclass
class Answer:
    """Blocks in order, each a dict whose only key says what it is."""

    blocks: list
    reason: str  # end_turn, max_tokens, stop_sequence, tool_use, …
    stop: str = None  # the sequence that was met

    def words(self):
        return sum(words(str(said)) for block in self.blocks for said in block.values()) or 1


def words(said):
    return len(said.split())


def signature(thought):
    """Stands in for the seal that a provider puts on a thought."""
    return hashlib.sha256(f"seal {thought}".encode()).hexdigest()


def play(ask):
    """The answer of an upstream that has nothing wrong with it."""
    blocks = [{"thinking": THOUGHT}] if ask.thinking else []
    if ask.script.startswith("redacted") and ask.thinking:
        blocks = [{"redacted": "c2VhbGVk"}]
    called = calls(ask)
    if called:
        return Answer([*blocks, {"text": "Looking it up."}, *called], "tool_use")
    said = "the tool said: " + "; ".join(ask.results) if ask.results else ask.said
    if ask.schema:
        said = json.dumps(sample(ask.schema))
    reason, said, stop = cut(ask, said)
    if ask.script.startswith("stop-"):
        reason = ask.script.removeprefix("stop-").replace("-", "_")
    return Answer(blocks + ([{"text": said}] if said else []), reason, stop)


def cut(ask, said):
    """As much as the stop sequences and the maximum leave."""
    found = [(said.find(stop), stop) for stop in ask.stops if stop in said]
    if found:
        at, stop = min(found)
        said, reason = said[:at], "stop_sequence"
    else:
        stop, reason = None, "end_turn"
    if words(said) > ask.max_tokens:
        return "max_tokens", " ".join(said.split()[: ask.max_tokens]), None
    return reason, said, stop


def calls(ask):
    wants = ask.choice not in ("auto", "none") or ask.script.startswith(("tools", "thinking-tools"))
    if not ask.tools or ask.choice == "none" or not wants or ask.results:
        return []
    names = list(ask.tools)
    if ask.choice.startswith("tool:"):
        names = [ask.choice.removeprefix("tool:")]
    elif not (ask.parallel and ask.script.startswith("tools-parallel")):
        names = names[:1]
    return [
        {"call": f"toolu_{number:02}", "name": name, "input": sample(ask.tools[name])}
        for number, name in enumerate(names, 1)
    ]


def sample(schema, root=None):
    """A value that fits a JSON schema."""
    root = root or schema
    if "$ref" in schema:
        found = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return sample(found, root)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], root)
    if schema.get("type") == "array":
        return [sample(schema.get("items", {"type": "string"}), root)]
    if schema.get("type") == "object" or "properties" in schema:
        return {name: sample(each, root) for name, each in schema.get("properties", {}).items()}
    return SAMPLES[schema.get("type", "string")]


def parts(said, length=7):
    """A text as a stream brings it."""
    return [said[at : at + length] for at in range(0, len(said), length)] or [""]
