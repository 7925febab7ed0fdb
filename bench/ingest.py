"""Captures per second, durably stored and acknowledged, beside the bare limit of the same machine and broker.

    boards (a process of their own) ──> broker ──> collector: verify, decode, object fsync, row fsync ──> ACK
    the same frames                 ──> broker ──> plain subscriber: one written and fsynced file each ──> ACK

    python bench/ingest.py [--boards 64] [--seconds 2] [--brokers embedded,mosquitto] [--chunks 60000]

The embedded broker runs in the collector's process, as in `make up`; mosquitto is a process of its own. Every board has
one connection and one capture on its way, as docs/protocol.md says; frames are sealed before the clock starts. A chunk
of 60,000 bytes is a capture in one frame (V831, Linux); `--chunks 1920` is what a K210 sends. The plain subscriber
runs twice: with one thread, the bare limit, and with as many as the collector has workers. The last line is one JSON
object: `ratio` is collector / plain for captures in one frame, the worst of the brokers; `ratio_threads` is against the
plain subscriber with threads.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import queue
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from bench.ingest_boards import Plan, boards_process, thirty_kib_jpeg
from services.collector.service import Collector
from services.collector.settings import CollectorSettings
from services.common import topics
from services.common.broker import EmbeddedBroker
from services.common.captures import CaptureMetadata, CaptureRecord
from services.common.frames import Kind
from services.common.keys import BoardKeys, new_board_id, new_secret, record_fernet, service_password
from services.common.logs import configure_logging
from services.common.mqtt import MqttBus, MqttMessage, service_bus

PLAIN_HEADER = struct.Struct(">16sIHH")
FRAME_OVERHEAD = 28 + 32  # header and IV, MAC


# ---------------------------------------------------------------- what they send to


class Plain:
    """Writes each capture's bytes to a file, fsyncs it and says so: what no collector can beat."""

    def __init__(self, bus: MqttBus, folder: Path, threads: int) -> None:
        self._bus, self._folder = bus, folder
        self._parts: dict[str, list[bytes]] = defaultdict(list)
        self._queue: queue.SimpleQueue[tuple[str, list[bytes]]] = queue.SimpleQueue()
        self._number = iter(range(10**9))
        folder.mkdir()
        for _ in range(threads if threads > 1 else 0):
            threading.Thread(target=self._run, daemon=True).start()
        self._store = self._write if threads == 1 else lambda *work: self._queue.put(work)

    def receive(self, message: MqttMessage, frames: int) -> None:
        board = topics.board_of(message.topic)
        self._parts[board].append(message.payload)
        if len(self._parts[board]) == frames:
            self._store(board, self._parts.pop(board))

    def _run(self) -> None:
        while True:
            self._write(*self._queue.get())

    def _write(self, board: str, parts: list[bytes]) -> None:
        with open(self._folder / f"{next(self._number)}", "wb") as file:
            file.write(b"".join(parts))
            file.flush()
            os.fsync(file.fileno())
        self._bus.publish(topics.down(board, Kind.ACK), b"ok")


def subscriber_process(plan: Plan, folder: Path, port: int, pipe: Connection) -> None:
    """Broker (when embedded) and subscriber; tells the broker's port, and in the end how many captures are stored."""
    configure_logging(level=logging.WARNING)
    broker = None
    if plan.broker == "embedded":
        passwords = {board_id: BoardKeys.derive(secret).mqtt_password for board_id, secret in plan.secrets}
        passwords["service.collector"] = service_password(plan.service_key, "collector")
        broker = EmbeddedBroker("127.0.0.1", 0, lambda user, password: passwords.get(user) == password)
        broker.start()
        port = broker.port
    settings = CollectorSettings(
        data_dir=folder,
        service_key=plan.service_key,
        mqtt_url=f"mqtt://127.0.0.1:{port}",
        grpc_address="127.0.0.1:0",
    )
    settings = replace_workers(settings, plan)
    if plan.subscriber == "plain":
        stored = run_plain(plan, settings, folder, port, pipe)
    else:
        stored = run_collector(plan, settings, port, pipe)
    if broker is not None:
        broker.stop()
    pipe.send(stored)


def replace_workers(settings: CollectorSettings, plan: Plan) -> CollectorSettings:
    return settings.model_copy(update={"ingest_workers": plan.threads}) if plan.subscriber == "collector" else settings


def run_plain(plan: Plan, settings: CollectorSettings, folder: Path, port: int, pipe: Connection) -> int:
    bus = service_bus(settings, "collector")
    plain = Plain(bus, folder / "plain", plan.threads)
    record = len(CaptureRecord(CaptureMetadata(0, "", 0, 320, 240), thirty_kib_jpeg()).pack())
    frames = -(-record // plan.chunk)
    bus.subscribe(topics.up("+", Kind.CAPTURE), lambda message: plain.receive(message, frames))
    bus.start()
    bus.wait_connected(10)
    pipe.send(port)
    pipe.recv()
    bus.stop()
    return len(list((folder / "plain").iterdir()))


def run_collector(plan: Plan, settings: CollectorSettings, port: int, pipe: Connection) -> int:
    collector = Collector(settings)
    collector.start()
    collector.wait_connected(10)
    project = collector.projects.create("bench", [])
    fernet = record_fernet(plan.service_key)
    for board_id, secret in plan.secrets:
        keys = BoardKeys.derive(secret)
        fields = {name: getattr(keys, name).hex() for name in ("up_enc", "up_mac", "down_enc", "down_mac")}
        fields |= {"board": board_id, "project": project.id, "name": board_id}
        collector.roster.receive(board_id, fernet.encrypt(json.dumps(fields | {"active": True}).encode()))
    pipe.send(port)
    pipe.recv()
    stored = collector.browser.count(project.id).total
    collector.stop()
    return stored


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n")
    process = subprocess.Popen(["mosquitto", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def measure(plan: Plan, folder: Path, port: int) -> float:
    """Captures per second."""
    context = multiprocessing.get_context("fork")  # this process has no threads, and need not import everything again
    ours, theirs = context.Pipe()
    results, sender = context.Pipe()
    subscriber = context.Process(target=subscriber_process, args=(plan, folder, port, theirs))
    subscriber.start()
    try:
        port = receive(ours, subscriber)
        boards = context.Process(target=boards_process, args=(plan, port, sender))
        boards.start()
        captures, seconds = receive(results, boards)
        boards.join()
        ours.send("end")
        stored = receive(ours, subscriber)
        assert stored == captures, f"{captures} captures acknowledged, {stored} stored"
    finally:
        subscriber.join(10)
        subscriber.kill()
    return captures / seconds


def receive(pipe: Connection, process: multiprocessing.process.BaseProcess) -> object:
    while not pipe.poll(0.2):
        if not process.is_alive():
            raise SystemExit(f"{process.name} ended with exit code {process.exitcode}")
    return pipe.recv()


def measure_all(arguments: argparse.Namespace) -> list[dict[str, object]]:
    rows = []
    names = tuple((new_board_id(), new_secret()) for _ in range(arguments.boards))
    key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    for broker in arguments.brokers.split(","):
        if broker == "mosquitto" and not shutil.which("mosquitto"):
            print("mosquitto is not on PATH: left out (apt-get install mosquitto)", file=sys.stderr)
            continue
        for chunk in (int(size) for size in arguments.chunks.split(",")):
            base = Plan(broker, "plain", 1, chunk, arguments.boards, arguments.seconds, arguments.captures, key, names)
            plans = [base, replace(base, threads=arguments.workers)]
            plans.append(replace(plans[-1], subscriber="collector"))
            plain, threaded, collector = (run_one(plan, arguments.directory) for plan in plans)
            rows.append(
                {
                    "broker": broker,
                    "chunk_bytes": chunk,
                    "plain_per_s": round(plain, 1),
                    "plain_threads_per_s": round(threaded, 1),
                    "collector_per_s": round(collector, 1),
                    "ratio": round(collector / plain, 3),
                    "ratio_threads": round(collector / threaded, 3),
                }
            )
    return rows


def run_one(plan: Plan, directory: Path | None) -> float:
    with tempfile.TemporaryDirectory(dir=directory) as name:
        folder = Path(name)
        if plan.broker == "embedded":
            return measure(plan, folder, 0)
        with mosquitto(folder) as port:
            return measure(plan, folder, port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--captures", type=int, default=3200, help="sealed ahead, of all boards")
    parser.add_argument("--brokers", default="embedded,mosquitto")
    parser.add_argument("--chunks", default="60000", help="bytes of a chunk")
    parser.add_argument("--workers", type=int, default=CollectorSettings.model_fields["ingest_workers"].default)
    parser.add_argument("--directory", type=Path, default=None, help="on the disk to measure")
    rows = measure_all(parser.parse_args())
    table = Table(title="captures of 30 KiB per second, on disk and acknowledged")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=110).print(table)
    whole = [row for row in rows if row["chunk_bytes"] == max(row["chunk_bytes"] for row in rows)]
    worst = {name: min(row[name] for row in whole) for name in ("ratio", "ratio_threads")}
    print(json.dumps({"bench": "ingest", "jpeg_bytes": len(thirty_kib_jpeg()), "rows": rows} | worst))


if __name__ == "__main__":
    main()
