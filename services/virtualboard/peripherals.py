"""The server that the processes of all virtual boards talk to: one event loop in one thread, heavy answers on workers.

board process ──TCP──► hello(token) ─► Hardware of that board ─► answers
              ◄─────── presses, sent again after a restart until the program has taken them
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from services.common.errors import BoardloopError, FailedPrecondition
from services.virtualboard.cable import Cable
from services.virtualboard.hardware import Hardware, Press, PressKind
from services.virtualboard.wire import Fields, pack, receive

__all__ = ["Peripherals", "Station"]

T = TypeVar("T")
WORKERS = 4
CALL_SECONDS = 10.0
ABOUT = ("board_type", "model_format", "firmware", "chunk", "block")


@dataclass(eq=False)
class Station:
    """One board's place at the server."""

    hardware: Hardware
    on_reset: Callable[[], None]
    cable: Cable | None = None
    writer: asyncio.StreamWriter | None = field(default=None, repr=False)


class Peripherals:
    def __init__(self) -> None:
        self.port = 0
        self._stations: dict[str, Station] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="virtual-hardware")
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None

    def start(self) -> None:
        loop = asyncio.new_event_loop()
        self._loop = loop
        self._thread = threading.Thread(target=loop.run_forever, name="peripherals", daemon=True)
        self._thread.start()
        self.call(self._listen())

    def stop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self.call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None
        self._workers.shutdown()

    def add(self, token: str, hardware: Hardware, on_reset: Callable[[], None], *, cable: bool) -> Station:
        """A place for the board that will say `token`. `cable`: its connections go through one that can be pulled."""
        station = Station(hardware, on_reset)
        if cable:
            station.cable = Cable()
            self.call(station.cable.open())
        self._stations[token] = station
        return station

    def press(self, station: Station, kind: PressKind) -> Press:
        async def send() -> Press:
            press = station.hardware.press(kind)
            if station.writer is not None:
                station.writer.write(event(press))
            return press

        return self.call(send())

    def unplug(self, station: Station, after: int) -> None:
        async def cut() -> None:
            the_cable(station).unplug(after)

        self.call(cut())

    def plug(self, station: Station) -> None:
        async def join() -> None:
            the_cable(station).plug()

        self.call(join())

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` on the server's loop and waits for it."""
        if self._loop is None:
            work.close()
            raise FailedPrecondition(
                "PERIPHERALS_STOPPED", "The virtual boards' server is not running.", fix="Start it."
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    # ---- on the loop

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for station in self._stations.values():
            if station.writer is not None:
                station.writer.transport.abort()
            if station.cable is not None:
                await station.cable.close()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=1)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        station: Station | None = None
        try:
            request, _ = await receive(reader)
            station = self._stations[request["token"]]
            await self._greet(station, writer)
            while True:
                await self._answer(station, writer, *await receive(reader))
        except (asyncio.IncompleteReadError, OSError, KeyError, BoardloopError):
            pass  # the process ended, was killed, or is no board of ours
        finally:
            if station is not None and station.writer is writer:
                station.writer = None
            writer.transport.abort()

    async def _greet(self, station: Station, writer: asyncio.StreamWriter) -> None:
        station.hardware.power_on()
        about = {name: value for name, value in asdict(station.hardware.profile).items() if name in ABOUT}
        writer.write(pack(about))
        for press in station.hardware.presses:
            writer.write(event(press))
        station.writer = writer
        await writer.drain()

    async def _answer(self, station: Station, writer: asyncio.StreamWriter, request: Fields, blob: bytes) -> None:
        do = request.get("do")
        if do == "reset":
            station.on_reset()
            return
        if do == "route":
            answer: tuple[Fields, bytes] | None = (route(station, request), b"")
        else:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._workers, station.hardware.answer, request, blob)
        if answer is not None:
            writer.write(pack(*answer))
            await writer.drain()


def event(press: Press) -> bytes:
    return pack({"event": "press", "kind": press.kind, "number": press.number})


def route(station: Station, request: Fields) -> Fields:
    """Where the board must really connect to, to reach host and port: there, or to its cable."""
    half_duplex = station.hardware.profile.half_duplex
    if station.cable is None:
        return {"host": request["host"], "port": request["port"], "half_duplex": half_duplex}
    station.cable.target = (request["host"], request["port"])
    return {"host": "127.0.0.1", "port": station.cable.port, "half_duplex": half_duplex}


def the_cable(station: Station) -> Cable:
    if station.cable is None:
        raise FailedPrecondition("NO_CABLE", "This virtual board has no cable to pull.", fix="Make it with cable=True.")
    return station.cable
