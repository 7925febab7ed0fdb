"""No capture is lost, none is there twice, no board is left without its model, whatever is killed, cut or stopped."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from services.allinone import AllInOne
from services.common.blocks import Part
from services.common.errors import DeadlineExceeded
from services.common.kinds import Kind
from services.common.objects import open_object_store
from services.deployer.bundle import part_key
from services.virtualboard import Profile, VirtualBoards
from tests.e2e.loop import SECONDS, Person, Shot, Station, eventually, fingerprint, uploaded
from tests.e2e.pictures import cell
from tests.e2e.witness import Seen, Witness, witness

SMALL_CHUNKS = Profile(chunk=1920)  # a K210's: many frames a capture, many places to be cut at
numbers = count(1)


@pytest.fixture(scope="module")
def wire(boardloop: AllInOne) -> Iterator[Witness]:
    with witness(boardloop) as listening:
        yield listening


@pytest.fixture(scope="module")
def station(person: Person, fleet: VirtualBoards) -> Station:
    return person.pair(fleet, "line-1", SMALL_CHUNKS, cable=True)


@pytest.fixture(scope="module")
def other(person: Person, fleet: VirtualBoards) -> Station:
    return person.pair(fleet, "line-2", SMALL_CHUNKS)


@pytest.fixture(scope="module")
def model(boardloop: AllInOne, person: Person) -> dict[str, Any]:
    uploaded(boardloop.url, person.project, 24)
    return person.train()


@pytest.fixture
def old(person: Person, station: Station, model: dict[str, Any]) -> str:
    """The release that runs on the board before the test."""
    running = str(person.look(station)["release_id"])
    if not running:
        running = person.release(model, station, name="old")
        assert person.wait_release(running) == {station.id: ("COMMITTED", "")}
    return running


def fresh(label: str, number: int) -> list[bytes]:
    return [cell(label, next(numbers)) for _ in range(number)]


def pressed_offline(person: Person, station: Station, number: int) -> list[Shot]:
    """Captures that lie on the card of a board without network."""
    station.board.unplug()
    return person.press(station, "functional", fresh("functional", number))


def outbox(station: Station) -> list[Path]:
    return list((station.board.storage / "outbox").glob("*.blc"))


def check_stored_once(person: Person, before: Counter[Shot], shots: list[Shot], *stations: Station) -> None:
    eventually(lambda: person.stored().total() >= before.total() + len(shots), "every capture to be stored")
    person.wait_outbox_empty(*stations)
    assert person.stored() - before == Counter(shots)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_board_killed_while_it_sends_loses_nothing(
    seed: int, person: Person, station: Station, wire: Witness
) -> None:
    before = person.stored()
    shots = pressed_offline(person, station, 3)
    frames = sum(-(-record.stat().st_size // SMALL_CHUNKS.chunk) for record in outbox(station))
    dice = random.Random(seed)
    moments = iter([dice.randint(1, frames // 4) for _ in range(3)])  # frames after power on: never all of them
    moment, dead, killed = next(moments), 0, threading.Event()

    def kill_at_the_moment(frame: Seen) -> None:
        nonlocal dead
        session, sequence = frame.frame.session, frame.frame.sequence
        if frame.board == station.id and frame.frame.kind == Kind.CAPTURE and session > dead and sequence > moment:
            dead = session
            station.board.kill()
            killed.set()

    wire.on_frame = kill_at_the_moment
    station.board.plug()
    station.board.restart()
    while moment:
        assert killed.wait(SECONDS), f"the board did not send {moment} frames"
        killed.clear()
        moment = next(moments, 0)
        if not moment:
            wire.on_frame = lambda frame: None
        station.board.start()
    check_stored_once(person, before, shots, station)


def test_what_the_display_said_was_saved_is_stored_once_however_the_board_dies(
    person: Person, station: Station
) -> None:
    before = person.stored()
    dice = random.Random(7)
    texts, deadly = count(1), [dice.randint(3, 6), dice.randint(9, 12), dice.randint(15, 18)]
    board = station.board
    saved: set[str] = set()
    doubtful: set[str] = set()

    def die_at_some_texts(text: str) -> None:
        if deadly and next(texts) >= deadly[0]:
            del deadly[0]
            board.restart()

    def told() -> int:
        return sum(text.startswith("Saved") for text in board.texts)

    board.on_text(die_at_some_texts)
    for picture in fresh("defective", 9):
        _, digest = fingerprint("", picture)
        said = told()
        try:
            board.snap(picture, timeout=10)
            board.wait_shown(lambda text: text.startswith(("Saved", "Boardloop")), SECONDS)
        except DeadlineExceeded:
            pass  # it died between the key and the camera
        (saved if told() > said else doubtful).add(digest)
    person.wait_outbox_empty(station)
    board.on_text(lambda text: None)
    stored = Counter(digest for _, digest in (person.stored() - before).elements())
    assert set(stored.values()) == {1}
    assert saved <= set(stored) <= saved | doubtful
    assert not deadly and len(saved) >= 5


def test_a_cable_cut_amid_a_chunk_loses_nothing(person: Person, station: Station) -> None:
    before = person.stored()
    dice = random.Random(3)
    shots: list[Shot] = []
    for _ in range(3):
        person.wait_online(station)
        station.board.unplug(after=dice.randint(2500, 15000))
        shots += person.press(station, "defective", fresh("defective", 2))
        eventually(lambda: not station.board.plugged, "the cable to be cut")
        station.board.plug()
        check_stored_once(person, before, shots, station)


def test_a_collector_that_is_away_while_boards_press_gets_everything_later(
    boardloop: AllInOne, person: Person, station: Station, other: Station
) -> None:
    before = person.stored()
    with ThreadPoolExecutor() as pool:
        work = [
            pool.submit(person.press, one, label, fresh(label, 6))
            for one, label in ((station, "functional"), (other, "defective"))
        ]
        eventually(lambda: any("Saved" in text for text in other.board.texts), "the first press")
        boardloop.stop_collector()
        shots = [shot for task in work for shot in task.result()]
    boardloop.start_collector()
    check_stored_once(person, before, shots, station, other)


def test_boards_and_services_come_back_to_a_broker_that_was_away(
    boardloop: AllInOne, person: Person, station: Station, other: Station
) -> None:
    before = person.stored()
    boardloop.stop_broker()
    shots = person.press(station, "functional", fresh("functional", 2))
    shots += person.press(other, "functional", fresh("functional", 2))
    boardloop.start_broker()
    check_stored_once(person, before, shots, station, other)
    person.wait_online(station, other)


def test_a_download_goes_on_at_the_byte_where_the_power_went(
    person: Person, station: Station, old: str, model: dict[str, Any], wire: Witness
) -> None:
    cut = random.Random(5).randint(8, 30)
    killed = threading.Event()
    wire.frames.clear()

    def kill_at_the_cut(frame: Seen) -> None:
        if not killed.is_set() and len(wire.pulls(station.id)) == cut:
            station.board.kill()
            killed.set()

    wire.on_frame = kill_at_the_cut
    release = person.release(model, station)
    assert killed.wait(SECONDS)
    last = wire.pulls(station.id)[-1]
    wire.frames.clear()
    station.board.start()
    assert person.wait_release(release) == {station.id: ("COMMITTED", "")}
    after = [(pull.part, pull.offset) for pull in wire.pulls(station.id)]
    assert after[0] in ((Part.PAYLOAD, last.offset), (Part.PAYLOAD, last.offset + last.length))
    assert after == sorted(set(after)), "no byte was asked for twice"
    assert person.look(station)["release_id"] == release != old


def test_a_board_killed_while_it_tries_a_model_goes_back_to_the_old_one(
    person: Person, station: Station, old: str, model: dict[str, Any]
) -> None:
    killed = threading.Event()

    def kill_on_trial(text: str) -> None:
        if text == "Update TRYING":
            station.board.kill()
            killed.set()

    station.board.on_text(kill_on_trial)
    release = person.release(model, station)
    assert killed.wait(SECONDS)
    station.board.on_text(lambda text: None)
    station.board.start()
    assert person.wait_release(release) == {station.id: ("FAILED", "LOAD_FAILED")}
    assert person.look(station)["release_id"] == old
    assert person.classify(station, cell("functional", 9001))["release_id"] == old
    again = person.release(model, station)
    assert person.wait_release(again) == {station.id: ("COMMITTED", "")}
    assert person.classify(station, cell("functional", 9002))["release_id"] == again


def test_a_payload_changed_in_the_store_is_refused_and_the_old_model_runs_on(
    boardloop: AllInOne, person: Person, station: Station, old: str, model: dict[str, Any]
) -> None:
    station.board.kill()
    release = person.release(model, station)
    store, key = open_object_store(boardloop.settings), part_key(release, Part.PAYLOAD)
    payload = bytearray(store.get(key))
    payload[len(payload) // 2] ^= 1
    store.put(key, bytes(payload))
    station.board.start()
    assert person.wait_release(release) == {station.id: ("FAILED", "BAD_HASH")}
    now = person.look(station)
    assert (now["update_state"], now["update_reason"], now["release_id"]) == ("FAILED", "BAD_HASH", old)
    assert person.classify(station, cell("functional", 9003))["release_id"] == old
