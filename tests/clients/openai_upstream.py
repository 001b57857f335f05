"""An upstream in OpenAI's dialect: `python openai_upstream.py [PORT]`.

`tidegate mock` speaks that dialect too and takes whatever comes; this one
refuses whatever the documents of Chat Completions do not allow, so that a
wrong conversion is seen. The model's name says what happens, after `gpt-`:

    echo, tools, tools-parallel, stop-REASON
                         as with the other upstreams, see script.py
    cache                counts tokens that were read from a cache
    status-NNN           an error of that status; once-NNN only at the first call
    rate-limited-N       429 with a retry-after of N seconds
    truncated, cut       ends in the middle, or breaks the connection
    error-first          a stream that turns into an error before its first content
    error-mid-stream     the same after content
    novel                fields that nobody knows yet
    garbage              200 with bytes that mean nothing
"""

import base64
import hashlib
import json
import re
import struct
import sys

import script
from shape import (
    Wrong,
    anything,
    array,
    boolean,
    fields,
    mapping,
    number,
    one_of,
    or_null,
    string_or,
    tagged,
    text,
)
from upstream import Reply, Upstream, as_json

KEY = "upstream-openai-key"
NAME = re.compile(r"(?:gpt-)?(.+)")
SCRIPTS = re.compile(
    r"echo|tools(-parallel)?|cache|stop-[a-z-]+|status-\d{3}|once-\d{3}|rate-limited-\d+"
    r"|truncated|cut|error-first|error-mid-stream|novel|garbage"
)
TYPES = {401: "invalid_request_error", 429: "requests", 500: "server_error", 503: "server_error"}
REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
}

# What a request may look like.

URL = re.compile(r"https?://.+|data:image/(jpeg|png|gif|webp);base64,(.+)")


def image_url(value, path):
    text(least=1)(value, path)
    found = URL.fullmatch(value)
    try:
        base64.b64decode((found and found[2]) or "", validate=True)
    except ValueError:
        found = None
    if not found:
        raise Wrong(path, "Expected a base64-encoded data URL with an image, or a URL")


TEXT = fields({"type": anything, "text": text()})
IMAGE = fields(
    {
        "type": anything,
        "image_url": fields({"url": image_url}, {"detail": one_of("auto", "low", "high")}),
    }
)
PDF = fields({"type": anything, "file": fields({}, {"filename": text(), "file_data": text(), "file_id": text()})})
TEXTS = string_or(array(tagged("type", {"text": TEXT}), least=1))
CALL = fields(
    {
        "id": text(least=1),
        "type": one_of("function"),
        "function": fields(
            {"name": text("[a-zA-Z0-9_-]{1,64}"), "arguments": text()},
            {"parsed_arguments": or_null(mapping)},
        ),
    },
    # The client's helper for streams adds this and `parsed_arguments`.
    {"index": number(0, whole=True)},
)
NAMED = {"name": text()}
MESSAGE = tagged(
    "role",
    {
        "system": fields({"role": anything, "content": TEXTS}, NAMED),
        "developer": fields({"role": anything, "content": TEXTS}, NAMED),
        "user": fields(
            {
                "role": anything,
                "content": string_or(
                    array(tagged("type", {"text": TEXT, "image_url": IMAGE, "file": PDF}), least=1)
                ),
            },
            NAMED,
        ),
        "assistant": fields(
            {"role": anything},
            {
                "content": or_null(TEXTS),
                "refusal": or_null(text()),
                "tool_calls": or_null(array(CALL, least=1)),
                # What answers hold goes back with them, and changes nothing.
                "annotations": or_null(array(mapping)),
                "audio": or_null(mapping),
                "function_call": or_null(mapping),
                "parsed": or_null(mapping),
                # LiteLLM adds it to every answer, and OpenAI lets it be.
                "provider_specific_fields": or_null(mapping),
                **NAMED,
            },
        ),
        "tool": fields({"role": anything, "content": TEXTS, "tool_call_id": text(least=1)}),
    },
)
FUNCTION = fields(
    {"name": text("[a-zA-Z0-9_-]{1,64}")},
    {"description": text(), "parameters": mapping, "strict": or_null(boolean)},
)
CHOICE = tagged("type", {"function": fields({"type": anything, "function": fields({"name": text()})})})
FORMAT = tagged(
    "type",
    {
        "text": fields({"type": anything}),
        "json_object": fields({"type": anything}),
        "json_schema": fields(
            {
                "type": anything,
                "json_schema": fields(
                    {"name": text("[a-zA-Z0-9_-]{1,64}")},
                    {"schema": mapping, "strict": or_null(boolean), "description": text()},
                ),
            }
        ),
    },
)
REQUEST = fields(
    {"model": text(least=1), "messages": array(MESSAGE, least=1)},
    {
        "stream": or_null(boolean),
        "stream_options": or_null(fields({}, {"include_usage": boolean, "include_obfuscation": boolean})),
        "max_tokens": or_null(number(1, whole=True)),
        "max_completion_tokens": or_null(number(1, whole=True)),
        "temperature": or_null(number(0, 2)),
        "top_p": or_null(number(0, 1)),
        "n": or_null(number(1, 1, whole=True)),
        "stop": or_null(string_or(array(text(), least=1))),
        "tools": array(fields({"type": one_of("function"), "function": FUNCTION}), least=1),
        "tool_choice": lambda value, path: (
            one_of("none", "auto", "required") if isinstance(value, str) else CHOICE
        )(value, path),
        "parallel_tool_calls": boolean,
        "response_format": FORMAT,
        "reasoning_effort": or_null(one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")),
        "seed": or_null(number(whole=True)),
        "presence_penalty": or_null(number(-2, 2)),
        "frequency_penalty": or_null(number(-2, 2)),
        "logprobs": or_null(boolean),
        "user": text(),
        "metadata": or_null(mapping),
        "service_tier": or_null(text()),
        "store": or_null(boolean),
    },
)


def check_request(body):
    """Raises `Wrong` where the request is none that the API takes."""
    REQUEST(body, "")
    names = [tool["function"]["name"] for tool in body.get("tools", [])]
    for field in ("tool_choice", "parallel_tool_calls"):
        if field in body and not names:
            raise Wrong(field, "is only allowed when 'tools' are specified")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["function"]["name"] not in names:
        raise Wrong("tool_choice", f"Tool choice {choice['function']['name']!r} not found in 'tools' parameter")
    if body.get("stream_options") and not body.get("stream"):
        raise Wrong("stream_options", "is only allowed when 'stream' is enabled")
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise Wrong("max_tokens", "cannot be set together with 'max_completion_tokens'")
    stop = body.get("stop") or []
    if isinstance(stop, list) and len(stop) > 4:
        raise Wrong("stop", "at most 4 sequences")
    check_calls(body["messages"])


def check_calls(messages):
    """After the calls of a message come their results, all of them, at once."""
    open_calls = []
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                raise Wrong(
                    path, "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
                )
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            raise Wrong(
                path,
                "An assistant message with 'tool_calls' must be followed by tool messages responding to"
                f" each 'tool_call_id': {', '.join(open_calls)}",
            )
        open_calls = [call["id"] for call in message.get("tool_calls") or []]
        if message["role"] == "assistant" and not open_calls and not message.get("content"):
            raise Wrong(path, "an assistant message needs content or tool_calls")
        for call in message.get("tool_calls") or []:
            check_arguments(call, path)
    if open_calls:
        raise Wrong("messages", f"no tool messages for {', '.join(open_calls)}")


def check_arguments(call, path):
    try:
        mapping(json.loads(call["function"]["arguments"]), path)
    except json.JSONDecodeError:
        raise Wrong(path, "the arguments of a call are not JSON") from None


# What is answered.


def texts(content):
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or [] if part["type"] == "text")


def ask_of(body, name):
    messages = body["messages"]
    at = len(messages)
    while messages[at - 1]["role"] == "tool":
        at -= 1
    choice = body.get("tool_choice", "auto")
    stop = body.get("stop") or []
    functions = [tool["function"] for tool in body.get("tools", [])]
    return script.Ask(
        script=name,
        said=texts(messages[-1].get("content")),
        results=[texts(message["content"]) for message in messages[at:]],
        tools={each["name"]: each.get("parameters", {"type": "object"}) for each in functions},
        choice=f"tool:{choice['function']['name']}"
        if isinstance(choice, dict)
        else {"required": "any"}.get(choice, choice),
        parallel=body.get("parallel_tool_calls", True),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens") or 4096,
        stops=[stop] if isinstance(stop, str) else stop,
        words=script.words(json.dumps(messages)),
        schema=body.get("response_format", {}).get("json_schema", {}).get("schema"),
    )


def message_of(answer):
    said = "".join(block["text"] for block in answer.blocks if "text" in block)
    message = {"role": "assistant", "content": said or None, "refusal": None, "annotations": []}
    calls = [
        {
            "id": block["call"],
            "type": "function",
            "function": {"name": block["name"], "arguments": json.dumps(block["input"])},
        }
        for block in answer.blocks
        if "call" in block
    ]
    return message | ({"tool_calls": calls} if calls else {})


def usage_of(ask, answer):
    prompt, completion = ask.words + 7, answer.words()
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 7 if ask.script == "cache" else 0},
    }


def chunks(body, ask, answer):
    """The chunks of a stream, each as JSON; a fault is one of them."""
    head = {"id": "chatcmpl-tidal", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    message, reason = message_of(answer), REASONS.get(answer.reason, answer.reason)
    deltas = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"content": part} for part in script.parts(message["content"] or "") if part]
    for index, call in enumerate(message.get("tool_calls", [])):
        named = call | {"function": {"name": call["function"]["name"], "arguments": ""}}
        deltas.append({"tool_calls": [{"index": index} | named]})
        for part in script.parts(call["function"]["arguments"]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    faults = {"error-first": 1, "error-mid-stream": 2, "truncated": 2, "cut": 2}
    until = faults.get(ask.script)
    wants_usage = (body.get("stream_options") or {}).get("include_usage")
    extra = {"usage": None} if wants_usage else {}
    extra |= {"tide": 6.5} if ask.script == "novel" else {}
    for delta in deltas[:until]:
        yield head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} | extra
    if ask.script.startswith("error-"):
        yield error_object(500, "the model failed")
    if until:
        return
    yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]} | extra
    if wants_usage:
        yield head | {"choices": [], "usage": usage_of(ask, answer)}


def error_object(status, message, code=None, param=None):
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refuse(status, message, code=None, param=None, headers=None):
    return as_json(status, error_object(status, message, code, param), headers)


def told(name, calls):
    """The error that the model's name asks for."""
    word, _, detail = name.rpartition("-")
    if word == "rate-limited":
        return refuse(429, "Rate limit reached", "rate_limit_exceeded", None, {"retry-after": detail})
    if word == "status" or (word == "once" and calls == 1):
        return refuse(int(detail), f"the upstream answers with status {detail}")
    if name == "garbage":
        return Reply(200, b"\x00\x01 no json", {"content-type": "application/json"})
    return None


def dialect(request, calls):
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return refuse(401, "Incorrect API key provided", "invalid_api_key")
    answers = {"/v1/chat/completions": chat, "/v1/embeddings": embed, "/v1/completions": complete}
    if request.path not in answers:
        return refuse(404, f"Invalid URL (POST {request.path})")
    try:
        request.heard = json.loads(request.body)
        return answers[request.path](request.heard, calls)
    except json.JSONDecodeError:
        return refuse(400, "We could not parse the JSON body of your request.")
    except Wrong as wrong:
        return refuse(400, str(wrong), None, wrong.path)


def chat(body, calls):
    check_request(body)
    model = body["model"]
    name = NAME.fullmatch(model)[1]
    if not SCRIPTS.fullmatch(name):
        return refuse(404, f"The model `{model}` does not exist", "model_not_found")
    return told(name, calls(model)) or answer(body, name)


def answer(body, name):
    ask = ask_of(body, name)
    said = script.play(ask)
    if body.get("stream"):
        events = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks(body, ask, said)]
        if name not in ("truncated", "cut"):
            events.append(b"data: [DONE]\n\n")
        return Reply(200, events, {"content-type": "text/event-stream"}, cut=name == "cut")
    choice = {"index": 0, "message": message_of(said), "logprobs": None}
    whole = {
        "id": "chatcmpl-tidal",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice | {"finish_reason": REASONS.get(said.reason, said.reason)}],
        "usage": usage_of(ask, said),
    }
    if name == "novel":
        whole["tide"] = choice["tide"] = 6.5
    reply = as_json(200, whole, cut=name == "cut")
    if name in ("truncated", "cut"):
        reply.body = reply.body[: len(reply.body) // 2]
    return reply


TOKENS = array(number(0, whole=True), least=1)
EMBED = fields(
    {"model": text(least=1), "input": anything},
    {
        "encoding_format": one_of("float", "base64"),
        "dimensions": number(1, whole=True),
        "user": text(),
    },
)


def vector(said, length):
    seed = hashlib.sha256(said.encode()).digest()
    return [seed[at % 32] / 256 for at in range(length)]


def embed(body, _):
    EMBED(body, "")
    given = body["input"]
    if isinstance(given, str):
        given = [given]
    elif given and isinstance(given[0], int):
        TOKENS(given, "input")
        given = [given]
    items = []
    for index, each in enumerate(given):
        numbers = vector(str(each), body.get("dimensions", 8))
        if body.get("encoding_format") == "base64":
            numbers = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        items.append({"object": "embedding", "index": index, "embedding": numbers})
    count = sum(script.words(str(each)) for each in given)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return as_json(200, {"object": "list", "model": body["model"], "data": items, "usage": usage})


COMPLETE = fields(
    {"model": text(least=1), "prompt": text()},
    {
        "max_tokens": or_null(number(1, whole=True)),
        "temperature": or_null(number(0, 2)),
        "stop": or_null(string_or(array(text()))),
        "stream": or_null(boolean),
        "stream_options": or_null(mapping),
        "suffix": or_null(text()),
        "echo": or_null(boolean),
        "seed": or_null(number(whole=True)),
        "top_p": or_null(number(0, 1)),
        "n": or_null(number(1, 1, whole=True)),
    },
)


def complete(body, calls):
    COMPLETE(body, "")
    head = {"id": "cmpl-tidal", "object": "text_completion", "created": 1, "model": body["model"]}
    usage = {"prompt_tokens": script.words(body["prompt"]), "completion_tokens": 1, "total_tokens": 1}
    usage["total_tokens"] += usage["prompt_tokens"]
    refused = told(NAME.fullmatch(body["model"])[1], calls(body["model"]))
    if refused:
        return refused

    def choice(said, reason):
        return {"choices": [{"index": 0, "text": said, "logprobs": None, "finish_reason": reason}]}

    if not body.get("stream"):
        return as_json(200, head | choice(body["prompt"], "stop") | {"usage": usage})
    said = [head | choice(part, None) for part in script.parts(body["prompt"])]
    said.append(head | choice("", "stop"))
    events = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in said]
    return Reply(200, [*events, b"data: [DONE]\n\n"], {"content-type": "text/event-stream"})


if __name__ == "__main__":
    Upstream(dialect, *map(int, sys.argv[1:])).serve()
