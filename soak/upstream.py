#!/usr/bin/env python3
"""An upstream in OpenAI's dialect that writes down what reached it, and when.

A process of its own, so that its journal and its clock (CLOCK_MONOTONIC) owe
nothing to the gateways. Every call gets a serial number, which its answer
repeats. The last user message says what to do: `wait:MS` before the answer,
`say:N` completion tokens, never more than the request's maximum.
"""

import argparse
import asyncio
import json
import os
import pathlib
import re
import signal
import time

WAIT = re.compile(r"wait:(\d+)")
SAY = re.compile(r"say:(\d+)")
KEPT_CHARS = 160
TICK_S = 0.05
# Below what any tokenizer says of the texts of a soak, so that a reservation
# that estimates from bytes is an upper bound.
CHARS_PER_TOKEN = 6
CALLER = "x-soak-caller"


class Calls:
    """Every call so far, written down at the end: a disk that is slow must not
    make the clock late."""

    def __init__(self, path):
        self.path = path
        self.ended = []
        self.serial = 0
        self.late_ms = 0.0
        self.open = set()

    def next_serial(self):
        self.serial += 1
        return self.serial

    def write(self, call):
        self.open.discard(call)
        self.ended.append(call.facts)

    def close(self):
        """With how late its own clock was at most: no stamp is better than that."""
        for call in list(self.open):
            self.write(call)
        clock = {"kind": "clock", "late_ms": round(self.late_ms, 1)}
        with self.path.open("w", encoding="utf-8") as file:
            for facts in [*self.ended, clock]:
                file.write(json.dumps(facts) + "\n")


class Call:
    """One call, from its first byte to its answer."""

    def __init__(self, serial, arrived_ns, caller, body):
        text = _last_text(body)
        most = body.get("max_tokens") or body.get("max_completion_tokens")
        said = int((SAY.search(text) or [0, 5])[1])
        self.wait_s = int((WAIT.search(text) or [0, 0])[1]) / 1e3
        self.text = text
        self.facts = {
            "kind": "call", "serial": serial, "model": body["model"], "caller": caller,
            "arrived_ns": arrived_ns, "ended_ns": None, "left": False,
            "prompt_tokens": _prompt_tokens(body),
            "completion_tokens": min(said, most) if most else said,
            "max_tokens": most, "text": text[:KEPT_CHARS],
        }

    def end(self, left):
        self.facts["ended_ns"] = time.monotonic_ns()
        self.facts["left"] = left

    def answer(self):
        facts = self.facts
        used = {key: facts[key] for key in ("prompt_tokens", "completion_tokens")}
        content = f"serial:{facts['serial']} re:{self.text[:KEPT_CHARS]}"
        return json.dumps({
            "id": f"soak-{facts['serial']}", "object": "chat.completion", "created": 0,
            "model": facts["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": content},
                         "finish_reason": "stop"}],
            "usage": used | {"total_tokens": sum(used.values())},
        }).encode()


def _last_text(body):
    users = [m["content"] for m in body["messages"] if m["role"] == "user"]
    content = users[-1] if users else ""
    if isinstance(content, list):
        content = " ".join(part.get("text", "") for part in content)
    return content


def _prompt_tokens(body):
    return 1 + sum(len(json.dumps(m["content"])) for m in body["messages"]) // CHARS_PER_TOKEN


class Connection(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    def __init__(self, calls):
        self.calls = calls
        self.data = bytearray()
        self.began_ns = None
        self.call = None
        self.timer = None
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.began_ns is None:
            self.began_ns = time.monotonic_ns()
        self.data += data
        head_end = self.data.find(b"\r\n\r\n")
        if self.call or head_end < 0:
            return
        head = self.data[:head_end].decode("latin-1").lower()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        body_end = head_end + 4 + int(headers.get("content-length", 0))
        if len(self.data) < body_end:
            return
        body = json.loads(self.data[head_end + 4:body_end])
        del self.data[:body_end]
        self._begin(Call(self.calls.next_serial(), self.began_ns, headers.get(CALLER), body))

    def _begin(self, call):
        self.call = call
        self.began_ns = None
        self.calls.open.add(call)
        if call.wait_s:
            self.timer = asyncio.get_running_loop().call_later(call.wait_s, self._answer)
        else:
            self._answer()

    def _answer(self):
        call, self.call, self.timer = self.call, None, None
        body = call.answer()
        # Ended when the answer is handed over: whoever is told by it comes later.
        call.end(left=False)
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            % len(body) + body)
        self.calls.write(call)

    def connection_lost(self, _error):
        if self.timer:
            self.timer.cancel()
        if self.call:
            self.call.end(left=True)
            self.calls.write(self.call)
            self.call = None


async def serve(bind, calls):
    host, port = bind.split(":")
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(lambda: Connection(calls), host, int(port), backlog=2048)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    while not stopped.is_set():
        due = time.monotonic() + TICK_S
        await asyncio.sleep(TICK_S)
        calls.late_ms = max(calls.late_ms, (time.monotonic() - due) * 1e3)
    calls.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bind", default="127.0.0.1:0")
    parser.add_argument("--journal", required=True, type=pathlib.Path)
    given = parser.parse_args()
    try:
        # Its clock must not be late where others are busy.
        os.nice(-15)
    except PermissionError:
        pass
    asyncio.run(serve(given.bind, Calls(given.journal)))


if __name__ == "__main__":
    main()
