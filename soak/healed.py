"""An upstream that works, on the ports where the mocks were.

Every call waits until as many calls of the same chain entry are in flight as
the entry has slots. So an answer proves that all slots can be taken at once,
and a lost slot shows as a deadline.
"""

import asyncio
import json
from collections import defaultdict

HOLD_MS = 60


class Gate:
    """Calls of one chain entry that wait for each other."""

    def __init__(self):
        self.wanted = 1
        self.in_flight = 0
        self.most_in_flight = 0
        self.full = asyncio.Event()

    def want(self, calls):
        """From now on this many calls have to be in flight at the same time."""
        self.wanted = calls
        self.most_in_flight = self.in_flight
        self.full = asyncio.Event()

    async def __aenter__(self):
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.in_flight >= self.wanted:
            # Held a little longer: a call too many would come in now.
            asyncio.get_running_loop().call_later(
                HOLD_MS / 1e3 if self.wanted > 1 else 0, self.full.set
            )
        await self.full.wait()

    async def __aexit__(self, *_):
        self.in_flight -= 1


class Healed:
    """The upstream; its gates are named `gateway/provider/model`."""

    def __init__(self):
        self.gates = defaultdict(Gate)
        self.servers = []
        self.writers = set()

    async def start(self, ports):
        for port in ports:
            self.servers.append(
                await asyncio.start_server(
                    self._serve, "127.0.0.1", port, reuse_address=True, backlog=512
                )
            )

    async def stop(self):
        for server in self.servers:
            server.close()
        for writer in list(self.writers):
            writer.transport.abort()

    async def _serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, reader, writer):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        async with self.gates[f"{headers['x-soak-caller']}/{body['model']}"]:
            text = body["messages"][-1]["content"].removeprefix("echo:")
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            answer = json.dumps({"id": "healed", "choices": [choice], "usage": usage}).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                + f"content-length: {len(answer)}\r\n\r\n".encode()
                + answer
            )
            await writer.drain()
