"""A TCP proxy between gateways and a store that is slow, cuts, or goes silent."""

import asyncio

READ_BYTES = 64 << 10


class Proxy:
    """Hands bytes on in both directions, each piece `delay_s` late."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.delay_s = 0.0
        self.port = 0
        self.server = None
        self.open = set()
        self.silenced = set()

    async def start(self):
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    def cut(self):
        """Ends every connection at once; new ones may come."""
        for writer in list(self.open):
            writer.transport.abort()

    def half_open(self):
        """Every connection stays open and nothing passes any more; new ones may come."""
        self.silenced |= self.open

    def stop(self):
        if self.server:
            self.server.close()
        self.cut()

    async def _accept(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self.open |= both
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self.open -= both
        self.silenced -= both

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(READ_BYTES):
                if writer in self.silenced:
                    continue
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()
