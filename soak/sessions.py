#!/usr/bin/env python3
"""Drives sessions: many updates at once, holders that die, and kills over SQLite.

Every update names itself, so that what a session holds says by itself whose
turns are there, in which order. First updates and chats on three gateways and
one Redis; then a gateway that is killed while it holds a session; then one
gateway over SQLite that is killed again and again under updates. It judges
nothing: `sessions_checker.py` does.
"""

import argparse
import asyncio
import itertools
import pathlib
import random
import shutil
import sqlite3
import time

from fleet import Fleet
from journal import Journal
from redis_servers import Redis
from session_calls import MODEL, Caller

NODES = 3
# Each session gets a hundred updates; a short soak has few sessions.
UPDATES_OF_A_SESSION = 100
LEAST_SESSIONS = 5
WORKERS = 50
# As many updates are chats, with a call of the upstream inside.
CHATS = 0.2
# A session that is taken is asked for again after this time, so many times.
AGAIN_S = 0.1
MOST_TRIES = 40
HOLD_MS = 4_000
# A session that is not free so long after its holder's death never will be.
PATIENCE_S = 15
# The holder of a session dies this long after its chat began.
KILL_AFTER_S = 0.5
LITE_WORKERS = 6
LITE_SESSIONS = 4
# A kill comes this long after a start.
LITE_S = (0.03, 0.35)
SETTINGS = {
    "server": {"deadline_ms": 5_000, "drain_ms": 1_000, "workers": 1},
    "log": {"level": "warn", "format": "json", "access": False},
    "guard": {"enabled": False},
    "resilience": {"failure_threshold": 10_000},
    "sessions": {"max_bytes": 8 << 20},
}
MODELS = {MODEL: {}}


class Updates:
    """Many updates of a few sessions from everywhere at once."""

    def __init__(self, given, journal):
        self.given = given
        self.journal = journal
        self.fleet = Fleet(given.binary, given.folder, "sessions", SETTINGS, MODELS)
        self.redis = Redis(given.folder, "sessions-redis")
        self.left = given.updates
        self.ids = []

    async def run(self, rounds):
        await self.redis.start()
        url = f"redis://127.0.0.1:{self.redis.port}"
        await self.fleet.start([url] * NODES)
        caller = Caller(self.fleet.ports)
        self.ids = [await caller.create(n % NODES, f"user-{n % 7}")
                    for n in range(self.given.sessions)]
        await asyncio.gather(*(self._work(worker) for worker in range(WORKERS)))
        for session in self.ids:
            for place in range(NODES):
                self.journal.write("final", session=session, **await caller.read(place, session))
        for number in range(rounds):
            await self._hold(number)
        caller.close()

    async def _work(self, worker):
        caller = Caller(self.fleet.ports)
        number = 0
        while self.left > 0:
            self.left -= 1
            draws = random.Random(f"{self.given.seed}/{worker}/{number}")
            await self._update(caller, draws, f"{worker}.{number}")
            number += 1
        caller.close()

    async def _update(self, caller, draws, name):
        """Until it is taken: a session that is busy is asked for again, under a new name."""
        session = draws.choice(self.ids)
        how = "chat" if draws.random() < CHATS else "append"
        for number in range(MOST_TRIES):
            text = f"m-{name}.{number} wait:{draws.randint(1, 10)}"
            place = draws.randrange(NODES)
            facts = await getattr(caller, how)(place, session, text)
            self.journal.write("update", name=text, session=session, how=how, **facts)
            unsaved = "session:unsaved" in (facts["degraded"] or "")
            if facts["status"] in (200, 201) and not unsaved:
                return
            await asyncio.sleep(AGAIN_S)

    async def _hold(self, number):
        """Kills the holder of a session in the middle of a chat; another one waits for it."""
        draws = random.Random(f"{self.given.seed}/hold/{number}")
        holder, other = draws.sample(range(NODES), 2)
        caller = Caller(self.fleet.ports)
        session = await caller.create(other, "holder")
        held = asyncio.create_task(
            Caller(self.fleet.ports).chat(holder, session, f"held {number} wait:{HOLD_MS}"))
        await asyncio.sleep(KILL_AFTER_S / 2)
        waiting = asyncio.create_task(self._until_free(caller, other, session, number))
        await asyncio.sleep(KILL_AFTER_S / 2)
        killed_ns = time.monotonic_ns()
        await self.fleet.gates[holder].kill()
        statuses, facts = await waiting
        await held
        after = await caller.read(other, session)
        self.journal.write("hold", number=number, session=session, killed_ns=killed_ns,
                           free_ns=facts["end_ns"], name=facts["name"], statuses=statuses,
                           messages=after["messages"])
        caller.close()
        await self.fleet.gates[holder].start()

    async def _until_free(self, caller, place, session, number):
        statuses = []
        until = time.monotonic() + PATIENCE_S
        for count in itertools.count():
            name = f"after {number}.{count}"
            facts = await caller.append(place, session, name)
            statuses.append(facts["status"])
            if facts["status"] == 200 or time.monotonic() > until:
                break
            await asyncio.sleep(AGAIN_S)
        return statuses, facts | {"name": name}

    async def clean_up(self):
        await self.fleet.stop()
        await self.redis.kill()


class Lite:
    """One gateway over SQLite that is killed in the middle of its work."""

    def __init__(self, given, journal):
        self.given = given
        self.journal = journal
        self.data = given.folder / "sessions-data"
        self.fleet = Fleet(given.binary, given.folder, "sessions-lite", SETTINGS, MODELS)
        self.dead = False

    async def run(self):
        shutil.rmtree(self.data, ignore_errors=True)
        await self.fleet.start([f"sqlite:{self.data}"])
        gate = self.fleet.gates[0]
        before, ever = [], []
        for number in range(self.given.kills):
            draws = random.Random(f"{self.given.seed}/lite/{number}")
            caller = Caller([gate.port])
            own = [await caller.create(0, f"lite-{number}") for _ in range(LITE_SESSIONS)]
            caller.close()
            self.dead = False
            work = [asyncio.create_task(self._work(f"{number}.{n}", own + before, draws.random()))
                    for n in range(LITE_WORKERS)]
            await asyncio.sleep(draws.uniform(*LITE_S))
            self.dead = True
            await gate.kill()
            await asyncio.gather(*work)
            self.journal.write("kill", number=number, **self._integrity())
            start_ns = time.monotonic_ns()
            await gate.start()
            self.journal.write("back", number=number,
                               after_ms=(time.monotonic_ns() - start_ns) / 1e6)
            await self._read(number, own + before)
            before = own
            ever += own
        await self._read("end", ever)

    async def _work(self, name, sessions, seed):
        caller = Caller(self.fleet.ports)
        draws = random.Random(f"{seed}/{name}")
        count = 0
        while not self.dead:
            session = draws.choice(sessions)
            how = "chat" if draws.random() < CHATS else "append"
            text = f"m-lite-{name}.{count}"
            facts = await getattr(caller, how)(0, session, text)
            self.journal.write("update", name=text, session=session, how=how, **facts)
            count += 1
        caller.close()

    async def _read(self, number, sessions):
        caller = Caller(self.fleet.ports)
        for session in sessions:
            self.journal.write("lite", number=number, session=session,
                               **await caller.read(0, session))
        caller.close()

    def _integrity(self):
        """Of a copy: looking at the files themselves would mend them."""
        copy = self.data.with_name("sessions-copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.data, copy)
        said = {}
        for file in sorted(copy.iterdir()):
            if file.is_file() and file.read_bytes()[:15] == b"SQLite format 3":
                said[file.name] = integrity_of(file)
        return {"files": said}

    async def clean_up(self):
        await self.fleet.stop()


def integrity_of(file):
    try:
        with sqlite3.connect(file) as database:
            return [row[0] for row in database.execute("PRAGMA integrity_check")]
    except sqlite3.Error as error:
        return [f"{type(error).__name__}: {error}"]


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--updates", required=True, type=int)
    given = parser.parse_args()
    given.kills = max(4, given.updates // 50)
    given.sessions = max(LEAST_SESSIONS, given.updates // UPDATES_OF_A_SESSION)
    rounds = max(1, given.updates // 1_000)
    journal = Journal(given.folder / "sessions.ndjson")
    journal.write("run", seed=given.seed, updates=given.updates, sessions=given.sessions,
                  nodes=NODES, kills=given.kills, rounds=rounds, lite_sessions=LITE_SESSIONS)
    stop = asyncio.current_task().cancel
    asyncio.get_running_loop().add_signal_handler(15, stop)
    updates, lite = Updates(given, journal), Lite(given, journal)
    try:
        await updates.run(rounds)
        await updates.clean_up()
        await lite.run()
    finally:
        await updates.clean_up()
        await lite.clean_up()
    journal.write("over")


if __name__ == "__main__":
    asyncio.run(main())
