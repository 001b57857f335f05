"""What the soak asks for: gateways, chains and a seeded sequence of requests.

Knows no socket and no process. The same seed gives the same requests in the
same order; how many of them are needed depends on how many faults they meet.
"""

import random
from dataclasses import dataclass

DEADLINE_MS = 1_500
ATTEMPT_MS = 400
STREAM_IDLE_MS = 600
NARROW_SLOTS = 2

# Each word as often as it stands in one deck: the slow ones keep a worker for a
# whole deadline.
FAULTS = {
    "throttle": 2,
    "throttle-2": 1,
    "unavailable": 2,
    "overloaded": 2,
    "status-500": 2,
    "hang": 1,
    "reset": 2,
    "reset-mid": 2,
    "truncate": 2,
    "error-in-stream": 2,
    "error-after-content": 2,
    "error-in-answer": 2,
    "garbage": 2,
    "html": 2,
    "drip": 1,
    "empty": 2,
}
# Buffers of up to 32 MiB hide what small leaks do to memory: huge lines come in
# a phase of their own.
FLOOD = "huge-line"
# In that phase one request in so many is a huge line: each moves up to 32 MiB,
# and a machine that is kept busy by them would be late for everything else.
FLOOD_EVERY = 8
WORKING = ["answer", "no-done", "slow-40"]
FILLER = "slow-300"

# Provider and the mock behind it. The paced one spreads its events over time,
# so that hang-ups and kills hit streams in the middle.
PROVIDERS = {"quick": "quick", "brisk": "quick", "paced": "paced", "narrow": "quick"}
PROVIDER_SHARES = {"quick": 35, "brisk": 30, "paced": 25, "narrow": 10}
KIND_SHARES = {"alone": 45, "rescued": 32, "lost": 16, "working": 7}
LOST_CHAINS = 24
FLOODED_CHAINS = 8


@dataclass(frozen=True)
class Gateway:
    """One gateway process and how many workers call it."""

    name: str
    workers: int
    failure_threshold: int
    cooldown_ms: int
    max_cooldown_ms: int

    def slots(self, provider):
        return NARROW_SLOTS if provider == "narrow" else self.workers


# The steady one calls a failing model for ever, the tripping one opens circuits.
GATEWAYS = [
    Gateway("steady", 48, 10_000, 20, 40),
    Gateway("tripping", 16, 5, 100, 400),
]


@dataclass(frozen=True)
class Leave:
    """When a client hangs up."""

    moment: str  # head, body, wait or answer
    after_ms: float
    after_bytes: int
    reset: bool


@dataclass(frozen=True)
class Request:
    """One request of the sequence."""

    gateway: str
    number: int
    model: str
    stream: bool
    text: str
    cached: bool
    leave: Leave | None


def chains(gateway, seed):
    """Every model name with its chain, best entry first."""
    words = [*FAULTS, FLOOD, *WORKING, FILLER]
    made = {
        f"alone/{provider}/{word}": [f"{provider}/{word}"]
        for provider in PROVIDERS
        for word in words
    }
    for provider in PROVIDERS:
        for word in [*FAULTS, FLOOD]:
            made[f"rescued/{provider}/{word}"] = [f"{provider}/{word}", f"{provider}/answer"]
    draws = random.Random(f"{seed}/{gateway.name}/chains")
    for number in range(LOST_CHAINS + FLOODED_CHAINS):
        words = draws.sample(list(FAULTS), draws.choice([2, 2, 3]))
        if number >= LOST_CHAINS:
            words[draws.randrange(len(words))] = FLOOD
        made[f"lost/{number}"] = [f"{_provider(draws)}/{word}" for word in words]
    return made


def entries(gateway):
    """Every chain entry with its slots."""
    words = [*FAULTS, FLOOD, *WORKING, FILLER]
    return {f"{p}/{w}": gateway.slots(p) for p in PROVIDERS for w in words}


def config(gateway, seed, mock_ports):
    """The configuration file of a gateway."""
    parts = [
        "[server]",
        f"deadline_ms = {DEADLINE_MS}",
        f"stream_idle_ms = {STREAM_IDLE_MS}",
        "[store]",
        'url = "memory:"',
        "[log]",
        'level = "error"',
        'format = "json"',
        "access = false",
        "[resilience]",
        f"attempt_ms = {ATTEMPT_MS}",
        f"failure_threshold = {gateway.failure_threshold}",
        f"cooldown_ms = {gateway.cooldown_ms}",
        f"max_cooldown_ms = {gateway.max_cooldown_ms}",
        "backoff_ms = { base = 20, max = 40, retries = 1 }",
    ]
    for provider, mock in PROVIDERS.items():
        parts += [
            "[[providers]]",
            f'name = "{provider}"',
            'kind = "openai"',
            f'base_url = "http://127.0.0.1:{mock_ports[mock]}/v1"',
            f'headers = {{ x-soak-caller = "{gateway.name}/{provider}" }}',
        ]
    for name, chain in chains(gateway, seed).items():
        limits = [gateway.slots(entry.split("/")[0]) for entry in chain]
        # An entry has one budget, whichever chain names it; a chain over
        # providers of different width leaves the limits to the others.
        written = f"max_concurrent = {limits[0]}" if len(set(limits)) == 1 else ""
        parts += [
            "[[models]]",
            f'name = "{name}"',
            f"chain = {list(chain)!r}".replace("'", '"'),
            'requests_per_minute = "unlimited"',
            'tokens_per_minute = "unlimited"',
            written,
        ]
    return "\n".join(parts) + "\n"


def request(seed, gateway, number, flooded):
    """The request of this number in the sequence of a gateway."""
    draws = random.Random(f"{seed}/{gateway}/{number}")
    fault = _card(seed, gateway, number)
    if flooded and number % FLOOD_EVERY == 0:
        fault = FLOOD
    model = _model(draws, fault)
    stream = draws.random() < 0.5
    cached = not stream and draws.random() < 0.08
    own = f"soak {seed} {gateway} {number} " + "lorem ipsum " * draws.randint(1, 12)
    # Neighbours in the sequence share a text, so that they meet in flight.
    text = f"soak {seed} {gateway} shared {number // 64}" if cached else own
    leave = _leave(draws) if draws.random() < 0.12 else None
    return Request(gateway, number, model, stream, text.strip(), cached, leave)


def _card(seed, gateway, number):
    """The fault of this number: dealt from decks, so that all are met evenly."""
    deck = [word for word, times in FAULTS.items() for _ in range(times)]
    dealt, place = divmod(number, len(deck))
    random.Random(f"{seed}/{gateway}/deck/{dealt}").shuffle(deck)
    return deck[place]


def _model(draws, fault):
    kind = _weighted(draws, KIND_SHARES)
    if kind == "lost" and fault == FLOOD:
        return f"lost/{LOST_CHAINS + draws.randrange(FLOODED_CHAINS)}"
    if kind == "lost":
        return f"lost/{draws.randrange(LOST_CHAINS)}"
    if kind == "working":
        return f"alone/{_provider(draws)}/{draws.choice(WORKING)}"
    return f"{kind}/{_provider(draws)}/{fault}"


def _leave(draws):
    moment = draws.choice(["head", "body", "wait", "wait", "wait", "answer", "answer"])
    # Many moments early, where the gateway is busy, some late.
    after_ms = 10 ** draws.uniform(-0.5, 2.8) if moment == "wait" else draws.uniform(0, 5)
    return Leave(moment, after_ms, draws.randint(1, 4_000), draws.random() < 0.5)


def _provider(draws):
    return _weighted(draws, PROVIDER_SHARES)


def _weighted(draws, shares):
    return draws.choices(list(shares), weights=list(shares.values()))[0]
