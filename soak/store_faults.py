#!/usr/bin/env python3
"""Drives two gateways under load while their Redis fails in ten ways.

First one server behind a proxy: killed, emptied, paused, slow, cut off, silent,
full, read-only, without its scripts. Then a primary that is killed again and
again, with a replica and three sentinels. Watches what each gateway says of its
store. It judges nothing: `store_faults_checker.py` does.
"""

import argparse
import asyncio
import json
import pathlib
import random
import sys
import time

import exchange
import store_events
from fleet import Fleet, HERE
from journal import Journal
from proxy import Proxy
from redis_servers import Redis, Sentinel

GATES = 2
DEADLINE_MS = 2_000
WINDOW_MS = 4_000
TIGHT = 80
LOOK_S = 0.03
# A store or a gateway that has not recovered for so long is given up.
PATIENCE_S = 15
WARM_UP_S = 1
# Between two events: the tight model sees whole windows without any.
CALM_S = (0.3, 3.5)
SETTINGS = {
    "server": {"deadline_ms": DEADLINE_MS, "drain_ms": 1_000, "workers": 1},
    "log": {"level": "info", "format": "json", "access": False},
    "guard": {"enabled": False},
    "resilience": {"window_ms": WINDOW_MS, "failure_threshold": 10_000},
    "store": {"on_unreachable": "local_share"},
}
MODELS = {
    "open": {"requests_per_minute": 1_000_000, "tokens_per_minute": 1_000_000_000,
             "max_concurrent": 1_000},
    "tight": {"requests_per_minute": TIGHT * 60_000 // WINDOW_MS},
}
WORK = [
    {"model": "open", "clients": 12, "max_tokens": [8, 64], "wait_ms": [20, 100]},
    {"model": "tight", "clients": 12, "max_tokens": [8, 64], "wait_ms": [20, 100]},
]
REACHES = ("live", "recovering", "unreachable")
AOF = ["--appendonly", "yes", "--appendfsync", "everysec"]


class Watch:
    """What one gateway says of its store, asked all the time."""

    def __init__(self, gate, journal):
        self.gate = gate
        self.journal = journal
        self.reach = None
        self.looked_ns = 0
        self.live = {"asked": 0, "failed": 0, "slowest_ms": 0.0}
        self.task = asyncio.create_task(self._look())

    async def _look(self):
        while True:
            await self._live()
            before_ns = time.monotonic_ns()
            reach = await self._ask()
            if reach != self.reach:
                self.journal.write("reach", gate=self.gate.name, at_ns=time.monotonic_ns(),
                                   reach=reach)
            self.reach, self.looked_ns = reach, before_ns
            await asyncio.sleep(LOOK_S)

    async def _ask(self):
        try:
            stats = await exchange.get(self.gate.port, "/v1/stats")
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            return f"no answer: {type(error).__name__}"
        reach = (stats.get("store") or {}).get("reach")
        # A word, or an object around it.
        return reach.get("state") if isinstance(reach, dict) else reach

    async def _live(self):
        start = time.monotonic()
        self.live["asked"] += 1
        try:
            alive = (await exchange.get(self.gate.port, "/health/live"))["status"] == "live"
        except (OSError, EOFError, ValueError, KeyError, asyncio.TimeoutError):
            alive = False
        self.live["failed"] += not alive
        took_ms = round((time.monotonic() - start) * 1e3, 1)
        self.live["slowest_ms"] = max(self.live["slowest_ms"], took_ms)

    async def recovered_ns(self):
        """When it was first seen with a store, asked after now; None if it never is."""
        now_ns = time.monotonic_ns()
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if self.looked_ns > now_ns and self.reach in ("live", "recovering"):
                return time.monotonic_ns()
            await asyncio.sleep(LOOK_S / 4)
        return None

    def stop(self):
        self.task.cancel()
        self.journal.write("live", gate=self.gate.name, **self.live)


class Phase:
    """A fleet over one kind of store, its load and its watches."""

    def __init__(self, given, name, journal):
        self.given = given
        self.name = name
        self.journal = journal
        self.draws = random.Random(f"{given.seed}/{name}")
        self.fleet = Fleet(given.binary, given.folder, f"store_faults-{name}", SETTINGS, MODELS)
        self.watches = []
        self.clients = None

    async def begin(self, url):
        await self.fleet.start([url] * GATES)
        self.journal.write("phase", name=self.name, window_ms=WINDOW_MS, tight=TIGHT,
                           gates=GATES, deadline_ms=DEADLINE_MS)
        plan = self.given.folder / f"{self.fleet.name}-plan.json"
        plan.write_text(json.dumps({
            "seed": f"{self.given.seed}/{self.name}", "ports": self.fleet.ports,
            "seconds": 86_400, "patience_ms": 3 * DEADLINE_MS, "work": WORK,
        }), encoding="utf-8")
        self.clients = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "callers.py"), "--plan", str(plan),
            "--journal", str(self.given.folder / f"{self.fleet.name}-asked.ndjson"))
        self.watches = [Watch(gate, self.journal) for gate in self.fleet.gates]
        await asyncio.sleep(WARM_UP_S)
        for watch in self.watches:
            if watch.reach not in REACHES:
                raise RuntimeError(f"{watch.gate.name}: .store.reach of /v1/stats is "
                                   f"{watch.reach!r}, none of {REACHES}")

    async def event(self, number, kind, happen, writable):
        """Lets it happen, and finds out when the store and the gateways are back."""
        start_ns = time.monotonic_ns()
        await happen
        healed_ns = time.monotonic_ns()
        written_ns = await until_true(writable)
        recovered = [await watch.recovered_ns() for watch in self.watches] if written_ns else []
        self.journal.write("event", phase=self.name, number=number, what=kind,
                           start_ns=start_ns, healed_ns=healed_ns, written_ns=written_ns,
                           recovered_ns=recovered)
        await asyncio.sleep(self.draws.uniform(*CALM_S))

    async def end(self):
        for watch in self.watches:
            watch.stop()
        if self.clients and self.clients.returncode is None:
            self.clients.terminate()
            await self.clients.wait()
        # What is under way may still settle and be written down.
        await asyncio.sleep(0.3)
        await self.fleet.stop()


async def until_true(ask):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if await ask():
            return time.monotonic_ns()
        await asyncio.sleep(LOOK_S / 4)
    return None


async def run_single(given, journal, kinds):
    phase = Phase(given, "single", journal)
    redis = Redis(given.folder, "store_faults-redis", *AOF)
    proxy = Proxy(redis.port)
    events = store_events.Events(redis, proxy, phase.draws)
    try:
        await redis.start()
        await proxy.start()
        await phase.begin(f"redis://127.0.0.1:{proxy.port}")
        for number, kind in enumerate(kinds):
            await phase.event(number, kind, events.happen(kind), redis.accepts_writes)
    finally:
        await phase.end()
        proxy.stop()
        await redis.kill()


async def run_sentinel(given, journal, failovers):
    phase = Phase(given, "sentinel", journal)
    pair = [Redis(given.folder, f"store_faults-pair-{n}", *AOF) for n in range(2)]
    watchers = []
    try:
        await pair[0].start()
        await pair[1].start("--replicaof", "127.0.0.1", str(pair[0].port))
        watchers += [Sentinel(given.folder, f"store_faults-sentinel-{n}", pair[0].port, 2)
                     for n in range(3)]
        for sentinel in watchers:
            await sentinel.start()
        await until_watched(watchers)
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in watchers)
        await phase.begin(f"redis+sentinel://{hosts}/main")
        for number in range(failovers):
            await failover(phase, number, pair, watchers)
    finally:
        await phase.end()
        for server in [*pair, *watchers]:
            await server.kill()


async def until_watched(watchers):
    """Until each sentinel knows the replica and the two others."""

    async def all_known():
        for sentinel in watchers:
            facts = await sentinel.try_talk("SENTINEL", "MASTER", "main") or []
            known = dict(zip(facts[::2], facts[1::2]))
            if (known.get("num-slaves"), known.get("num-other-sentinels")) != ("1", "2"):
                return False
        return True

    if not await until_true(all_known):
        raise RuntimeError("the sentinels do not find each other; see their logs")


async def failover(phase, number, pair, watchers):
    """Kills the primary; the dead one comes back as a replica of the other."""
    port = await watchers[0].primary_port()
    old, new = pair if pair[0].port == port else reversed(pair)

    async def taken_over():
        return await watchers[0].primary_port() == new.port and await new.accepts_writes()

    await phase.event(number, "failover", old.kill(), taken_over)
    await old.start("--replicaof", "127.0.0.1", str(new.port))

    async def in_step():
        facts = await old.try_talk("INFO", "replication") or ""
        return "master_link_status:up" in facts

    if not await until_true(in_step):
        raise RuntimeError("the replica does not come into step; see its log")
    await until_watched(watchers)


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--events", required=True, type=int)
    given = parser.parse_args()
    # In a hundredth there would be two; three fit into half a minute.
    kinds, failovers = store_events.plan(given.seed, max(given.events, 3))
    journal = Journal(given.folder / "store_faults.ndjson")
    journal.write("run", seed=given.seed, events=len(kinds) + failovers)
    stop = asyncio.current_task().cancel
    asyncio.get_running_loop().add_signal_handler(15, stop)
    await run_single(given, journal, kinds)
    await run_sentinel(given, journal, failovers)
    journal.write("over")


if __name__ == "__main__":
    asyncio.run(main())
