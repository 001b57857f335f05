"""One HTTP/1.1 request over a raw socket, and everything that came back.

Knows nothing of right and wrong: it says what arrived, whether the framing was
complete, and how the exchange ended.
"""

import asyncio
import json
import socket
import struct
import time

PATIENCE_MS = 8_000
READ_BYTES = 64 << 10
KEPT_HEADERS = ("content-type", "retry-after", "x-request-id")
KEPT_PREFIX = "x-tidegate-"


class Left(Exception):
    """The client hangs up here."""


class Connection:
    """A connection that is used again as long as the answers allow it."""

    def __init__(self, port):
        self.port = port
        self.reader = None
        self.writer = None

    async def open(self):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    def close(self, reset=False):
        if self.writer is None:
            return
        if reset:
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()
        self.reader = self.writer = None


class Answer:
    """What has arrived so far."""

    def __init__(self):
        self.status = None
        self.headers = {}
        self.body = bytearray()
        self.reusable = False


async def ask(connection, path, body, headers=None, leave=None, answer=None, method="POST"):
    """Sends a request and reads its answer; returns the answer and how it ended.

    A caller that hands in `answer` can watch it grow.
    The end is `whole`, `cut` (the connection ended inside the answer),
    `refused`, `silent` (nothing came for longer than anybody waits) or `left`.
    """
    answer = answer or Answer()
    end = "cut"
    try:
        work = _exchange(connection, answer, _wire(method, path, body, headers), leave)
        limit_ms = leave.after_ms if leave and leave.moment == "wait" else PATIENCE_MS
        await asyncio.wait_for(work, limit_ms / 1e3)
        end = "whole"
    except Left:
        end = "left"
    except asyncio.TimeoutError:
        end = "left" if leave and leave.moment == "wait" else "silent"
    except ConnectionRefusedError:
        end = "refused"
    except (ConnectionError, asyncio.IncompleteReadError, ValueError, OSError):
        end = "cut"
    if end == "left":
        connection.close(reset=leave.reset)
    elif end != "whole" or not answer.reusable:
        connection.close()
    return answer, end


def _wire(method, path, body, headers):
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode(), body


async def _exchange(connection, answer, wire, leave):
    head, body = wire
    await connection.open()
    moment = leave.moment if leave else None
    if moment == "head":
        await _send_part(connection, head, leave)
    connection.writer.write(head)
    if moment == "body":
        await _send_part(connection, body, leave)
    connection.writer.write(body)
    await connection.writer.drain()
    most_bytes = leave.after_bytes if moment == "answer" else None
    await _read_answer(connection.reader, answer, most_bytes)


async def _send_part(connection, data, leave):
    connection.writer.write(data[: leave.after_bytes % len(data)])
    await connection.writer.drain()
    await asyncio.sleep(leave.after_ms / 1e3)
    raise Left


async def _read_answer(reader, answer, most_bytes):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    answer.status = int(head[0].split(" ")[1])
    for line in filter(None, head[1:]):
        name, _, value = line.partition(":")
        answer.headers[name.lower()] = value.strip()
    if answer.headers.get("transfer-encoding") == "chunked":
        await _read_chunks(reader, answer, most_bytes)
    else:
        await _read_exactly(reader, answer, int(answer.headers["content-length"]), most_bytes)
    answer.reusable = answer.headers.get("connection", "") != "close"


async def _read_chunks(reader, answer, most_bytes):
    while True:
        size = int((await reader.readuntil(b"\r\n")).strip().split(b";")[0], 16)
        await _read_exactly(reader, answer, size, most_bytes)
        if await reader.readexactly(2) != b"\r\n":
            raise ValueError("a chunk is longer than it says")
        if size == 0:
            return


async def _read_exactly(reader, answer, size, most_bytes):
    while size:
        data = await reader.read(min(size, READ_BYTES))
        if not data:
            raise asyncio.IncompleteReadError(b"", size)
        answer.body += data
        size -= len(data)
        if most_bytes is not None and len(answer.body) >= most_bytes:
            raise Left


def described(answer):
    """What a journal keeps of an answer, whole or streamed."""
    kept = {
        name: value
        for name, value in answer.headers.items()
        if name in KEPT_HEADERS or name.startswith(KEPT_PREFIX)
    }
    facts = {"status": answer.status, "headers": kept, "body_bytes": len(answer.body)}
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return facts | _events(bytes(answer.body))
    try:
        json_body = json.loads(bytes(answer.body))
    except ValueError:
        return facts | {"unreadable": True}
    return facts | _whole(json_body)


def _whole(body):
    if not isinstance(body, dict):
        return {"unreadable": True}
    facts = {"error": body.get("error")}
    for choice in body.get("choices") or []:
        facts["content"] = (choice.get("message") or {}).get("content")
        facts["finish"] = choice.get("finish_reason")
    return facts


def _events(body):
    """Reads an event stream strictly: `data` lines with JSON, one per event."""
    facts = {"events": 0, "content": "", "finish": None, "errors": [], "after_end": 0}
    facts |= {"done": False, "malformed": 0}
    parts = body.split(b"\n\n")
    facts["malformed"] += bool(parts.pop())
    for part in parts:
        facts["events"] += 1
        facts["after_end"] += facts["done"] or bool(facts["errors"])
        if part == b"data: [DONE]":
            facts["done"] = True
            continue
        try:
            event = json.loads(part.removeprefix(b"data: "))
            _note_event(facts, event)
        except (ValueError, AttributeError):
            facts["malformed"] += 1
    return facts


def _note_event(facts, event):
    if event.get("error") is not None:
        facts["errors"].append(event["error"])
        return
    for choice in event["choices"] if "choices" in event else [None]:
        facts["content"] += (choice.get("delta") or {}).get("content") or ""
        facts["finish"] = choice.get("finish_reason") or facts["finish"]


async def get(port, path):
    """The JSON at a path."""
    return json.loads(await get_text(port, path))


async def get_text(port, path):
    """The text at a path."""
    return bytes((await _get(port, path)).body).decode()


async def get_headers(port, path):
    """The headers at a path."""
    return (await _get(port, path)).headers


async def _get(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        answer = Answer()
        await asyncio.wait_for(_read_answer(reader, answer, None), PATIENCE_MS / 1e3)
        return answer
    finally:
        writer.close()


def now_ms():
    return time.monotonic() * 1e3
