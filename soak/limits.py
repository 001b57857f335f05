#!/usr/bin/env python3
"""Drives gateways that share their limits, and kills them, and shifts their clocks.

One Redis, several gateways, 64 clients, and an upstream that writes down what
reached it: as it is (`plain`), with a random gateway killed every 5 s (`kills`),
and with the gateways' wall clocks 5 minutes apart and one of them jumping
(`clocks`). A short soak has one phase with both kills and clocks (`both`).
It judges nothing: `limits_checker.py` does, from the journals alone.
"""

import argparse
import asyncio
import json
import pathlib
import random
import sys
import time
from email.utils import parsedate_to_datetime

import exchange
from fleet import Fleet, HERE, faketime_library
from journal import Journal
from redis_servers import Redis

PHASES = ["plain", "kills", "clocks"]
SHIFT_S = 300
KILL_EVERY_S = 5
JUMP_EVERY_S = 5
DEADLINE_MS = 8_000
# A phase that is shorter sees too few windows; two and a bit are the least.
SHORT_S = 22
WINDOW_MS = 10_000
LIMITS = {"requests": 300, "tokens": 60_000, "slots": 24}
WINDOWS_PER_MINUTE = 60_000 // WINDOW_MS
# What each kind of client asks for: more than the limit allows in each window,
# over its whole length, so that a kill meets calls in flight.
WORK = [
    {"model": "requests", "clients": 16, "max_tokens": [16, 200], "wait_ms": [150, 350]},
    {"model": "tokens", "clients": 16, "max_tokens": [50, 600], "wait_ms": [100, 300]},
    {"model": "slots", "clients": 32, "max_tokens": [16, 200], "wait_ms": [400, 800]},
]


class Phase:
    """One part of the run, with servers of its own."""

    def __init__(self, given, name, journal):
        self.given = given
        self.name = name
        self.journal = journal
        models = {
            "requests": {"requests_per_minute": LIMITS["requests"] * WINDOWS_PER_MINUTE},
            "tokens": {"tokens_per_minute": LIMITS["tokens"] * WINDOWS_PER_MINUTE},
            "slots": {"max_concurrent": LIMITS["slots"]},
        }
        settings = {
            "server": {"deadline_ms": DEADLINE_MS, "drain_ms": 1_000, "workers": 1},
            "log": {"level": "warn", "format": "json", "access": False},
            "guard": {"enabled": False},
            # A few wait in line at each gateway, the others are told when to come back.
            "resilience": {"window_ms": WINDOW_MS, "max_waiting": 3,
                           "failure_threshold": 10_000},
        }
        self.fleet = Fleet(given.binary, given.folder, f"limits-{name}", settings, models)
        self.redis = Redis(given.folder, f"limits-{name}-redis") if given.store == "redis" else None
        self.jump_file = given.folder / f"limits-{name}-clock"
        self.clients = None

    async def run(self):
        url = None
        if self.redis:
            await self.redis.start()
            # A server that is younger than a window may have lost its counts, and
            # gateways keep to their shares: that is another soak's.
            await asyncio.sleep(WINDOW_MS / 1e3 + 1.5)
            url = f"redis://127.0.0.1:{self.redis.port}"
        environments = self._clocks() if self.name in ("clocks", "both") else None
        await self.fleet.start([url] * self.given.nodes, environments)
        self.journal.write("phase", name=self.name, window_ms=WINDOW_MS,
                           limits=LIMITS, nodes=self.given.nodes, seconds=self.given.seconds,
                           clients=sum(work["clients"] for work in WORK))
        await self._see_clocks()
        await self._start_clients()
        ended = asyncio.create_task(self.clients.wait())
        disturbances = []
        if self.name in ("kills", "both"):
            disturbances.append(self._kill_until(ended))
        if environments:
            disturbances.append(self._jump_until(ended))
        await asyncio.gather(*disturbances)
        self.journal.write("clients", phase=self.name, code=await ended)

    async def _start_clients(self):
        name = f"limits-{self.name}"
        plan = self.given.folder / f"{name}-plan.json"
        plan.write_text(json.dumps({
            "seed": f"{self.given.seed}/{self.name}", "ports": self.fleet.ports,
            "seconds": self.given.seconds, "patience_ms": 2 * DEADLINE_MS, "work": WORK,
        }), encoding="utf-8")
        self.clients = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "callers.py"), "--plan", str(plan),
            "--journal", str(self.given.folder / f"{name}-asked.ndjson"))

    async def _kill_until(self, ended):
        """Only while the clients have long to go: the last gateway is back by then."""
        draws = random.Random(f"{self.given.seed}/kills")
        until = time.monotonic() + self.given.seconds - 1
        number = 0
        while True:
            await asyncio.wait([ended], timeout=KILL_EVERY_S + draws.uniform(-0.5, 0.5))
            if ended.done() or time.monotonic() > until:
                return
            gate = draws.choice(self.fleet.gates)
            await gate.kill()
            killed_ns = time.monotonic_ns()
            await gate.start()
            self.journal.write("kill", number=number, gate=gate.name, at_ns=killed_ns,
                               back_ns=time.monotonic_ns())
            number += 1

    def _clocks(self):
        """One right, one ahead, one behind, one that jumps."""
        # Forward first: the date of an answer is not set back with its clock.
        self._jump(-SHIFT_S)
        common = {"LD_PRELOAD": faketime_library(), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        kinds = [None,
                 common | {"FAKETIME": f"+{SHIFT_S}s"},
                 common | {"FAKETIME": f"-{SHIFT_S}s"},
                 common | {"FAKETIME_TIMESTAMP_FILE": str(self.jump_file),
                           "FAKETIME_NO_CACHE": "1"}]
        return [kinds[place % len(kinds)] for place in range(self.given.nodes)]

    def _jump(self, shift_s):
        new = self.jump_file.with_suffix(".new")
        new.write_text(f"{shift_s:+d}s\n", encoding="ascii")
        new.replace(self.jump_file)

    async def _jump_until(self, ended):
        shift_s = -SHIFT_S
        while not ended.done():
            await asyncio.wait([ended], timeout=JUMP_EVERY_S)
            shift_s = -shift_s
            self._jump(shift_s)
            await self._see_clocks()

    async def _see_clocks(self):
        """What each gateway takes for the time, beside ours."""
        shifts = [await clock_shift(gate.port) if gate.alive else None
                  for gate in self.fleet.gates]
        self.journal.write("clocks", phase=self.name, at_ns=time.monotonic_ns(), shifts_s=shifts)

    async def clean_up(self):
        if self.clients and self.clients.returncode is None:
            self.clients.kill()
            await self.clients.wait()
        await self.fleet.stop()
        if self.redis:
            await self.redis.kill()


async def clock_shift(port):
    """Seconds by which a gateway's `date` differs from our own."""
    try:
        headers = await exchange.get_headers(port, "/health/live")
    except (OSError, EOFError):
        return None  # it was killed meanwhile
    return round(parsedate_to_datetime(headers["date"]).timestamp() - time.time())


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--seconds", required=True, type=int, help="of each phase")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--store", choices=["redis", "memory"], default="redis")
    parser.add_argument("--phases", help=f"of {', '.join(PHASES)}, both")
    given = parser.parse_args()
    journal = Journal(given.folder / "limits.ndjson")
    phases = given.phases.split(",") if given.phases else PHASES
    if given.seconds < SHORT_S:
        given.seconds = SHORT_S
        phases = ["both"] if not given.phases else phases
    journal.write("run", seed=given.seed, phases=phases, store=given.store)
    stop = asyncio.current_task().cancel
    asyncio.get_running_loop().add_signal_handler(15, stop)
    for name in phases:
        phase = Phase(given, name, journal)
        try:
            await phase.run()
        finally:
            await phase.clean_up()
    journal.write("over")


if __name__ == "__main__":
    asyncio.run(main())
