"""What the store goes through in a soak: each event makes it worse, waits, and heals it.

An event ends when the store was told to be well again; when it is, the driver
finds out.
"""

import asyncio
import random

# How often each stands in 200 events. Failovers come last, with sentinels.
SINGLE = {
    "kill": 25,
    "empty": 25,
    "pause": 20,
    "slow": 20,
    "half_open": 15,
    "cut": 15,
    "oom": 20,
    "readonly": 20,
    "flush_scripts": 15,
    "kill_clients": 10,
}
FAILOVERS = 15
ALL = sum(SINGLE.values()) + FAILOVERS
PAUSE_S = 5
SLOW_S = 0.5


def plan(seed, count):
    """Names of the events on a single server, and the number of failovers.

    Each kind comes as often as its share, and a short soak has a few kinds.
    """
    failovers = max(1, round(FAILOVERS * count / ALL))
    deck = [kind for kind, times in SINGLE.items() for _ in range(times)]
    draws = random.Random(f"{seed}/events")
    draws.shuffle(deck)
    return deck[: max(1, count - failovers)], failovers


class Events:
    """The events of a single server behind a proxy."""

    def __init__(self, redis, proxy, draws):
        self.redis = redis
        self.proxy = proxy
        self.draws = draws

    async def happen(self, kind):
        await getattr(self, kind)()

    def _while(self):
        """Shorter than a window of the tight model, or longer."""
        return asyncio.sleep(self.draws.choice([
            self.draws.uniform(0.3, 1.5), self.draws.uniform(4.5, 6)]))

    async def kill(self):
        """Dies, and comes back with its data."""
        await self.redis.kill()
        await self._while()
        await self.redis.start()

    async def empty(self):
        """Dies, and comes back with nothing."""
        await self.redis.kill()
        self.redis.forget()
        await self._while()
        await self.redis.start()

    async def pause(self):
        self.redis.pause()
        try:
            await asyncio.sleep(PAUSE_S)
        finally:
            self.redis.go_on()

    async def slow(self):
        self.proxy.delay_s = SLOW_S
        await self._while()
        self.proxy.delay_s = 0.0

    async def half_open(self):
        self.proxy.half_open()

    async def cut(self):
        self.proxy.cut()

    async def oom(self):
        """Refuses writes: no memory left."""
        await self.redis.talk("CONFIG", "SET", "maxmemory", "1")
        await self._while()
        await self.redis.talk("CONFIG", "SET", "maxmemory", "0")

    async def readonly(self):
        """A replica of nobody, as after a failover that left it behind."""
        await self.redis.talk("REPLICAOF", "127.0.0.1", "1")
        await self._while()
        await self.redis.talk("REPLICAOF", "NO", "ONE")

    async def flush_scripts(self):
        await self.redis.talk("SCRIPT", "FLUSH")

    async def kill_clients(self):
        await self.redis.talk("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
