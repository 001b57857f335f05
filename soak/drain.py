#!/usr/bin/env python3
"""Restarts the release binary under open streams, again and again.

Each time 100 streams are open and SIGTERM comes in their middle; a new process
takes over the port while the old one lets them out. Writes down what came of
every stream and process. It judges nothing: `drain_checker.py` does.
"""

import argparse
import asyncio
import json
import pathlib
import random
import signal
import time

import exchange
from journal import Journal
from processes import Process

STREAMS = 100
EVENTS = 20
GAP_MS = 50
DRAIN_MS = 10_000
# SIGTERM comes this long after the last stream has begun, at most.
LATEST_MS = 400
# Nobody gets in any more; looked at this often, for so long.
LOOK_MS = 2
PATIENCE_MS = 5_000
PATH = "/v1/chat/completions"


class Drain:
    """One run."""

    def __init__(self, binary, folder, seed, restarts):
        self.seed = seed
        self.restarts = restarts
        self.journal = Journal(folder / "drain.ndjson")
        self.folder = folder
        self.mock = Process(binary, "drain-mock", folder, [
            "mock", "--gap-ms", str(GAP_MS), "--events", str(EVENTS)])
        # Two of them by turns: the new one runs before the old one has ended.
        self.gates = [
            Process(binary, f"drain-gate-{name}", folder,
                    ["serve", "--config", str(folder / "drain.toml")])
            for name in ("odd", "even")
        ]

    async def run(self):
        await self.mock.start()
        (self.folder / "drain.toml").write_text(config(self.mock.port), encoding="utf-8")
        self.journal.write("run", seed=self.seed, restarts=self.restarts, streams=STREAMS,
                           drain_ms=DRAIN_MS)
        started = time.monotonic()
        await self.gates[0].start()
        for number in range(self.restarts):
            old, new = self.gates[number % 2], self.gates[(number + 1) % 2]
            await self._restart(number, old, new)
        code = await self.gates[self.restarts % 2].stop()
        self.journal.write("last", code=code)
        self.journal.write("over", seconds=round(time.monotonic() - started, 1))

    async def _restart(self, number, old, new):
        draws = random.Random(f"{self.seed}/{number}")
        answers = [exchange.Answer() for _ in range(STREAMS)]
        streams = [
            asyncio.create_task(self._stream(number, place, old.port, answer))
            for place, answer in enumerate(answers)
        ]
        await begun(answers, streams)
        await asyncio.sleep(draws.uniform(0, LATEST_MS) / 1e3)
        told = exchange.now_ms()
        self.journal.write("told", restart=number, at_ms=round(told, 1),
                           open=sum(not stream.done() for stream in streams))
        old.signal(signal.SIGTERM)
        await self._take_over(number, told, old, new)
        await asyncio.gather(*streams)
        code = await ended(old)
        self.journal.write("exit", restart=number, code=code,
                           after_ms=round(exchange.now_ms() - told, 1))

    async def _stream(self, number, place, port, answer):
        text = f"restart {number} stream {place} " + "lorem ipsum dolor " * 6
        body = {"model": "m", "stream": True,
                "messages": [{"role": "user", "content": f"echo:{text}"}]}
        connection = exchange.Connection(port)
        _, end = await exchange.ask(connection, PATH, json.dumps(body).encode(), answer=answer)
        connection.close()
        facts = exchange.described(answer) if end == "whole" else {"status": answer.status}
        self.journal.write("stream", restart=number, place=place, text=text, end=end,
                           at_ms=round(exchange.now_ms(), 1), **facts)

    async def _take_over(self, number, told, old, new):
        """Waits until nobody gets in, then starts the new process on the same port."""
        refused = await refuses(old.port)
        self.journal.write("refused", restart=number, refused=refused,
                           after_ms=round(exchange.now_ms() - told, 1))
        new.port = old.port
        await new.start()
        ready = await exchange.get(new.port, "/health/ready")
        self.journal.write("taken over", restart=number, status=ready.get("status"),
                           old_alive=old.alive, after_ms=round(exchange.now_ms() - told, 1))

    async def clean_up(self):
        for process in [*self.gates, self.mock]:
            await process.kill()


def config(mock_port):
    return "\n".join([
        "[server]",
        f"drain_ms = {DRAIN_MS}",
        "[store]",
        'url = "memory:"',
        "[log]",
        'format = "json"',
        "access = false",
        "[[providers]]",
        'name = "up"',
        'kind = "openai"',
        f'base_url = "http://127.0.0.1:{mock_port}/v1"',
        "[[models]]",
        'name = "m"',
        'chain = ["up/answer"]',
        'requests_per_minute = "unlimited"',
        'tokens_per_minute = "unlimited"',
        'max_concurrent = "unlimited"',
    ]) + "\n"


async def begun(answers, streams):
    """Waits until every stream has said something, or has ended."""
    while not all(b"content" in answer.body or stream.done()
                  for answer, stream in zip(answers, streams)):
        await asyncio.sleep(LOOK_MS / 1e3)


async def refuses(port):
    """Whether connections to `port` are refused, sooner or later."""
    until = exchange.now_ms() + PATIENCE_MS
    while exchange.now_ms() < until:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return True
        except OSError:
            continue
        writer.close()
        await asyncio.sleep(LOOK_MS / 1e3)
    return False


async def ended(process):
    """The exit code, or None when it had to be killed."""
    try:
        return await asyncio.wait_for(process.child.wait(), (DRAIN_MS + PATIENCE_MS) / 1e3)
    except asyncio.TimeoutError:
        await process.kill()
        return None


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--restarts", required=True, type=int)
    given = parser.parse_args()
    soak = Drain(given.binary, given.folder, given.seed, given.restarts)
    stop = asyncio.current_task().cancel
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        await soak.run()
    finally:
        await soak.clean_up()


if __name__ == "__main__":
    asyncio.run(main())
