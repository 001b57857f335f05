"""A local server with Bedrock's wire format: `python bedrock_upstream.py [PORT]`.

It answers Converse, ConverseStream, and InvokeModel for two embedding models.
Every request's signature is computed again from what arrived; the shape of
every request is held against the description of the service that botocore
carries. The model's id says what happens, as in `anthropic.claude-echo-v1:0`:

    echo, tools, tools-parallel, thinking, redacted, cache, stop-REASON
                         as with the other upstreams, see script.py
    throttled, validation, denied, missing, internal, unavailable, not-ready, timeout, model-error
                         that exception; throttled-2 at the first two calls only
    error-first          a stream whose first frame is a ModelStreamErrorException
    error-mid-stream     the same after content
    throttled-mid-stream a ThrottlingException after content
    error-frame          a frame of the type `error` after content
    wrong-crc            a frame whose checksum does not fit
    wrong-prelude        a frame whose head has a checksum that does not fit
    truncated            a stream that ends without its last frames
    cut                  a connection that breaks within a frame
    novel                events, blocks and fields that nobody knows yet
    garbage              200 with bytes that mean nothing
"""

import base64
import binascii
import datetime
import gzip
import hashlib
import hmac
import json
import pathlib
import re
import struct
import sys
import urllib.parse
import uuid
import zlib

import botocore

import script
from shape import Wrong, below
from upstream import Reply, Upstream, as_json

REGION = "eu-west-1"
# Access keys, each with its secret and the token that must come with it.
KEYS = {
    "AKIDTIDAL": ("upstream+secret/key", None),
    "ASIDTIDAL": ("another+secret/key", "session/token+of=the=tests"),
}
SKEW = datetime.timedelta(minutes=5)
NAME = re.compile(r"(?:[a-z]+\.)*(?:claude-|nova-)?(.+?)(?:-v\d+(?::\d+)?)?")
PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream|invoke)")
EXCEPTIONS = {
    "throttled": (429, "ThrottlingException"),
    "not-ready": (429, "ModelNotReadyException"),
    "validation": (400, "ValidationException"),
    "denied": (403, "AccessDeniedException"),
    "missing": (404, "ResourceNotFoundException"),
    "timeout": (408, "ModelTimeoutException"),
    "model-error": (424, "ModelErrorException"),
    "internal": (500, "InternalServerException"),
    "unavailable": (503, "ServiceUnavailableException"),
}
SCRIPTS = re.compile(
    r"echo|tools(-parallel)?|thinking(-tools)?|redacted|cache|stop-[a-z-]+|error-first|error-mid-stream"
    r"|throttled-mid-stream|error-frame|wrong-crc|wrong-prelude|truncated|cut|novel|garbage"
)


# Signatures.


class Refused(Exception):
    """Not signed as it must be; the code is AWS's."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def keyed(key, message):
    return hmac.new(key, message.encode(), hashlib.sha256).digest()


def signed_parts(headers):
    """Access key, day, region, service, names of signed headers, signature."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request,"
        r" ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
        headers.get("authorization", ""),
    )
    if not found:
        raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
    return found.groups()


def check_signature(request, now=None):
    """Raises `Refused` unless the request is signed with a key of `KEYS`, now, for here."""
    headers = request.headers
    access, day, region, service, names, signature = signed_parts(headers)
    if access not in KEYS:
        raise Refused("UnrecognizedClientException", "The security token in the request is invalid.")
    secret, token = KEYS[access]
    if headers.get("x-amz-security-token") != token:
        raise Refused("UnrecognizedClientException", "The security token in the request is invalid.")
    if (region, service) != (REGION, "bedrock"):
        raise Refused("InvalidSignatureException", f"Credential should be scoped to {REGION}/bedrock")
    names = names.split(";")
    needed = {"host"} | {name for name in headers if name.startswith("x-amz-")}
    if names != sorted(names) or needed - set(names):
        raise Refused("InvalidSignatureException", "a header that must be signed is not")
    check_date(headers.get("x-amz-date", ""), day, now)
    sent_hash = hashlib.sha256(request.body).hexdigest()
    if headers.get("x-amz-content-sha256", sent_hash) != sent_hash:
        raise Refused("InvalidSignatureException", "x-amz-content-sha256 does not fit the body")
    expected = signature_of(request, names, sent_hash, secret, f"{day}/{region}/{service}/aws4_request")
    if not hmac.compare_digest(expected, signature):
        raise Refused(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        )


def check_date(date, day, now):
    now = now or datetime.datetime.now(datetime.timezone.utc)
    try:
        signed = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise Refused("IncompleteSignatureException", f"no date: {date!r}") from None
    if abs(now - signed) > SKEW or not date.startswith(day):
        raise Refused("InvalidSignatureException", f"Signature expired: {date}")


def signature_of(request, names, body_hash, secret, scope):
    path, _, query = request.path.partition("?")
    pairs = sorted(pair if "=" in pair else pair + "=" for pair in query.split("&") if pair)
    canonical = "\n".join(
        [
            "POST",
            # The path as it was sent is encoded once more.
            urllib.parse.quote(path, safe="/-_.~"),
            "&".join(pairs),
            *(f"{name}:{' '.join(request.headers[name].split())}" for name in names),
            "",
            ";".join(names),
            body_hash,
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for step in scope.split("/"):
        key = keyed(key, step)
    return keyed(key, to_sign).hex()


# Shapes.


def service():
    """The description of the service that botocore carries."""
    folder = pathlib.Path(botocore.__file__).parent / "data/bedrock-runtime"
    (file,) = folder.glob("*/service-2.json.gz")
    return json.loads(gzip.decompress(file.read_bytes()))["shapes"]


SHAPES = service()
KINDS = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "blob": str,
    "list": list,
    "map": dict,
    "structure": dict,
}


def check_shape(value, name, path=""):
    """Raises `Wrong` unless `value` is what the shape `name` describes."""
    shape = SHAPES[name]
    if shape.get("document"):
        return
    kind = shape["type"]
    if not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean"):
        raise Wrong(path, f"Value must be of type {kind}")
    check_size(value, shape, path)
    match kind:
        case "structure":
            check_structure(value, shape, path)
        case "list":
            for index, item in enumerate(value):
                check_shape(item, shape["member"]["shape"], below(path, index))
        case "map":
            for key, item in value.items():
                check_shape(key, shape["key"]["shape"], path)
                check_shape(item, shape["value"]["shape"], below(path, key))
        case "blob":
            try:
                base64.b64decode(value, validate=True)
            except binascii.Error:
                raise Wrong(path, "Value must be base64") from None


def check_size(value, shape, path):
    size = value if shape["type"] in ("integer", "long", "float", "double") else None
    size = len(value) if isinstance(value, (str, list, dict)) else size
    if size is not None and not shape.get("min", size) <= size <= shape.get("max", size):
        raise Wrong(path, f"Value must be from {shape.get('min')} to {shape.get('max')}")
    if "enum" in shape and value not in shape["enum"]:
        raise Wrong(path, f"Value must satisfy enum value set: {shape['enum']}")
    if "pattern" in shape and not re.fullmatch(shape["pattern"], value):
        raise Wrong(path, f"Value must satisfy regular expression pattern: {shape['pattern']}")


def check_structure(value, shape, path):
    members = {
        name: member["shape"]
        for name, member in shape["members"].items()
        if member.get("location") is None
    }
    for name in shape.get("required", []):
        if name in members and name not in value:
            raise Wrong(below(path, name), "Member must not be null")
    if shape.get("union") and len(value) != 1:
        raise Wrong(path, f"Exactly one member must be set, not {sorted(value)}")
    for name, item in value.items():
        if name not in members:
            raise Wrong(below(path, name), "extraneous key is not permitted")
        check_shape(item, members[name], below(path, name))


def check_converse(body):
    """What the description of the service does not say, but the service does."""
    check_shape(body, "ConverseRequest")
    messages = body.get("messages", [])
    if not messages:
        raise Wrong("messages", "A conversation must have at least one message")
    calls = []
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        if message["role"] != ["user", "assistant"][index % 2]:
            raise Wrong(
                path,
                "A conversation must start with a user message"
                if index == 0
                else "A conversation must alternate between user and assistant roles",
            )
        if not message["content"]:
            raise Wrong(f"{path}.content", "The content field in the Message object is empty")
        for number, block in enumerate(message["content"]):
            check_block(block, message["role"], body, f"{path}.content.{number}")
        results = [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]
        if sorted(results) != sorted(calls):
            raise Wrong(
                f"{path}.content", f"Expected toolResult blocks for the following Ids: {calls}, found {results}"
            )
        calls = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
    names = [tool["toolSpec"]["name"] for tool in tools_of(body)]
    if len(names) != len(set(names)):
        raise Wrong("toolConfig.tools", "the names of tools must differ")
    for tool in tools_of(body):
        if tool["toolSpec"]["inputSchema"]["json"].get("type") != "object":
            raise Wrong("toolConfig.tools", "The value at inputSchema.json.type must be object")
    check_choice(body, names)


def check_choice(body, names):
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    if "tool" in choice and choice["tool"]["name"] not in names:
        raise Wrong("toolConfig.toolChoice", f"no tool is called {choice['tool']['name']}")
    check_passed_on(body, choice)
    thinking = thinking_of(body)
    if thinking and {"any", "tool"} & set(choice):
        raise Wrong("toolConfig.toolChoice", "Thinking may not be enabled when tool_choice forces tool use")
    budget = thinking.get("budget_tokens", 1024)
    if thinking and not 1024 <= budget < body.get("inferenceConfig", {}).get("maxTokens", 4096):
        raise Wrong("additionalModelRequestFields.thinking", "budget_tokens must be from 1024 to maxTokens")


def check_passed_on(body, choice):
    """A choice in Anthropic's own words, which stands beside `toolChoice` or in its place.

    Between the two, one must say what kind of choice it is, and only one may.
    """
    passed = passed_on(body)
    if passed is None:
        return
    if not tools_of(body):
        raise Wrong("additionalModelRequestFields.tool_choice", "may only be specified while providing tools")
    if ("type" in passed) == bool(choice):
        raise Wrong(
            "additionalModelRequestFields.tool_choice.type",
            "conflicts with toolConfig.toolChoice" if choice else "Field required",
        )
    if set(passed) - {"type", "disable_parallel_tool_use"}:
        raise Wrong("additionalModelRequestFields.tool_choice", "Extra inputs are not permitted")


def passed_on(body):
    return (body.get("additionalModelRequestFields") or {}).get("tool_choice")


def check_block(block, role, body, path):
    if "text" in block and not block["text"].strip():
        raise Wrong(path, "The text field in the ContentBlock object is blank")
    kinds = ("toolUse", "reasoningContent") if role == "user" else ("toolResult", "image", "document")
    for kind in kinds:
        if kind in block:
            raise Wrong(path, f"The role {role} may not have a block {kind}")
    if ("toolUse" in block or "toolResult" in block) and "toolConfig" not in body:
        raise Wrong("toolConfig", "must be defined when using toolUse and toolResult content blocks")
    if "toolUse" in block and not isinstance(block["toolUse"]["input"], dict):
        raise Wrong(path, "The value at toolUse.input must be an object")
    thought = block.get("reasoningContent", {}).get("reasoningText")
    if thought and thought.get("signature") != script.signature(thought["text"]):
        raise Wrong(path, "Invalid `signature` in `thinking` block")


def tools_of(body):
    return [tool for tool in body.get("toolConfig", {}).get("tools", []) if "toolSpec" in tool]


def thinking_of(body):
    thinking = (body.get("additionalModelRequestFields") or {}).get("thinking", {})
    return {} if thinking.get("type") == "disabled" else thinking


# What is answered.


def ask_of(body, name):
    last = body["messages"][-1]["content"]
    choice = body.get("toolConfig", {}).get("toolChoice", {"auto": {}})
    inference = body.get("inferenceConfig", {})
    (kind,) = choice
    return script.Ask(
        script=name,
        said="\n".join(block["text"] for block in last if "text" in block),
        results=[result_text(block["toolResult"]) for block in last if "toolResult" in block],
        tools={tool["toolSpec"]["name"]: tool["toolSpec"]["inputSchema"]["json"] for tool in tools_of(body)},
        choice=f"tool:{choice['tool']['name']}" if kind == "tool" else kind,
        parallel=not (passed_on(body) or {}).get("disable_parallel_tool_use", False),
        thinking=bool(thinking_of(body)),
        max_tokens=inference.get("maxTokens", 4096),
        stops=inference.get("stopSequences", []),
        words=script.words(json.dumps([body["messages"], body.get("system", [])])),
        schema=schema_of(body),
    )


def schema_of(body):
    form = body.get("outputConfig", {}).get("textFormat")
    return form and json.loads(form["structure"]["jsonSchema"]["schema"])


def result_text(result):
    said = [
        block["text"] if "text" in block else json.dumps(block.get("json", "…"))
        for block in result["content"]
    ]
    return ("error: " if result.get("status") == "error" else "") + " ".join(said)


def block_of(block):
    match block:
        case {"text": said}:
            return {"text": said}
        case {"thinking": thought}:
            sealed = {"text": thought, "signature": script.signature(thought)}
            return {"reasoningContent": {"reasoningText": sealed}}
        case {"redacted": sealed}:
            return {"reasoningContent": {"redactedContent": sealed}}
        case {"call": id, "name": name, "input": given}:
            return {"toolUse": {"toolUseId": f"tooluse_{id}", "name": name, "input": given}}


def usage_of(ask, answer):
    usage = {"inputTokens": ask.words, "outputTokens": answer.words()}
    if ask.script == "cache":
        usage |= {"cacheReadInputTokens": 7, "cacheWriteInputTokens": 5}
    return usage | {"totalTokens": sum(usage.values())}


def deltas(block):
    """What a stream adds to a block, piece by piece."""
    match block:
        case {"text": said}:
            return [{"text": part} for part in script.parts(said)]
        case {"toolUse": call}:
            return [{"toolUse": {"input": part}} for part in ["", *script.parts(json.dumps(call["input"]))]]
        case {"reasoningContent": {"reasoningText": thought}}:
            pieces = [{"text": part} for part in script.parts(thought["text"])]
            return [{"reasoningContent": piece} for piece in [*pieces, {"signature": thought["signature"]}]]
        case {"reasoningContent": sealed}:
            return [{"reasoningContent": sealed}]


def more(body, answer):
    """Which stop sequence was met, where the request asks for that."""
    wants = "/stop_sequence" in body.get("additionalModelResponseFieldPaths", [])
    met = {"stop_sequence": answer.stop} if wants and answer.stop else None
    return {"additionalModelResponseFields": met} if met else {}


def events(body, ask, answer):
    """The events of a stream: type and payload."""
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(map(block_of, answer.blocks)):
        at = {"contentBlockIndex": index}
        # Only a call of a tool has a start of its own.
        if "toolUse" in block:
            call = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            yield "contentBlockStart", at | {"start": {"toolUse": call}}
        for delta in deltas(block):
            yield "contentBlockDelta", at | {"delta": delta}
        yield "contentBlockStop", at
    yield "messageStop", {"stopReason": answer.reason} | more(body, answer)
    yield "metadata", {"usage": usage_of(ask, answer), "metrics": {"latencyMs": 12}}


def frame(headers, payload):
    """One frame of `application/vnd.amazon.eventstream`."""
    packed = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", len(packed) + len(payload) + 16, len(packed))
    start = prelude + struct.pack(">I", zlib.crc32(prelude)) + packed + payload
    return start + struct.pack(">I", zlib.crc32(start))


def event_frame(kind, value):
    # Bedrock fills its payloads up, so that their length does not betray the text.
    payload = json.dumps(value | {"p": "abcdefghijklmnopqrstuvwxyz"[: 5 + len(kind)]})
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, payload.encode())


def exception_frame(kind, message):
    headers = {
        ":exception-type": kind[0].lower() + kind[1:],
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return frame(headers, json.dumps({"message": message}).encode())


def stream(name, said):
    """The frames of a stream, with the fault that the model's id asks for."""
    frames = [event_frame(*event) for event in said]
    middle = len(frames) // 2
    match name:
        case "error-first":
            return [exception_frame("ModelStreamErrorException", "the model failed")]
        case "error-mid-stream":
            return [*frames[:middle], exception_frame("ModelStreamErrorException", "the model failed")]
        case "throttled-mid-stream":
            return [*frames[:middle], exception_frame("ThrottlingException", "Too many tokens")]
        case "error-frame":
            headers = {
                ":error-code": "InternalFailure",
                ":error-message": "the service failed",
                ":message-type": "error",
            }
            return [*frames[:middle], frame(headers, b"")]
        case "wrong-crc":
            broken = bytearray(frames[middle])
            broken[-1] ^= 1
            return [*frames[:middle], bytes(broken), *frames[middle + 1 :]]
        case "wrong-prelude":
            broken = bytearray(frames[middle])
            broken[8] ^= 1
            return [*frames[:middle], bytes(broken), *frames[middle + 1 :]]
        case "truncated":
            return frames[:middle]
        case "cut":
            return [*frames[:middle], frames[middle][:9]]
        case "novel":
            return [frames[0], event_frame("tideTurned", {"at": 1}), *frames[1:]]
        case _:
            return frames


def refuse(status, kind, message):
    headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    return as_json(status, {"message": message}, headers)


def dialect(request, calls):
    reply = answer(request, calls)
    reply.headers["x-amzn-requestid"] = str(uuid.uuid4())
    return reply


def answer(request, calls):
    try:
        check_signature(request)
    except Refused as refused:
        return refuse(403, refused.code, str(refused))
    found = PATH.fullmatch(request.path)
    if not found:
        return refuse(404, "UnknownOperationException", f"no operation has the path {request.path}")
    model, operation = urllib.parse.unquote(found[1]), found[2]
    if not re.fullmatch(SHAPES["ConversationalModelId"]["pattern"], model):
        return refuse(400, "ValidationException", "The provided model identifier is invalid.")
    try:
        request.heard = json.loads(request.body)
        if operation == "invoke":
            return embed(model, request.heard)
        check_converse(request.heard)
    except json.JSONDecodeError:
        return refuse(400, "SerializationException", "the body is not JSON")
    except Wrong as wrong:
        return refuse(400, "ValidationException", str(wrong))
    name = NAME.fullmatch(model.split("/")[-1])[1]
    return told(name, calls(model)) or converse(name, operation, request.heard)


def told(name, calls):
    """The exception that the model's id asks for."""
    word, _, times = name.rpartition("-")
    if word in EXCEPTIONS and times.isdigit():
        if calls > int(times):
            return None
        name = word
    if name in EXCEPTIONS:
        return refuse(*EXCEPTIONS[name], f"the upstream answers with {name}")
    if name == "garbage":
        return Reply(200, b"\x00\x01 no json", {"content-type": "application/json"})
    if not SCRIPTS.fullmatch(name):
        return refuse(400, "ValidationException", "The provided model identifier is invalid.")
    return None


def converse(name, operation, body):
    ask = ask_of(body, name)
    answer = script.play(ask)
    if operation == "converse-stream":
        frames = stream(name, events(body, ask, answer))
        headers = {"content-type": "application/vnd.amazon.eventstream"}
        return Reply(200, frames, headers, cut=name == "cut")
    whole = {
        "output": {"message": {"role": "assistant", "content": [block_of(b) for b in answer.blocks]}},
        "stopReason": answer.reason,
        "usage": usage_of(ask, answer),
        "metrics": {"latencyMs": 12},
    } | more(body, answer)
    if name == "novel":
        whole["tide"] = {"height": 6.5}
    reply = as_json(200, whole, cut=name == "cut")
    if name in ("truncated", "cut"):
        reply.body = reply.body[: len(reply.body) // 2]
    return reply


# Embeddings.


def numbers(said, length):
    """A vector of length 1 that follows from the text."""
    seed = hashlib.sha256(said.encode()).digest()
    raw = [seed[at % 32] - 127.5 + at % 7 for at in range(length)]
    norm = sum(value * value for value in raw) ** 0.5
    return [value / norm for value in raw]


def only(body, required, optional):
    for name in required:
        if name not in body:
            raise Wrong(name, "required key not found")
    for name in body:
        if name not in (*required, *optional):
            raise Wrong(name, "extraneous key is not permitted")


def embed(model, body):
    if model == "amazon.titan-embed-text-v2:0":
        only(body, ["inputText"], ["dimensions", "normalize", "embeddingTypes"])
        length = body.get("dimensions", 1024)
        if length not in (256, 512, 1024):
            raise Wrong("dimensions", f"{length} is not one of 256, 512 and 1024")
        if not isinstance(body["inputText"], str) or not body["inputText"]:
            raise Wrong("inputText", "expected minLength: 1")
        vector = numbers(body["inputText"], length)
        count = script.words(body["inputText"])
        value = {"embedding": vector, "embeddingsByType": {"float": vector}, "inputTextTokenCount": count}
        return as_json(200, value, {"x-amzn-bedrock-input-token-count": str(count)})
    if model == "cohere.embed-english-v3":
        only(body, ["texts", "input_type"], ["truncate", "embedding_types"])
        texts = body["texts"]
        if not isinstance(texts, list) or not 1 <= len(texts) <= 96 or not all(isinstance(t, str) for t in texts):
            raise Wrong("texts", "expected a list of 1 to 96 texts")
        kinds = ("search_document", "search_query", "classification", "clustering")
        if body["input_type"] not in kinds:
            raise Wrong("input_type", f"is not one of {kinds}")
        vectors = [numbers(text, 1024) for text in texts]
        typed = "embedding_types" in body
        value = {
            "id": "4711",
            "response_type": "embeddings_by_type" if typed else "embeddings_floats",
            "embeddings": {"float": vectors} if typed else vectors,
            "texts": texts,
        }
        count = sum(map(script.words, texts))
        return as_json(200, value, {"x-amzn-bedrock-input-token-count": str(count)})
    raise Wrong("modelId", "The provided model identifier is invalid.")


if __name__ == "__main__":
    Upstream(dialect, *map(int, sys.argv[1:])).serve()
