#!/usr/bin/env python3
"""Reloads the configuration of the release binary 1,000 times under full load.

Every reload writes a new file, one in five of them wrong, and asks for it by
SIGHUP or by `POST /admin/reload` in turn. Writes down what was asked, what came
back and what the gateway then says of itself. It judges nothing:
`reload_checker.py` does, from the journal alone.
"""

import argparse
import asyncio
import json
import pathlib
import random
import re
import signal
import time

import exchange
import reload_plan
from journal import Journal
from processes import Process

CONNECTIONS = 32
LOOK_MS = 2
# A reload that is not seen for so long will not come.
PATIENCE_MS = 5_000
MOST_PAUSE_MS = 20
WARM_UP_MS = 1_000
PATH = "/v1/chat/completions"
COUNTER = re.compile(r'^tidegate_config_reloads_total\{outcome="(\w+)"\} (\d+)', re.MULTILINE)


class Reload:
    """One run."""

    def __init__(self, binary, folder, seed, reloads):
        self.seed = seed
        self.reloads = reloads
        self.journal = Journal(folder / "reload.ndjson")
        self.file = folder / reload_plan.FILE
        self.mocks = {
            name: Process(binary, f"reload-mock-{name}", folder, ["mock", "--gap-ms", "2"])
            for name in reload_plan.PROVIDERS
        }
        self.gate = Process(binary, "reload-gate", folder, ["serve", "--config", str(self.file)])
        self.over = False

    async def run(self):
        for mock in self.mocks.values():
            await mock.start()
        ports = {name: mock.port for name, mock in self.mocks.items()}
        self._write("\n".join(reload_plan.config(ports, reload_plan.START)) + "\n")
        await self.gate.start()
        self.journal.write("run", seed=self.seed, reloads=self.reloads,
                           connections=CONNECTIONS, start=described(reload_plan.START))
        started = time.monotonic()
        load = [asyncio.create_task(self._load(name)) for name in range(CONNECTIONS)]
        await asyncio.sleep(WARM_UP_MS / 1e3)
        self._measure("before")
        for step in reload_plan.steps(self.seed, ports, self.reloads):
            await self._reload(step)
        self._measure("after")
        self.over = True
        await asyncio.gather(*load)
        self.journal.write("exit", code=await self.gate.stop())
        self.journal.write("over", seconds=round(time.monotonic() - started, 1))

    def _write(self, text):
        """Puts a whole file in the place of the other."""
        new = self.file.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self.file)

    def _measure(self, label):
        rss, _ = self.gate.rss_kib()
        self.journal.write("memory", label=label, rss_kib=rss, open_files=self.gate.open_files())

    async def _reload(self, step):
        draws = random.Random(f"{self.seed}/pause/{step.number}")
        await asyncio.sleep(draws.uniform(0, MOST_PAUSE_MS) / 1e3)
        before = await self._seen()
        start = exchange.now_ms()
        self._write(step.text)
        answered = await self._ask_for_it(step, before)
        after = await self._seen()
        self.journal.write(
            "reload", number=step.number, how=step.how, kinds=step.kinds, places=step.places,
            wanted=described(step.wanted), start_ms=round(start, 1),
            done_ms=round(exchange.now_ms(), 1), before=before, after=after, **answered)
        await self._probe(step)

    async def _ask_for_it(self, step, before):
        if step.how == "signal":
            self.gate.signal(signal.SIGHUP)
            return {"seen": await self._until_counted(before)}
        connection = exchange.Connection(self.gate.port)
        answer, end = await exchange.ask(connection, "/admin/reload", b"")
        connection.close()
        return {"end": end, "status": answer.status, "body": json_or_none(answer.body)}

    async def _until_counted(self, before):
        """Whether the gateway counts one more reload soon."""
        until = exchange.now_ms() + PATIENCE_MS
        while exchange.now_ms() < until:
            seen = await self._seen()
            if sum(seen["counts"].values()) > sum(before["counts"].values()):
                return True
            await asyncio.sleep(LOOK_MS / 1e3)
        return False

    async def _seen(self):
        """What the gateway says of its configuration."""
        ready = await exchange.get(self.gate.port, "/health/ready")
        metrics = await exchange.get_text(self.gate.port, "/metrics")
        counts = {outcome: int(times) for outcome, times in COUNTER.findall(metrics)}
        gauge = re.search(r"^tidegate_config_revision (\d+)", metrics, re.MULTILINE)
        last_error = (ready.get("reload") or {}).get("last_error")
        return {"revision": ready.get("revision"), "gauge": int(gauge[1]) if gauge else None,
                "counts": counts, "last_error": last_error}

    async def _probe(self, step):
        """The next requests after a reload, one for each model that it may change."""
        facts = {}
        for model in ["flip", "extra"]:
            connection = exchange.Connection(self.gate.port)
            answer, end = await exchange.ask(connection, PATH, body(model, "probe", False))
            connection.close()
            facts[model] = {"end": end, "status": answer.status,
                            "by": answer.headers.get("x-tidegate-model")}
        self.journal.write("probe", number=step.number, **facts)

    async def _load(self, name):
        """One connection that is never idle."""
        connection = exchange.Connection(self.gate.port)
        number = 0
        while not self.over and self.gate.alive:
            draws = random.Random(f"{self.seed}/load/{name}/{number}")
            model = draws.choice(["flip", "flip", "steady"])
            await self._ask(connection, f"load-{name}.{number}", model, draws.random() < 0.5)
            number += 1
        connection.close()

    async def _ask(self, connection, name, model, stream):
        text = f"{name} lorem ipsum"
        start = exchange.now_ms()
        answer, end = await exchange.ask(
            connection, PATH, body(model, text, stream), {"x-request-id": name})
        facts = exchange.described(answer) if end == "whole" else {"status": answer.status}
        self.journal.write("request", name=name, model=model, stream=stream, text=text, end=end,
                           start_ms=round(start, 1), end_ms=round(exchange.now_ms(), 1), **facts)

    async def clean_up(self):
        for process in [self.gate, *self.mocks.values()]:
            await process.kill()


def body(model, text, stream):
    asked = {"model": model, "messages": [{"role": "user", "content": f"echo:{text}"}]}
    return json.dumps(asked | ({"stream": True} if stream else {})).encode()


def described(state):
    return {"provider": state.provider, "extra": state.extra}


def json_or_none(data):
    try:
        return json.loads(bytes(data))
    except ValueError:
        return None


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--reloads", required=True, type=int)
    given = parser.parse_args()
    soak = Reload(given.binary, given.folder, given.seed, given.reloads)
    stop = asyncio.current_task().cancel
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        await soak.run()
    finally:
        await soak.clean_up()


if __name__ == "__main__":
    asyncio.run(main())
