"""The processes of a soak: gateways, mocks, and what the system says of them."""

import asyncio
import os
import re
import signal
import time

START_MS = 60_000
# The log names the store's address before its own.
ADDRESS = re.compile(r"(?m)^(?!.*store: ).*?127\.0\.0\.1:(\d+)")


class Process:
    """A tidegate process that listens on a port of its own choice.

    A restart listens on the same port again.
    """

    def __init__(self, binary, name, folder, arguments, env=None):
        self.binary = binary
        self.name = name
        self.log = folder / f"{name}.log"
        self.arguments = arguments
        self.env = env
        self.port = 0
        self.child = None

    async def start(self):
        """Starts it and waits until it accepts connections."""
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                self.binary, *self.arguments, "--bind", f"127.0.0.1:{self.port}",
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **self.env} if self.env else None,
            )
        until = time.monotonic() + START_MS / 1e3
        while time.monotonic() < until:
            if self.child.returncode is not None:
                break
            with self.log.open("rb") as log:
                log.seek(before)
                found = ADDRESS.search(log.read().decode(errors="replace"))
            if found:
                self.port = int(found[1])
                return
            await asyncio.sleep(0.005)
        raise RuntimeError(f"{self.name} does not start; see {self.log}")

    def signal(self, number):
        self.child.send_signal(number)

    async def kill(self):
        """SIGKILL, and waits until it is gone."""
        if self.child and self.child.returncode is None:
            self.child.kill()
            await self.child.wait()

    async def stop(self):
        """SIGTERM; returns the exit code, or None when it had to be killed."""
        self.signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.child.wait(), 5)
        except asyncio.TimeoutError:
            await self.kill()
            return None

    @property
    def alive(self):
        return self.child is not None and self.child.returncode is None

    def rss_kib(self):
        """Resident memory now and at its highest."""
        with open(f"/proc/{self.child.pid}/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status)
        return tuple(int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))

    def open_files(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))
