#!/usr/bin/env python3
"""Drives schedules whose nodes die, and tasks of all priorities that are too many.

First three workers keep a schedule of one tick a second while one of them is
killed every three seconds. Then they are given twice as many tasks as they can
run, of all priorities, and time to end them. Over SQLite, and over Redis. It
judges nothing: `order_checker.py` does.
"""

import argparse
import asyncio
import json
import pathlib
import random
import shutil
import time

import exchange
from fleet import Fleet
from journal import Journal
from redis_servers import Redis
from tasks import MODEL, MODELS, PRIORITIES, SETTINGS, WAIT_MS, Worker, until_ended, read

WORKERS = 3
KILL_EVERY_S = 3.0
BEAT = "beat"
# Tasks that a worker runs at once.
PLACES = 2
# How long the model takes for each of too many.
ABOUT_MS = 80
EVERY_S = 0.05


class Phase:
    """Both parts over one home of the store."""

    def __init__(self, given, home, journal):
        self.given = given
        self.home = home
        self.journal = journal
        self.name = f"order-{home}"
        query = {"model": MODEL, "query": f"task:tick wait:{WAIT_MS}"}
        schedule = {"name": BEAT, "cron": "* * * * * *", "kind": "chat",
                    "input": json.dumps(query)}
        settings = SETTINGS | {"schedules": [schedule]}
        self.fleet = Fleet(given.binary, given.folder, self.name, settings, MODELS)
        self.redis = Redis(given.folder, f"{self.name}-redis") if home == "redis" else None
        self.draws = random.Random(f"{given.seed}/{home}")
        self.workers = []

    async def run(self):
        url = await self._store()
        await self.fleet.start([url])
        for place in range(WORKERS):
            name = f"{self.name}-worker-{place}"
            file = self.given.folder / f"{name}.toml"
            file.write_text(self.fleet.config(name, url), encoding="utf-8")
            worker = Worker(self.given.binary, name, self.given.folder, [
                "worker", "--config", str(file), "--concurrency", str(PLACES)])
            self.workers.append(worker)
            await worker.start()
        await self._tick()
        await self._crowd()

    async def _store(self):
        if self.redis:
            await self.redis.start()
            return f"redis://127.0.0.1:{self.redis.port}"
        folder = self.given.folder / f"{self.name}-data"
        shutil.rmtree(folder, ignore_errors=True)
        return f"sqlite:{folder}"

    async def _tick(self):
        """From the next tick on, once the schedule has been seen."""
        await asyncio.sleep(2)
        first_s = int(time.time()) + 1
        until = time.monotonic() + self.given.seconds
        while time.monotonic() < until:
            await asyncio.sleep(KILL_EVERY_S)
            worker = self.draws.choice(self.workers)
            await worker.kill()
            self.journal.write("kill", home=self.home, worker=worker.name)
            await worker.start()
        last_s = int(time.time())
        self.journal.write("ticks", home=self.home, first_s=first_s, last_s=last_s)
        # The last of them have yet to be submitted, and to end; what died with its
        # worker is begun again after its lease.
        await asyncio.sleep(2)
        connection = exchange.Connection(self.fleet.gates[0].port)
        path = f"/v1/tasks?tag=schedule:{BEAT}&limit=1000"
        page = await read(connection, path)
        for task in page["tasks"]:
            self.journal.write("tick", home=self.home, id=task["id"],
                               created_at=task["created_at"])
        connection.close()

    async def _crowd(self):
        """Twice as much as there are places for."""
        connection = exchange.Connection(self.fleet.gates[0].port)
        await until_ended(connection)
        began, number = time.monotonic(), 0
        runs_a_second = WORKERS * PLACES * 1_000 / ABOUT_MS
        wanted = int(2 * runs_a_second * self.given.seconds / 3)
        while number < wanted:
            due = min(wanted, int(2 * runs_a_second * (time.monotonic() - began)) + 1)
            tasks = [self._task(n) for n in range(number, due)]
            if tasks:
                await self._submit(connection, tasks)
            number = max(due, number)
            await asyncio.sleep(EVERY_S)
        await until_ended(connection)
        for n in range(wanted):
            task = await read(connection, f"/v1/tasks/crowd-{n}")
            self.journal.write("crowd", home=self.home, id=task["id"], state=task["state"],
                               priority=task["priority"], wait_ms=task["wait_ms"])
        connection.close()

    def _task(self, number):
        query = f"task:crowd-{number} wait:{ABOUT_MS}"
        return {"id": f"crowd-{number}", "kind": "chat",
                "priority": self.draws.choice(PRIORITIES),
                "input": {"model": MODEL, "query": query}}

    async def _submit(self, connection, tasks):
        body = json.dumps({"tasks": tasks}).encode()
        answer, end = await exchange.ask(connection, "/v1/tasks", body)
        if end != "whole" or answer.status != 202:
            raise RuntimeError(f"tasks are not taken: {answer.status} {end}")

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
    parser.add_argument("--seconds", required=True, type=int)
    given = parser.parse_args()
    given.seconds = max(given.seconds, 12)
    journal = Journal(given.folder / "order.ndjson")
    homes = ["sqlite", "redis"]
    journal.write("run", seed=given.seed, seconds=given.seconds, homes=homes)
    for home in homes:
        phase = Phase(given, home, journal)
        try:
            await phase.run()
        finally:
            await phase.clean_up()


if __name__ == "__main__":
    asyncio.run(main())
