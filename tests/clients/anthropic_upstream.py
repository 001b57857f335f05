"""An upstream in Anthropic's dialect: `python anthropic_upstream.py [PORT]`.

It refuses whatever the documents of the Messages API do not allow, so that a
wrong conversion is seen. The model's name says what happens, after `claude-`:

    echo                 the last user turn again
    tools                calls the first tool; tools-parallel calls every one
    thinking-…, redacted thinks where the request asks for it
    cache                counts tokens that were read from and written to a cache
    stop-REASON          ends with that reason
    status-NNN           an error of that status; once-NNN only at the first call
    rate-limited-N       429 with a retry-after of N seconds
    truncated            ends in the middle as if that were the end; cut breaks the connection
    error-first          a stream that turns into an error before its first content
    error-mid-stream     the same after content
    novel                events, blocks and fields that nobody knows yet
    garbage              200 with bytes that mean nothing
"""

import base64
import binascii
import json
import re
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

KEY = "upstream-anthropic-key"
OLD, NEW = "2023-06-01", "2026-10-21"
# Removed with the new version, even at their default values.
SAMPLING = ("temperature", "top_p", "top_k")
NAME = re.compile(r"(?:claude-)?(.+)")
SCRIPTS = re.compile(
    r"echo|tools(-parallel)?|thinking(-tools)?|redacted|cache|stop-[a-z-]+|status-\d{3}|once-\d{3}"
    r"|rate-limited-\d+|truncated|cut|error-first|error-mid-stream|novel|garbage"
)
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}

# What a request may look like.

CACHE = or_null(fields({"type": one_of("ephemeral")}, {"ttl": one_of("5m", "1h")}))
ID = text(r"[a-zA-Z0-9_-]+")
TEXT = fields(
    {"type": anything, "text": text()}, {"cache_control": CACHE, "citations": or_null(array(mapping))}
)


def base64_text(value, path):
    text(least=1)(value, path)
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        raise Wrong(path, "Invalid base64 data") from None


IMAGE_SOURCE = tagged(
    "type",
    {
        "base64": fields(
            {
                "type": anything,
                "media_type": one_of("image/jpeg", "image/png", "image/gif", "image/webp"),
                "data": base64_text,
            }
        ),
        "url": fields({"type": anything, "url": text("https?://.+")}),
    },
)
DOCUMENT_SOURCE = tagged(
    "type",
    {
        "base64": fields(
            {"type": anything, "media_type": one_of("application/pdf"), "data": base64_text}
        ),
        "text": fields({"type": anything, "media_type": one_of("text/plain"), "data": text()}),
        "url": fields({"type": anything, "url": text("https?://.+")}),
    },
)
IMAGE = fields({"type": anything, "source": IMAGE_SOURCE}, {"cache_control": CACHE})
DOCUMENT = fields(
    {"type": anything, "source": DOCUMENT_SOURCE},
    {
        "cache_control": CACHE,
        "citations": or_null(mapping),
        "context": or_null(text()),
        "title": or_null(text()),
    },
)
TOOL_USE = fields(
    {"type": anything, "id": ID, "name": text(least=1), "input": mapping},
    {"cache_control": CACHE, "caller": mapping},
)
TOOL_RESULT = fields(
    {"type": anything, "tool_use_id": ID},
    {
        "content": string_or(array(tagged("type", {"text": TEXT, "image": IMAGE, "document": DOCUMENT}))),
        "is_error": boolean,
        "cache_control": CACHE,
    },
)
THINKING = fields({"type": anything, "thinking": text(), "signature": text()})
REDACTED = fields({"type": anything, "data": text(least=1)})
USER = {"text": TEXT, "image": IMAGE, "document": DOCUMENT, "tool_result": TOOL_RESULT}
ASSISTANT = {
    "text": TEXT,
    "tool_use": TOOL_USE,
    "thinking": THINKING,
    "redacted_thinking": REDACTED,
}
MESSAGE = tagged(
    "role",
    {
        role: fields({"role": anything, "content": string_or(array(tagged("type", blocks)))})
        for role, blocks in [("user", USER), ("assistant", ASSISTANT)]
    },
)


def object_schema(value, path):
    mapping(value, path)
    if value.get("type") != "object":
        raise Wrong(f"{path}.type", "Input should be 'object'")


TOOL = fields(
    {"name": text("[a-zA-Z0-9_-]{1,128}"), "input_schema": object_schema},
    {
        "type": or_null(one_of("custom")),
        "description": text(),
        "cache_control": CACHE,
        "strict": boolean,
        "eager_input_streaming": or_null(boolean),
    },
)
ONE_AT_A_TIME = {"disable_parallel_tool_use": boolean}
TOOL_CHOICE = tagged(
    "type",
    {
        "auto": fields({"type": anything}, ONE_AT_A_TIME),
        "any": fields({"type": anything}, ONE_AT_A_TIME),
        "tool": fields({"type": anything, "name": text(least=1)}, ONE_AT_A_TIME),
        "none": fields({"type": anything}),
    },
)
DISPLAY = {"display": or_null(one_of("summarized", "omitted"))}
THINKING_CONFIG = tagged(
    "type",
    {
        "enabled": fields({"type": anything, "budget_tokens": number(1024, whole=True)}, DISPLAY),
        "adaptive": fields({"type": anything}, DISPLAY),
        "disabled": fields({"type": anything}),
    },
)
REQUEST = fields(
    {
        "model": text(least=1),
        "max_tokens": number(1, whole=True),
        "messages": array(MESSAGE, least=1),
    },
    {
        "system": string_or(array(tagged("type", {"text": TEXT}))),
        "metadata": fields({}, {"user_id": or_null(text())}),
        "stop_sequences": array(text(r"[\s\S]*\S[\s\S]*")),
        "stream": boolean,
        "temperature": number(0, 1),
        "top_k": number(0, whole=True),
        "top_p": number(0, 1),
        "thinking": THINKING_CONFIG,
        "tools": array(TOOL),
        "tool_choice": TOOL_CHOICE,
        "service_tier": one_of("auto", "standard_only"),
        "cache_control": CACHE,
        "output_config": fields(
            {},
            {
                "effort": or_null(one_of("low", "medium", "high", "xhigh", "max")),
                "format": or_null(
                    fields({"type": one_of("json_schema"), "schema": object_schema}),
                ),
            },
        ),
    },
)


def blocks_of(message):
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def check_request(body, version):
    """Raises `Wrong` where the request is none that the API takes."""
    REQUEST(body, "")
    if version == NEW:
        check_new(body)
    check_tools(body)
    check_thinking(body)
    if body["messages"][0]["role"] != "user":
        raise Wrong("messages.0.role", "first message must use the user role")
    turns = []
    for index, message in enumerate(body["messages"]):
        check_content(body, index, message)
        # Turns of the same role that follow one another are taken as one.
        if turns and turns[-1][0] == message["role"]:
            turns[-1][1].extend(blocks_of(message))
        else:
            turns.append((message["role"], list(blocks_of(message)), index))
    check_turns(turns)
    if body.get("thinking", {}).get("type") == "enabled":
        check_thoughts(turns)
    return turns


def check_new(body):
    """What the old version of the API still took."""
    for name in SAMPLING:
        if name in body:
            raise Wrong(name, "Extra inputs are not permitted")
    for index, message in enumerate(body["messages"]):
        for number, block in enumerate(blocks_of(message)):
            if message["role"] == "user" and block.get("citations") and block["type"] == "text":
                raise Wrong(f"messages.{index}.content.{number}.citations", "not allowed in a user turn")


def check_tools(body):
    names = [tool["name"] for tool in body.get("tools", [])]
    if len(names) != len(set(names)):
        raise Wrong("tools", "Tool names must be unique")
    choice = body.get("tool_choice")
    if choice and not names:
        raise Wrong("tool_choice", "may only be specified while providing tools")
    if choice and choice["type"] == "tool" and choice["name"] not in names:
        raise Wrong("tool_choice", f"Tool '{choice['name']}' not found in provided tools")
    cached = json.dumps(body).count('"cache_control": {')
    if cached > 4:
        raise Wrong("", f"A maximum of 4 blocks with cache_control may be provided. Found {cached}")


def check_thinking(body):
    thinking = body.get("thinking", {"type": "disabled"})
    if thinking["type"] == "disabled":
        return
    if thinking.get("budget_tokens", 0) >= body["max_tokens"]:
        raise Wrong("", "`max_tokens` must be greater than `thinking.budget_tokens`")
    if body.get("temperature", 1) != 1:
        raise Wrong("temperature", "may only be set to 1 when thinking is enabled")
    if "top_k" in body:
        raise Wrong("top_k", "must be unset when thinking is enabled")
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        raise Wrong("", "Thinking may not be enabled when tool_choice forces tool use")


def check_content(body, index, message):
    last = index == len(body["messages"]) - 1
    path = f"messages.{index}"
    blocks = blocks_of(message)
    if not (last and message["role"] == "assistant"):
        if not blocks or message["content"] == "":
            raise Wrong(path, "all messages must have non-empty content")
    for number, block in enumerate(blocks):
        if block["type"] == "text" and message["content"] and not block["text"].strip():
            raise Wrong(f"{path}.content.{number}", "text content blocks must be non-empty")
        if block["type"] == "thinking" and block["signature"] != script.signature(block["thinking"]):
            raise Wrong(f"{path}.content.{number}", "Invalid `signature` in `thinking` block")
    if last and message["role"] == "assistant":
        if blocks and blocks[-1].get("text", "x") != blocks[-1].get("text", "x").rstrip():
            raise Wrong(path, "final assistant content cannot end with trailing whitespace")


def check_turns(turns):
    """Every call has its result in the very next turn, and every result its call."""
    asked = []
    for role, blocks, index in turns:
        path = f"messages.{index}"
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        kinds = [block["type"] == "tool_result" for block in blocks]
        if kinds != sorted(kinds, reverse=True):
            raise Wrong(path, "`tool_result` blocks must come first in the content of a turn")
        for id in results:
            if id not in asked:
                raise Wrong(path, f"unexpected `tool_use_id` found in `tool_result` blocks: {id}")
        missing = [id for id in asked if id not in results]
        if missing:
            raise Wrong(
                path,
                "`tool_use` ids were found without `tool_result` blocks immediately after: "
                + ", ".join(missing),
            )
        if len(results) != len(set(results)):
            raise Wrong(path, "each tool_use must have a single result")
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if len(asked) != len(set(asked)):
            raise Wrong(path, "`tool_use` ids must be unique")


def check_thoughts(turns):
    """A turn that calls a tool must come back with the thoughts that led to it."""
    for (role, blocks, index), after in zip(turns, turns[1:]):
        awaited = after is turns[-1] and after[1][0]["type"] == "tool_result"
        thinks = blocks[0]["type"] in ("thinking", "redacted_thinking")
        if role == "assistant" and awaited and not thinks:
            raise Wrong(
                f"messages.{index}.content.0",
                "Expected `thinking` or `redacted_thinking`, but found `"
                + blocks[0]["type"]
                + "`. When `thinking` is enabled, a final `assistant` message must start with a thinking block",
            )


# What is answered.


def texts(blocks):
    return [block["text"] for block in blocks if block["type"] == "text"]


def result_text(block):
    content = block.get("content", "")
    said = content if isinstance(content, str) else " ".join(texts(content))
    return ("error: " if block.get("is_error") else "") + said


def ask_of(body, turns, name):
    choice = body.get("tool_choice", {"type": "auto"})
    last = turns[-1][1]
    return script.Ask(
        script=name,
        said="\n".join(texts(last)),
        results=[result_text(block) for block in last if block["type"] == "tool_result"],
        tools={tool["name"]: tool["input_schema"] for tool in body.get("tools", [])},
        choice=f"tool:{choice['name']}" if choice["type"] == "tool" else choice["type"],
        parallel=not choice.get("disable_parallel_tool_use", False),
        thinking=body.get("thinking", {"type": "disabled"})["type"] != "disabled",
        max_tokens=body["max_tokens"],
        stops=body.get("stop_sequences", []),
        words=script.words(json.dumps([body["messages"], body.get("system", "")])),
        schema=((body.get("output_config") or {}).get("format") or {}).get("schema"),
    )


def block_of(block):
    match block:
        case {"text": said}:
            return {"type": "text", "text": said}
        case {"thinking": thought}:
            return {"type": "thinking", "thinking": thought, "signature": script.signature(thought)}
        case {"redacted": sealed}:
            return {"type": "redacted_thinking", "data": sealed}
        case {"call": id, "name": name, "input": given}:
            return {"type": "tool_use", "id": id, "name": name, "input": given}


def message_of(body, ask, answer):
    cached = ask.script == "cache"
    return {
        "id": "msg_01tidal",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [block_of(block) for block in answer.blocks],
        "stop_reason": answer.reason,
        "stop_sequence": answer.stop,
        "usage": {
            "input_tokens": ask.words,
            "cache_creation_input_tokens": 5 if cached else 0,
            "cache_read_input_tokens": 7 if cached else 0,
            "output_tokens": answer.words(),
            "service_tier": "standard",
        },
    }


def deltas(block):
    """A block as it begins, and what a stream adds to it."""
    match block:
        case {"type": "text", "text": said}:
            yield block | {"text": ""}
            yield from ({"type": "text_delta", "text": part} for part in script.parts(said))
        case {"type": "thinking", "thinking": thought, "signature": seal}:
            yield block | {"thinking": "", "signature": ""}
            yield from ({"type": "thinking_delta", "thinking": part} for part in script.parts(thought))
            yield {"type": "signature_delta", "signature": seal}
        case {"type": "tool_use", "input": given}:
            yield block | {"input": {}}
            # The first part is empty, as it is with Anthropic.
            for part in ["", *script.parts(json.dumps(given))]:
                yield {"type": "input_json_delta", "partial_json": part}
        case _:
            yield block


def events(message, name):
    """The events of a stream, each a dict with its type."""
    usage = message["usage"]
    start = message | {"content": [], "stop_reason": None, "stop_sequence": None}
    start["usage"] = usage | {"output_tokens": 1}
    yield {"type": "message_start", "message": start}
    if name == "error-first":
        yield error_object(529, "Overloaded")
        return
    yield {"type": "ping"}
    if name == "novel":
        yield {"type": "tide_turned", "at": 1}
    for index, block in enumerate(message["content"]):
        first, *more = deltas(block)
        yield {"type": "content_block_start", "index": index, "content_block": first}
        for delta in more[: len(more) // 2]:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        if name == "error-mid-stream":
            yield error_object(529, "Overloaded")
            return
        if name in ("truncated", "cut"):
            return
        yield {"type": "ping"}
        for delta in more[len(more) // 2 :]:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": usage["output_tokens"]}}
    yield {"type": "message_stop"}


def error_object(status, message, request_id="req_011tidal"):
    kind = TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }


def refuse(status, message, headers=None):
    sent = {"request-id": "req_011tidal"} | (headers or {})
    return as_json(status, error_object(status, message), sent)


def told(name, calls):
    """The error that the model's name asks for."""
    word, _, detail = name.rpartition("-")
    if word == "rate-limited":
        return refuse(429, "This request would exceed your rate limit", {"retry-after": detail})
    if word == "status" or (word == "once" and calls == 1):
        return refuse(int(detail), f"the upstream answers with status {detail}")
    if name == "garbage":
        return Reply(200, b"\x00\x01 no json", {"content-type": "application/json"})
    return None


def check_headers(headers):
    # The clients of the new version send their key as a bearer's.
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    if not bearer and "x-api-key" not in headers:
        return refuse(401, "x-api-key header is required")
    if KEY != headers.get("x-api-key", bearer):
        return refuse(401, "invalid x-api-key")
    if "anthropic-version" not in headers:
        return refuse(400, "anthropic-version: header is required")
    if headers["anthropic-version"] not in (OLD, NEW):
        return refuse(400, f"anthropic-version: {headers['anthropic-version']} is not a valid version")
    if headers.get("content-type", "").split(";")[0] != "application/json":
        return refuse(400, "content-type: should be application/json")
    return None


def dialect(request, calls):
    refused = check_headers(request.headers)
    if refused:
        return refused
    if request.path != "/v1/messages":
        return refuse(404, f"Not found: {request.path}")
    try:
        request.heard = json.loads(request.body)
        turns = check_request(request.heard, request.headers["anthropic-version"])
    except json.JSONDecodeError:
        return refuse(400, "The request body is not valid JSON")
    except Wrong as wrong:
        return refuse(400, str(wrong))
    model = request.heard["model"]
    name = NAME.fullmatch(model)[1]
    if not SCRIPTS.fullmatch(name):
        return refuse(404, f"model: {model}")
    return told(name, calls(model)) or answer(request.heard, turns, name)


def answer(body, turns, name):
    ask = ask_of(body, turns, name)
    message = message_of(body, ask, script.play(ask))
    headers = {"request-id": "req_011tidal"}
    if name == "novel":
        message["tide"] = message["usage"]["tides"] = {"height": 6.5}
    if not body.get("stream"):
        reply = as_json(200, message, headers, cut=name == "cut")
        if name in ("truncated", "cut"):
            reply.body = reply.body[: len(reply.body) // 2]
        return reply
    told = (
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in events(message, name)
    )
    headers["content-type"] = "text/event-stream; charset=utf-8"
    return Reply(200, told, headers, cut=name == "cut")


if __name__ == "__main__":
    Upstream(dialect, *map(int, sys.argv[1:])).serve()
