#!/usr/bin/env python3
"""Drives 10,000 scripted upstream faults through the release binary.

Starts mocks and gateways, sends the seeded requests of `scenario.py`, kills and
freezes the mocks meanwhile, and writes down everything that was asked and what
came back. It judges nothing: `checker.py` does, from the journals alone.
"""

import argparse
import asyncio
import json
import pathlib
import random
import signal
import time

import exchange
import scenario
from filling import fill_all, fill_by_mock
from healed import Healed
from journal import Journal
from processes import Process

ROUNDS = 8
WARM_UP_REQUESTS = 400
FAULTS_PER_DISTURBANCE = 500
DISTURBANCES = ["kill", "freeze", "kill", "kill"]
QUIET_MS = 400
LOOK_MS = 20
LATE_MS = 50
PATH = "/v1/chat/completions"

_SCRIPTED = {*scenario.FAULTS, scenario.FLOOD}


class Played:
    """Counts the faults in the journals of the mocks as they grow."""

    def __init__(self, paths):
        self.places = dict.fromkeys(paths, 0)
        self.faults = 0

    def look(self):
        for path, place in self.places.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(place)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self.places[path] += len(whole)
            behaviors = (json.loads(line)["behavior"] for line in whole.splitlines())
            self.faults += sum(behavior in _SCRIPTED for behavior in behaviors)


class Soak:
    """One run."""

    def __init__(self, binary, folder, seed, target):
        self.seed = seed
        self.target = target
        self.journal = Journal(folder / "driver.ndjson")
        self.folder = folder
        self.mocks = {
            name: Process(binary, f"mock-{name}", folder, ["mock", *pace, "--journal",
                          str(folder / f"mock-{name}.ndjson")])
            for name, pace in {
                "quick": [],
                "paced": ["--gap-ms", "6", "--latency-ms", "3"],
            }.items()
        }
        self.played = Played([folder / f"mock-{name}.ndjson" for name in self.mocks])
        self.gateways = {
            gateway: Process(binary, f"gateway-{gateway.name}", folder,
                             ["serve", "--config", str(folder / f"{gateway.name}.toml")])
            for gateway in scenario.GATEWAYS
        }
        self.numbers = {gateway.name: 0 for gateway in scenario.GATEWAYS}
        self.healed = Healed()

    async def run(self):
        await self._start()
        started = time.monotonic()
        await self._warm_up()
        await self._quiet("before")
        watches = [asyncio.create_task(w) for w in (self._watch(), self._watch_clock())]
        for number in range(ROUNDS):
            await self._round(number)
            await self._quiet(_label(number))
        for watch in watches:
            watch.cancel()
        await self._fill()
        await self._quiet("end")
        await self._stop()
        self.journal.write("over", seconds=round(time.monotonic() - started, 1))

    async def _start(self):
        for mock in self.mocks.values():
            await mock.start()
        ports = {name: mock.port for name, mock in self.mocks.items()}
        for gateway, process in self.gateways.items():
            text = scenario.config(gateway, self.seed, ports)
            (self.folder / f"{gateway.name}.toml").write_text(text, encoding="utf-8")
            await process.start()
        self.journal.write(
            "run",
            seed=self.seed,
            target=self.target,
            deadline_ms=scenario.DEADLINE_MS,
            idle_ms=scenario.STREAM_IDLE_MS,
            gateways={
                gateway.name: {
                    "trips": gateway.failure_threshold < self.target,
                    "recovery_ms": gateway.max_cooldown_ms + scenario.DEADLINE_MS,
                    "chains": scenario.chains(gateway, self.seed),
                    "entries": scenario.entries(gateway),
                }
                for gateway in self.gateways
            },
        )

    async def _warm_up(self):
        """Working requests, so that pools and buffers exist before memory is measured."""

        async def worker(gateway, process, name):
            connection = exchange.Connection(process.port)
            for number in range(WARM_UP_REQUESTS // gateway.workers):
                model = f"alone/{['quick', 'brisk', 'paced'][number % 3]}/answer"
                request = scenario.Request(
                    gateway.name, f"warm-up {name}.{number}", model, number % 2 == 0,
                    f"warm-up {name} {number}", False, None,
                )
                await self._ask(connection, request)
            connection.close()

        await asyncio.gather(*(
            worker(gateway, process, name)
            for gateway, process in self.gateways.items()
            for name in range(gateway.workers)
        ))

    async def _round(self, number):
        """Asks until this round's share of the faults has been played."""
        begun = self.played.faults
        limit = begun + -(-self.target // ROUNDS)
        disturb = asyncio.create_task(self._disturb(number, begun, limit))

        async def worker(gateway, process):
            connection = exchange.Connection(process.port)
            while (self.played.faults < limit or not disturb.done()) and process.alive:
                place = self.numbers[gateway.name]
                self.numbers[gateway.name] += 1
                flooded = number == ROUNDS - 1
                request = scenario.request(self.seed, gateway.name, place, flooded)
                await self._ask(connection, request)
            connection.close()

        await asyncio.gather(*(
            worker(gateway, process)
            for gateway, process in self.gateways.items()
            for _ in range(gateway.workers)
        ))
        await disturb

    async def _watch(self):
        while True:
            self.played.look()
            await asyncio.sleep(LOOK_MS / 1e3)

    async def _watch_clock(self):
        """Notes when the driver itself was late: its answers were there before it looked."""
        while True:
            start = exchange.now_ms()
            await asyncio.sleep(LOOK_MS / 1e3)
            late = exchange.now_ms() - start - LOOK_MS
            if late > LATE_MS:
                self.journal.write("late", late_ms=round(late, 1), start_ms=round(start, 1),
                                   end_ms=round(exchange.now_ms(), 1))

    async def _ask(self, connection, request):
        body = {
            "model": request.model,
            "messages": [{"role": "user", "content": f"echo:{request.text}"}],
        }
        if request.stream:
            body["stream"] = True
        if request.cached:
            body["tidegate"] = {"cache": "use"}
        name = f"{request.gateway}.{request.number}".replace(" ", "-")
        self.journal.write(
            "asked", name=name, gateway=request.gateway, model=request.model,
            stream=request.stream, text=request.text, cached=request.cached,
            leave=request.leave.moment if request.leave else None,
        )
        start = exchange.now_ms()
        answer, end = await exchange.ask(
            connection, PATH, json.dumps(body).encode(), {"x-request-id": name}, request.leave
        )
        now = exchange.now_ms()
        self.journal.write(
            "ended", name=name, end=end, start_ms=round(start, 1), end_ms=round(now, 1),
            took_ms=round(now - start, 1), **(exchange.described(answer) if end == "whole" else {
                "status": answer.status, "body_bytes": len(answer.body)}),
        )

    async def _disturb(self, number, begun, limit):
        """Kills or freezes a mock at seeded moments of this round."""
        draws = random.Random(f"{self.seed}/disturbances/{number}")
        # A short soak has few, or it would see nothing but outages.
        times = (limit - begun) // FAULTS_PER_DISTURBANCE or number % ROUNDS in (2, 5)
        moments = sorted(draws.uniform(0.05, 0.9) for _ in range(times))
        for place, moment in enumerate(moments):
            while self.played.faults < begun + moment * (limit - begun):
                await asyncio.sleep(0.01)
            what = DISTURBANCES[(number + place) % len(DISTURBANCES)]
            mock = draws.choice(list(self.mocks))
            start = exchange.now_ms()
            if what == "kill":
                await self.mocks[mock].kill()
                await asyncio.sleep(draws.uniform(0, 0.25))
                await self.mocks[mock].start()
            else:
                self.mocks[mock].signal(signal.SIGSTOP)
                await asyncio.sleep(draws.uniform(0.1, 0.9))
                self.mocks[mock].signal(signal.SIGCONT)
            self.journal.write("disturbance", what=what, mock=mock, start_ms=round(start, 1),
                               end_ms=round(exchange.now_ms(), 1))

    async def _quiet(self, label):
        """Waits until nothing is in flight, then notes memory and statistics."""
        self.played.look()
        for gateway, process in self.gateways.items():
            if not process.alive:
                self.journal.write("died", gateway=gateway.name, code=process.child.returncode)
                continue
            until = exchange.now_ms() + scenario.DEADLINE_MS + 1_000
            stats = await exchange.get(process.port, "/v1/stats")
            while _busy(stats) and exchange.now_ms() < until:
                await asyncio.sleep(0.02)
                stats = await exchange.get(process.port, "/v1/stats")
            self.journal.write("stats", label=label, gateway=gateway.name, stats=stats)
        await asyncio.sleep(QUIET_MS / 1e3)
        for gateway, process in self.gateways.items():
            if process.alive:
                rss, peak = process.rss_kib()
                self.journal.write("memory", label=label, gateway=gateway.name, rss_kib=rss,
                                   peak_kib=peak, open_files=process.open_files())
        for name, mock in self.mocks.items():
            if mock.alive:
                stats = await exchange.get(mock.port, "/__mock/stats")
                self.journal.write("mock", label=label, mock=name, stats=stats)

    async def _fill(self):
        """Fills every slot: some against the mock, all against a healed upstream."""
        await fill_by_mock(self)
        for mock in self.mocks.values():
            await mock.stop()
        await self.healed.start([mock.port for mock in self.mocks.values()])
        await fill_all(self)
        await self.healed.stop()

    async def _stop(self):
        for gateway, process in self.gateways.items():
            if process.alive:
                self.journal.write("exit", gateway=gateway.name, code=await process.stop())

    async def clean_up(self):
        for process in [*self.gateways.values(), *self.mocks.values()]:
            await process.kill()


def _label(number):
    """Names of the quiet moments; the last round is the one with huge lines."""
    return {ROUNDS - 2: "ordinary", ROUNDS - 1: "after"}.get(number, f"round {number + 1}")


def _busy(stats):
    return stats["waiting_requests"] or any(e["active_requests"] for e in stats["models"])


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--faults", required=True, type=int)
    given = parser.parse_args()
    soak = Soak(given.binary, given.folder, given.seed, given.faults)
    stop = asyncio.current_task().cancel
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        await soak.run()
    finally:
        await soak.clean_up()


if __name__ == "__main__":
    asyncio.run(main())
