#!/usr/bin/env python3
"""Drives background tasks: many that each ask a model for 20 ms, while the workers
that run them are killed, and stopped for longer than their leases.

A gateway takes the tasks and runs none; three workers beside it run them, first
over SQLite, then over Redis. Each task asks the upstream with its own name, so
the upstream's journal says what was begun, when, and how often. It judges
nothing: `tasks_checker.py` does.
"""

import argparse
import asyncio
import contextlib
import json
import pathlib
import random
import shutil
import signal
import time

import exchange
from fleet import Fleet
from journal import Journal
from processes import Process
from redis_servers import Redis

WORKERS = 3
CONCURRENCY = 8
TOGETHER = 50
# One of so many depends on one that was submitted shortly before.
DEPENDS = 0.1
NEAR = 200
WAIT_MS = 20
LEASE_S = 15
START_S = 60
# Between two deaths, on the average.
EVERY_S = 0.9
# Deaths come so soon after tasks were taken.
BUSY_S = 0.06
# One of so many is stopped for longer than its lease instead, and goes on then.
STOPS = 25
STOPPED_S = LEASE_S + 3
# After the last death everything must have ended by then.
PATIENCE_S = 180
READERS = 8
PRIORITIES = ("critical", "high", "normal", "normal", "low", "background")
MODEL = "talk"
MODELS = {MODEL: {}}
SETTINGS = {
    "server": {"deadline_ms": 5_000, "drain_ms": 1_000, "workers": 1},
    "log": {"level": "info", "format": "json", "access": False},
    "guard": {"enabled": False},
    "resilience": {"failure_threshold": 10_000},
    "tasks": {"concurrency": 0, "lease_ms": LEASE_S * 1_000, "health_every_s": 0},
}


class Worker(Process):
    """A worker beside the gateway: it listens nowhere."""

    async def start(self):
        """Starts it and waits until it works: one that is killed earlier loses nothing."""
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                self.binary, *self.arguments, stdin=asyncio.subprocess.DEVNULL,
                stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.child.returncode is None:
            with self.log.open("rb") as log:
                log.seek(before)
                if b"working at" in log.read():
                    return
            await asyncio.sleep(0.01)
        raise RuntimeError(f"{self.name} does not start; see {self.log}")


async def read(connection, path):
    """What a gateway says of tasks."""
    for _ in range(50):
        answer, end = await exchange.ask(connection, path, b"", method="GET")
        if end == "whole" and answer.status in (200, 404):
            return json.loads(bytes(answer.body))
        connection.close()
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{path} is not answered: {answer.status} {end}")


async def until_ended(connection):
    """Waits for all tasks, for as long as it may take; returns how many are where."""
    until = time.monotonic() + PATIENCE_S
    while True:
        stats = await read(connection, "/v1/tasks/stats")
        live = sum(stats["states"][state]
                   for state in ("waiting", "queued", "running", "retrying"))
        if not live or time.monotonic() >= until:
            return stats["states"]
        await asyncio.sleep(0.5)


class Phase:
    """All tasks over one home of the store."""

    def __init__(self, given, home, journal):
        self.given = given
        self.home = home
        self.journal = journal
        self.name = f"tasks-{home}"
        self.fleet = Fleet(given.binary, given.folder, self.name, SETTINGS, MODELS)
        self.redis = Redis(given.folder, f"{self.name}-redis") if home == "redis" else None
        self.draws = random.Random(f"{given.seed}/{home}")
        self.workers = []
        self.taken = asyncio.Event()

    async def run(self):
        url = await self._store()
        await self.fleet.start([url])
        for place in range(WORKERS):
            name = f"{self.name}-worker-{place}"
            file = self.given.folder / f"{name}.toml"
            file.write_text(self.fleet.config(name, url), encoding="utf-8")
            worker = Worker(self.given.binary, name, self.given.folder, [
                "worker", "--config", str(file), "--concurrency", str(CONCURRENCY)])
            self.workers.append(worker)
            await worker.start()
        seconds = self.given.kills * (EVERY_S + 0.3)
        await asyncio.gather(self._submit_all(seconds), self._kill_all())
        await self._until_all_ended()
        await self._read_all()

    async def _store(self):
        if self.redis:
            await self.redis.start()
            return f"redis://127.0.0.1:{self.redis.port}"
        folder = self.given.folder / f"{self.name}-data"
        shutil.rmtree(folder, ignore_errors=True)
        return f"sqlite:{folder}"

    async def _submit_all(self, seconds):
        """Spread over the time of the deaths; a call that fails is made again."""
        connection = exchange.Connection(self.fleet.gates[0].port)
        pause = seconds * TOGETHER / self.given.tasks
        number = 0
        while number < self.given.tasks:
            began = time.monotonic()
            tasks = [self._task(n) for n in range(number, min(number + TOGETHER, self.given.tasks))]
            await self._submit(connection, tasks)
            number += len(tasks)
            await asyncio.sleep(max(0, pause - (time.monotonic() - began)))
        connection.close()

    def _task(self, number):
        task = {
            "id": f"{self.home}-{number}", "kind": "chat",
            "priority": self.draws.choice(PRIORITIES),
            "input": {"model": MODEL, "query": f"task:{self.home}-{number} wait:{WAIT_MS}"},
        }
        if number and self.draws.random() < DEPENDS:
            before = self.draws.randrange(max(0, number - NEAR), number)
            task["depends_on"] = [f"{self.home}-{before}"]
        return task

    async def _submit(self, connection, tasks):
        body = json.dumps({"tasks": tasks}).encode()
        for attempt in range(100):
            answer, end = await exchange.ask(connection, "/v1/tasks", body)
            if end == "whole" and answer.status == 202:
                at_ns = time.monotonic_ns()
                self.taken.set()
                for task in tasks:
                    self.journal.write("submitted", home=self.home, id=task["id"], at_ns=at_ns,
                                       after=task.get("depends_on", []))
                return
            self.journal.write("refused", home=self.home, status=answer.status, end=end,
                               body=bytes(answer.body[:300]).decode(errors="replace"))
            connection.close()
            await asyncio.sleep(0.1 * (attempt + 1))
        raise RuntimeError("tasks are not taken")

    async def _kill_all(self):
        stopped = []
        for number in range(self.given.kills):
            await asyncio.sleep(self.draws.expovariate(1 / EVERY_S))
            await self._while_busy()
            place = self.draws.randrange(WORKERS)
            worker = self.workers[place]
            if number % STOPS == STOPS - 1 and worker not in [one for one, _ in stopped]:
                worker.signal(signal.SIGSTOP)
                self.journal.write("stop", home=self.home, worker=worker.name,
                                   at_ns=time.monotonic_ns())
                stopped.append((worker, time.monotonic() + STOPPED_S))
            else:
                await worker.kill()
                self.journal.write("kill", home=self.home, worker=worker.name,
                                   at_ns=time.monotonic_ns())
                stopped = [(one, until) for one, until in stopped if one is not worker]
                await worker.start()
            stopped = self._go_on(stopped)
        for worker, until in stopped:
            await asyncio.sleep(max(0, until - time.monotonic()))
            worker.signal(signal.SIGCONT)

    async def _while_busy(self):
        """Soon after tasks were taken: a worker that idles loses nothing."""
        self.taken.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.taken.wait(), 2)
        await asyncio.sleep(self.draws.uniform(0, BUSY_S))

    def _go_on(self, stopped):
        left = []
        for worker, until in stopped:
            if time.monotonic() >= until:
                worker.signal(signal.SIGCONT)
            else:
                left.append((worker, until))
        return left

    async def _until_all_ended(self):
        connection = exchange.Connection(self.fleet.gates[0].port)
        states = await until_ended(connection)
        self.journal.write("stats", home=self.home, states=states)
        connection.close()

    async def _read_all(self):
        names = iter([f"{self.home}-{number}" for number in range(self.given.tasks)])
        await asyncio.gather(*(self._read(names) for _ in range(READERS)))

    async def _read(self, names):
        connection = exchange.Connection(self.fleet.gates[0].port)
        for name in names:
            task = await read(connection, f"/v1/tasks/{name}")
            self.journal.write("final", home=self.home, id=name, state=task.get("state"),
                               attempt=task.get("attempt"), error=task.get("error"),
                               response=(task.get("result") or {}).get("response"))
        connection.close()

    async def clean_up(self):
        for worker in self.workers:
            await worker.kill()
        await self.fleet.stop()
        if self.redis:
            await self.redis.kill()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--kills", required=True, type=int)
    parser.add_argument("--homes", default="sqlite,redis")
    given = parser.parse_args()
    given.tasks = given.kills * 100
    journal = Journal(given.folder / "tasks.ndjson")
    homes = given.homes.split(",")
    journal.write("run", seed=given.seed, kills=given.kills, tasks=given.tasks, homes=homes)
    for home in homes:
        phase = Phase(given, home, journal)
        try:
            await phase.run()
        finally:
            await phase.clean_up()


if __name__ == "__main__":
    asyncio.run(main())
