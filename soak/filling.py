"""Takes every slot of every chain entry at the same time.

A slot, a permit or a reservation that a fault has leaked is missing here: fewer
calls than the limit run together, or some do not complete.
"""

import asyncio
import json

import exchange
import scenario

PATH = "/v1/chat/completions"
# Room for a closed breaker's ramp: two calls, doubled by every success up to 64.
HEALING_SUCCESSES = 12
HEALING_MS = 8_000
# Calls beyond the limit: they must wait, not run along.
SURPLUS = 4
# Entries that are filled at the same time; more would reach the deadline on
# a slow machine.
TOGETHER = 3


async def fill_by_mock(soak):
    """The slow entries against the mock, which counts what is in flight."""
    for gateway, process in soak.gateways.items():
        for provider, name in scenario.PROVIDERS.items():
            slots = gateway.slots(provider)
            mock = soak.mocks[name]
            await _post(mock.port, "/__mock/reset", {})
            entry = f"{provider}/{scenario.FILLER}"
            completed = await _call_at_once(process.port, entry, slots)
            stats = await exchange.get(mock.port, "/__mock/stats")
            _note(soak, gateway, entry, "mock", slots, stats["max_in_flight"], completed, slots)


async def fill_all(soak):
    """Every entry against the healed upstream."""
    for gateway, process in soak.gateways.items():
        room = asyncio.Semaphore(TOGETHER)
        await asyncio.gather(*(
            _fill(soak, room, gateway, process, entry, slots)
            for entry, slots in scenario.entries(gateway).items()
        ))


async def _fill(soak, room, gateway, process, entry, slots):
    gate = soak.healed.gates[f"{gateway.name}/{entry}"]
    async with room:
        gate.want(1)
        await _heal(process.port, entry)
        gate.want(slots)
        calls = slots + SURPLUS
        # Those beyond the limit come after the others, and are let through one by one.
        completed = await _call_at_once(process.port, entry, calls)
        _note(soak, gateway, entry, "healed", slots, gate.most_in_flight, completed, calls)


async def _heal(port, entry):
    """Calls until the circuit is closed and its ramp is over."""
    until = exchange.now_ms() + HEALING_MS
    successes = 0
    while successes < HEALING_SUCCESSES and exchange.now_ms() < until:
        if await _call_at_once(port, entry, 1):
            successes += 1
        else:
            await asyncio.sleep(0.02)


async def _call_at_once(port, entry, calls):
    """How many of so many calls at the same time were answered in full."""

    async def call(number):
        connection = exchange.Connection(port)
        answer, end = await _post(port, PATH, _body(entry, f"fill {number}"), connection)
        connection.close()
        return end == "whole" and exchange.described(answer).get("content") == f"fill {number}"

    return sum(await asyncio.gather(*(call(number) for number in range(calls))))


def _body(entry, text):
    messages = [{"role": "user", "content": f"echo:{text}"}]
    return {"model": f"alone/{entry}", "messages": messages}


async def _post(port, path, body, connection=None):
    connection = connection or exchange.Connection(port)
    return await exchange.ask(connection, path, json.dumps(body).encode())


def _note(soak, gateway, entry, how, slots, together, completed, calls):
    soak.journal.write("fill", gateway=gateway.name, entry=entry, how=how, slots=slots,
                       together=together, completed=completed, calls=calls)
