"""The network cable of one virtual board: a small TCP proxy that can be pulled out, even amid a frame."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["Cable"]

PIECE = 4096  # bytes forwarded at once


class Cable:
    """Runs on the event loop of the peripherals; every method is called there."""

    def __init__(self) -> None:
        self.port = 0
        self.plugged = True
        self.target = ("127.0.0.1", 0)  # the last place the board asked to be connected with
        self._uplink_left: int | None = None  # bytes until the cut; None: no cut is set
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self.unplug()
        if self._server is not None:
            self._server.close()

    def unplug(self, after: int = 0) -> None:
        """Cuts every connection, now or once `after` more bytes have gone up. New ones end at once until `plug`."""
        if after > 0:
            self._uplink_left = after
            return
        self.plugged = False
        self._uplink_left = None
        for writer in self._writers:
            writer.transport.abort()

    def plug(self) -> None:
        self.plugged = True
        self._uplink_left = None

    async def _serve(self, board_in: asyncio.StreamReader, board_out: asyncio.StreamWriter) -> None:
        if not self.plugged:
            board_out.transport.abort()
            return
        try:
            far_in, far_out = await asyncio.open_connection(*self.target)
        except OSError:
            board_out.transport.abort()
            return
        ends = {board_out, far_out}
        self._writers |= ends
        try:
            await asyncio.gather(self._up(board_in, far_out), self._forward(far_in, board_out))
        finally:
            self._writers -= ends
            for writer in ends:
                writer.transport.abort()

    async def _up(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(PIECE):
                left = self._uplink_left
                if left is not None and len(data) >= left:
                    sink.write(data[:left])
                    await sink.drain()
                    await asyncio.sleep(0)  # the bytes before the cut do leave
                    self.unplug()
                    return
                if left is not None:
                    self._uplink_left = left - len(data)
                sink.write(data)
                await sink.drain()
        sink.close()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(PIECE):
                sink.write(data)
                await sink.drain()
        sink.close()
