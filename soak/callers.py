#!/usr/bin/env python3
"""Clients of several gateways at once, in a process of their own.

A plan (JSON) names the gateways' ports, for how long to ask, and the clients'
models with what they ask for. Each client asks one request after the other at a
random gateway, and follows `Retry-After`. Everything from the seed; every
answer goes into the journal.
"""

import argparse
import asyncio
import json
import pathlib
import random
import time

import exchange
from journal import Journal

PATH = "/v1/chat/completions"
# After a connection that was refused or cut, before the next gateway is asked.
PAUSE_S = 0.05
MOST_RETRY_AFTER_S = 15


class Client:
    """One client with a connection to each gateway."""

    def __init__(self, number, plan, work, journal):
        self.number = number
        self.plan = plan
        self.work = work
        self.journal = journal
        self.connections = [exchange.Connection(port) for port in plan["ports"]]

    async def run(self, until):
        number = 0
        while time.monotonic() < until:
            draws = random.Random(f"{self.plan['seed']}/{self.number}/{number}")
            await self._ask(draws, f"{self.number}.{number}", until)
            number += 1
        for connection in self.connections:
            connection.close()

    async def _ask(self, draws, name, until):
        place = draws.randrange(len(self.connections))
        body = self._body(draws, name)
        start_ns = time.monotonic_ns()
        answer, end = await exchange.ask(self.connections[place], PATH, body)
        facts = exchange.described(answer) if end == "whole" else {"status": answer.status}
        retry = (facts.get("headers") or {}).get("retry-after")
        self.journal.write("asked", name=name, model=self.work["model"], place=place, end=end,
                           status=facts["status"], start_ns=start_ns,
                           end_ns=time.monotonic_ns(), retry_after=retry,
                           content=facts.get("content"), error=facts.get("error"),
                           degraded=(facts.get("headers") or {}).get("x-tidegate-degraded"))
        if end != "whole":
            await asyncio.sleep(PAUSE_S)
        elif facts["status"] in (429, 503):
            wait_s = min(float(retry or 1), MOST_RETRY_AFTER_S)
            await asyncio.sleep(max(0, min(wait_s, until - time.monotonic())))

    def _body(self, draws, name):
        low, high = self.work["max_tokens"]
        most = draws.randint(low, high)
        said = draws.randint(1, most)
        wait_ms = draws.randint(*self.work["wait_ms"])
        filler = "lorem ipsum " * draws.randint(1, 12)
        text = f"{name} wait:{wait_ms} say:{said} {filler}"
        return json.dumps({"model": self.work["model"], "max_tokens": most,
                           "messages": [{"role": "user", "content": text}]}).encode()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plan", required=True, type=pathlib.Path)
    parser.add_argument("--journal", required=True, type=pathlib.Path)
    given = parser.parse_args()
    plan = json.loads(given.plan.read_text(encoding="utf-8"))
    exchange.PATIENCE_MS = plan["patience_ms"]
    journal = Journal(given.journal)
    work = [work for work in plan["work"] for _ in range(work["clients"])]
    until = time.monotonic() + plan["seconds"]
    journal.write("began", at_ns=time.monotonic_ns())
    clients = [Client(n, plan, work, journal) for n, work in enumerate(work)]
    await asyncio.gather(*(client.run(until) for client in clients))
    journal.write("over", at_ns=time.monotonic_ns())


if __name__ == "__main__":
    asyncio.run(main())
