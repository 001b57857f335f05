#!/usr/bin/env python3
"""Drives three gateways that share one cache, for three tenants with the same questions.

Every call of the upstream has a serial number, which its answer repeats: an
answer says by itself when it was made. First single invalidations on one node,
watched from another; then random reads and invalidations everywhere; then many
callers of one missing key. It judges nothing: `coherence_checker.py` does.
"""

import argparse
import asyncio
import json
import pathlib
import random
import re
import resource
import time

import exchange
from fleet import Fleet
from journal import Journal
from redis_servers import Redis

NODES = 3
TENANTS = 3
WORKERS = 36
PROMPTS = 48
DOMAINS = 8
MODELS = ["north", "south", "west"]
CHAT = "/v1/chat/completions"
FORGET = "/v1/cache/invalidate"
WARM = "/v1/cache/warm"
OPERATOR = TENANTS
# Of all operations; the rest are reads. Warming is an operator's, and calls the
# upstream where nothing is kept.
WARMING = 0.01
FORGETTING = {"domain": 0.012, "tag": 0.004, "namespace": 0.0015, "prefix": 0.0005, "key": 0.002}
NAMESPACE = "answer"
SERIAL = re.compile(r"^serial:(\d+) re:(.*)$", re.DOTALL)
# Where an invalidation has to be seen everywhere; a probe comes right after it.
BOUND_S = 0.05
CALLERS = 1_000
# A trial whose invalidation is not seen for so long is given up.
PATIENCE_S = 3


class Tenant:
    """One worker's connections in the name of one tenant."""

    def __init__(self, number, ports):
        self.number = number
        self.headers = {"authorization": f"Bearer {key_of(number)}"}
        self.connections = [exchange.Connection(port) for port in ports]

    async def read(self, place, text, model, domain):
        """Asks, with the cache; what came back and when."""
        body = request(text, model) | {"tidegate": {"cache": "use", "domain": domain}}
        facts = await self._post(place, CHAT, body)
        answer = facts.pop("answer")
        said = exchange.described(answer) if facts["end"] == "whole" else {}
        found = SERIAL.match(said.get("content") or "")
        return facts | {
            "tenant": self.number, "place": place, "text": text, "error": said.get("error"),
            "cache": (said.get("headers") or {}).get("x-tidegate-cache"),
            "serial": int(found[1]) if found else None,
            "other_text": bool(found) and found[2] != text,
        }

    async def warm(self, place, tenant, text, model, domain):
        """Puts an answer into the cache of another one."""
        entry = {"request": request(text, model), "domain": domain, "tenant": name_of(tenant)}
        facts = await self._post(place, WARM, {"entries": [entry]})
        try:
            said = json.loads(bytes(facts.pop("answer").body))
        except ValueError:
            said = {}
        counts = {count: said.get(count) for count in ("warmed", "skipped", "failed")}
        return facts | counts | {"tenant": tenant, "text": text}

    async def forget(self, place, what, value):
        facts = await self._post(place, FORGET, {what: value})
        answer = facts.pop("answer")
        try:
            removed = json.loads(bytes(answer.body)).get("removed")
        except (ValueError, AttributeError):
            removed = None
        return facts | {"tenant": self.number, "place": place, "what": what, "value": value,
                        "removed": removed}

    async def _post(self, place, path, body):
        start_ns = time.monotonic_ns()
        answer, end = await exchange.ask(
            self.connections[place], path, json.dumps(body).encode(), self.headers)
        return {"start_ns": start_ns, "end_ns": time.monotonic_ns(), "end": end,
                "status": answer.status, "answer": answer}

    def close(self):
        for connection in self.connections:
            connection.close()


class Coherence:
    """One run."""

    def __init__(self, given):
        self.given = given
        self.journal = Journal(given.folder / "coherence.ndjson")
        self.redis = Redis(given.folder, "coherence-redis")
        self.left = given.operations
        settings = {
            "server": {"deadline_ms": 8_000, "drain_ms": 1_000, "workers": 1},
            "log": {"level": "warn", "format": "json", "access": False},
            "guard": {"enabled": False},
            "resilience": {"failure_threshold": 10_000},
            "keys": [{"tenant": name_of(n), "key": f"env:SOAK_KEY_{n}",
                      "role": "admin" if n == OPERATOR else "user"}
                     for n in range(TENANTS + 1)],
        }
        self.fleet = Fleet(given.binary, given.folder, "coherence", settings,
                           {model: {} for model in MODELS})

    async def run(self):
        await self.redis.start()
        keys = {f"SOAK_KEY_{n}": key_of(n) for n in range(TENANTS + 1)}
        url = f"redis://127.0.0.1:{self.redis.port}"
        await self.fleet.start([url] * NODES, [keys] * NODES)
        sizes = {"trials": self.given.trials, "operations": self.given.operations,
                 "rounds": self.given.rounds, "callers": CALLERS}
        self.journal.write("run", seed=self.given.seed, nodes=NODES, tenants=TENANTS, **sizes)
        for number in range(self.given.trials):
            await self._trial(number)
        await asyncio.gather(*(self._work(n) for n in range(WORKERS)))
        for number in range(self.given.rounds):
            await self._round(number)
        await self.fleet.stop()
        self.journal.write("over")

    async def _trial(self, number):
        """Cached on two nodes, forgotten on one, read on the other until it is new."""
        draws = random.Random(f"{self.given.seed}/trial/{number}")
        here, there = draws.sample(range(NODES), 2)
        tenant = Tenant(draws.randrange(TENANTS), self.fleet.ports)
        model, domain = draws.choice(MODELS), f"trial-{number}"
        asked = (f"trial {number}", model, domain)
        what = draws.choice(["domain", "tag", "namespace"])
        value = {"domain": domain, "tag": f"model:{model}", "namespace": NAMESPACE}[what]
        await tenant.read(here, *asked)
        before = await tenant.read(there, *asked)
        again = await tenant.read(there, *asked)
        forgotten = await tenant.forget(here, what, value)
        reads = []
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            read = await tenant.read(there, *asked)
            reads.append(read)
            if read["serial"] != before["serial"]:
                break
        tenant.close()
        last = reads[-1]
        is_new = last["serial"] is not None and last["serial"] != before["serial"]
        self.journal.write(
            "trial", number=number, what=what, held=[before["cache"], again["cache"]],
            status=forgotten["status"], removed=forgotten["removed"], reads=len(reads),
            seen_ms=(last["start_ns"] - forgotten["end_ns"]) / 1e6 if is_new else None)

    async def _work(self, worker):
        *tenants, operator = [Tenant(n, self.fleet.ports) for n in range(TENANTS + 1)]
        number = 0
        while self.left > 0:
            self.left -= 1
            draws = random.Random(f"{self.given.seed}/{worker}/{number}")
            if draws.random() < WARMING:
                await self._warm(draws, operator)
            else:
                await self._operation(draws, draws.choice(tenants))
            number += 1
        for tenant in [*tenants, operator]:
            tenant.close()

    async def _operation(self, draws, tenant):
        chance = draws.random()
        for what, share in FORGETTING.items():
            if chance < share:
                await self._forget(draws, tenant, what)
                return
            chance -= share
        self._note(await tenant.read(draws.randrange(NODES), *question(draws.randrange(PROMPTS))))

    async def _warm(self, draws, operator):
        facts = await operator.warm(draws.randrange(NODES), draws.randrange(TENANTS),
                                    *question(draws.randrange(PROMPTS)))
        self.journal.write("warm", **facts)

    async def _forget(self, draws, tenant, what):
        """Forgets on one node and, when it has to be seen, reads on another."""
        here, there = draws.sample(range(NODES), 2)
        prompt = draws.randrange(PROMPTS)
        text, model, domain = question(prompt)
        if what == "prefix":
            # Keys are digests: the sixteen digits cover them all.
            parts = [await tenant.forget(here, what, digit) for digit in "0123456789abcdef"]
            facts = parts[0] | {"end_ns": parts[-1]["end_ns"], "value": "0 to f",
                                "removed": sum(part["removed"] or 0 for part in parts),
                                "status": max(part["status"] or 0 for part in parts)}
        else:
            value = {"domain": domain, "tag": f"model:{model}", "namespace": NAMESPACE,
                     "key": f"no such key {prompt}"}[what]
            facts = await tenant.forget(here, what, value)
        self.journal.write("forget", covers=covered(what, prompt), **facts)
        await asyncio.sleep(BOUND_S + draws.uniform(0, 0.01))
        self.left -= 1
        self._note(await tenant.read(there, text, model, domain))

    def _note(self, read):
        self.journal.write("read", **read)

    async def _round(self, number):
        """Many callers of one missing key, over all nodes at once."""
        text = f"round {number} wait:300"
        tenant = number % TENANTS
        callers = [Tenant(tenant, self.fleet.ports) for _ in range(CALLERS)]
        for place, caller in enumerate(callers):
            await caller.connections[place % NODES].open()
        reads = await asyncio.gather(*(
            caller.read(place % NODES, text, MODELS[0], "rounds")
            for place, caller in enumerate(callers)))
        for caller in callers:
            caller.close()
        self.journal.write("round", number=number, text=text,
                           statuses=[read["status"] for read in reads],
                           serials=sorted({read["serial"] for read in reads}, key=str))

    async def clean_up(self):
        await self.fleet.stop()
        await self.redis.kill()


def question(prompt):
    """Text, model and domain: the same for every tenant."""
    return f"prompt {prompt}", MODELS[prompt % len(MODELS)], f"domain-{prompt % DOMAINS}"


def covered(what, prompt):
    """The texts that an invalidation made for this prompt covers."""
    covers = {
        "domain": lambda other: other % DOMAINS == prompt % DOMAINS,
        "tag": lambda other: other % len(MODELS) == prompt % len(MODELS),
        "key": lambda other: False,
    }.get(what, lambda other: True)
    return [question(other)[0] for other in range(PROMPTS) if covers(other)]


def request(text, model):
    """The same bytes whoever asks: they are what an answer is kept under."""
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def name_of(tenant):
    return f"tenant-{tenant}"


def key_of(tenant):
    return f"soak-key-of-tenant-number-{tenant}"


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--operations", required=True, type=int)
    given = parser.parse_args()
    given.trials = max(40, given.operations // 200)
    given.rounds = max(1, given.operations // 10_000)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    soak = Coherence(given)
    stop = asyncio.current_task().cancel
    asyncio.get_running_loop().add_signal_handler(15, stop)
    try:
        await soak.run()
    finally:
        await soak.clean_up()


if __name__ == "__main__":
    asyncio.run(main())
