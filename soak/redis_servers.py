"""Redis servers of a soak's own: one that is killed, paused and spoiled, or three
sentinels over a primary and a replica."""

import asyncio
import shutil
import signal
import socket
import sys
import time

START_S = 10
TALK_S = 1.0


class Refusal(Exception):
    """Redis answered with an error."""


class Redis:
    """One redis-server process with a folder of its own."""

    def __init__(self, folder, name, *options, sentinel=False):
        program = "redis-sentinel" if sentinel else "redis-server"
        self.program = shutil.which(program)
        if not self.program:
            sys.exit(f"{program} is not installed: apt-get install {program}")
        self.folder = folder / name
        # What an earlier run has left would be somebody else's state.
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.log = folder / f"{name}.log"
        self.port = free_port()
        self.options = options
        self.child = None

    async def start(self, *more):
        """Starts it, and waits until it answers."""
        with self.log.open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                self.program, *self._arguments(more),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.child.returncode is None:
            if await self.try_talk("PING") == "PONG":
                return
            await asyncio.sleep(0.01)
        raise RuntimeError(f"redis does not start; see {self.log}")

    def _arguments(self, more):
        return ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                *self.options, *more]

    async def talk(self, *words):
        """One command over a connection of its own; raises what went wrong."""
        return await asyncio.wait_for(self._talk(words), TALK_S)

    async def try_talk(self, *words):
        """The same, and None where it went wrong."""
        try:
            return await self.talk(*words)
        except (OSError, EOFError, Refusal, asyncio.TimeoutError):
            return None

    async def _talk(self, words):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(command(words))
            return await read_reply(reader)
        finally:
            writer.close()

    async def accepts_writes(self):
        return await self.try_talk("SET", "soak:probe", "1", "PX", "1000") == "OK"

    def pause(self):
        self.child.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.child.send_signal(signal.SIGCONT)

    async def kill(self):
        if self.child and self.child.returncode is None:
            self.child.kill()
            await self.child.wait()

    def forget(self):
        """Removes what it had written; only while it is dead."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()


class Sentinel(Redis):
    """One of the sentinels that watch a primary called `main`."""

    def __init__(self, folder, name, primary_port, quorum):
        super().__init__(folder, name, sentinel=True)
        self.file = self.folder / "sentinel.conf"
        lines = [f"port {self.port}", "bind 127.0.0.1",
                 f"sentinel monitor main 127.0.0.1 {primary_port} {quorum}",
                 "sentinel down-after-milliseconds main 1000",
                 "sentinel failover-timeout main 4000", "sentinel parallel-syncs main 1"]
        self.file.write_text("\n".join(lines) + "\n", encoding="ascii")

    def _arguments(self, more):
        return [str(self.file)]

    async def primary_port(self):
        found = await self.try_talk("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return int(found[1]) if found else None


def command(words):
    """A command in RESP."""
    parts = [str(word).encode() for word in words]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)])


async def read_reply(reader):
    line = (await reader.readuntil(b"\r\n"))[:-2]
    kind, rest = line[:1], line[1:]
    if kind == b"-":
        raise Refusal(rest.decode())
    if kind == b"$":
        size = int(rest)
        return None if size < 0 else (await reader.readexactly(size + 2))[:-2].decode()
    if kind == b"*":
        return [await read_reply(reader) for _ in range(int(rest))] if int(rest) >= 0 else None
    return int(rest) if kind == b":" else rest.decode()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
