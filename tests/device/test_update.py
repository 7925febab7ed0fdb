"""Releases on the board: every guarantee of docs/protocol.md section 7."""

from __future__ import annotations

import re
import time

import pytest

from services.common.frames import Frame, Kind
from tests.device.bundle import SIGNER, Bundle
from tests.device.conftest import TestBoard


@pytest.fixture
def paired(board: TestBoard) -> TestBoard:
    """A board that has been paired with SIGNER and is off now."""
    board.pair(SIGNER)
    return board


def last_report(board: TestBoard) -> tuple[str, str, str]:
    report = board.server.reports[-1]
    return str(report["release"]), str(report["state"]), str(report["reason"])


def test_commits_a_release_and_classifies(paired: TestBoard) -> None:
    bundle = Bundle()
    bundle.publish(paired.server)
    paired.run(UNTIL="COMMITTED")
    assert last_report(paired) == (bundle.id.hex(), "COMMITTED", "")
    states = [report["state"] for report in paired.server.reports if report["release"] == bundle.id.hex()]
    assert [s for i, s in enumerate(states) if states[:i][-1:] != [s]] == [
        "DOWNLOADING",
        "VERIFYING",
        "TRYING",
        "COMMITTED",
    ]
    assert [f for f in paired.files() if f.startswith("slot-")] == [
        "slot-a/manifest.bin",
        "slot-a/model.kmodel",
        "slot-a/signature.bin",
    ]
    out = paired.run(PRESSES="long,long,short", UNTIL="COMMITTED", AWAKE="Online")
    assert "Classify" in out
    [result] = paired.server.results
    assert (result["release"], result["logits"], result["frame"]) == (bundle.id.hex(), [2.5, -1], "00" * 8)
    assert [index for index, _ in result["scores"]] == [0, 1]
    assert sum(score for _, score in result["scores"]) == pytest.approx(1)
    assert re.search(r"Result: functional \d+ %", out)
    assert paired.server.hellos[-1]["release"] == bundle.id.hex()
    assert paired.server.hellos[-1]["counter"] == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"change": {"board_type": "v831"}}, "WRONG_BOARD_TYPE"),
        ({"change": {"format": "kmodel_v5"}}, "WRONG_FORMAT"),
        ({"change": {"expires": 1794999999}}, "EXPIRED"),
        ({"change": {"counter": "4"}}, "BAD_MANIFEST"),
        ({"change": {"release": "00" * 16}}, "BAD_MANIFEST"),
        ({"counter": 0}, "BAD_MANIFEST"),
        ({"behaviour": b"fail"}, "LOAD_FAILED"),
        ({"outputs": [[2.5, 0.0], [2.5, 1.01]]}, "GOLDEN_MISMATCH"),
        ({"outputs": [[2.5], [2.5]]}, "GOLDEN_MISMATCH"),
        ({"change": {"model": {"size": 20000, "sha256": "00" * 32}}}, "BAD_HASH"),
    ],
)
def test_refuses_a_release(paired: TestBoard, change: dict[str, object], reason: str) -> None:
    bundle = Bundle(**change)  # type: ignore[arg-type]
    bundle.publish(paired.server)
    out = paired.run(UNTIL="FAILED")
    assert last_report(paired) == (bundle.id.hex(), "FAILED", reason)
    assert f"Update FAILED {reason}" in out
    assert not [f for f in paired.files() if f.startswith("slot-")]
    assert "model" not in out or reason in ("LOAD_FAILED", "GOLDEN_MISMATCH")


def test_refuses_a_wrong_signature_before_it_fetches_the_payload(paired: TestBoard) -> None:
    bundle = Bundle()
    bundle.signature = bundle.signature[:-1] + bytes([bundle.signature[-1] ^ 1])
    bundle.publish(paired.server)
    paired.run(UNTIL="FAILED")
    assert last_report(paired)[2] == "BAD_SIGNATURE"
    pulls = [frame.plaintext[16] for frame in paired.server.frames if frame.kind == 3]
    assert sorted(set(pulls)) == [0, 1]


def test_refuses_a_payload_with_one_flipped_bit(paired: TestBoard) -> None:
    bundle = Bundle()
    bundle.payload = bundle.payload[:9999] + bytes([bundle.payload[9999] ^ 1]) + bundle.payload[10000:]
    bundle.publish(paired.server)
    out = paired.run(UNTIL="FAILED")
    assert last_report(paired)[2] == "BAD_HASH"
    assert "model" not in out


def test_refuses_a_key_wrapped_for_another_board(paired: TestBoard) -> None:
    bundle = Bundle()
    bundle.publish(paired.server)
    document = bundle.desired(paired.server)
    document["wrap"] = "00" * 96
    paired.server.desire(document)
    paired.run(UNTIL="FAILED")
    assert last_report(paired)[2] == "BAD_KEY"
    bundle.publish(paired.server)  # wrapped anew: DESIRED has changed
    paired.run(UNTIL="COMMITTED")


def test_refuses_when_the_storage_is_too_small(paired: TestBoard) -> None:
    bundle = Bundle()
    bundle.publish(paired.server)
    paired.run(UNTIL="FAILED", FREE=60000)
    assert last_report(paired)[2] == "NO_SPACE"


def test_an_older_release_cannot_come_back(paired: TestBoard) -> None:
    Bundle(counter=7).publish(paired.server)
    paired.run(UNTIL="COMMITTED")
    old = Bundle(b"old", counter=7)
    old.publish(paired.server)
    paired.run(UNTIL="FAILED")
    assert last_report(paired) == (old.id.hex(), "FAILED", "ROLLBACK")
    assert b"first" in (paired.root / "slot-a/model.kmodel").read_bytes()


def test_a_failed_release_is_not_tried_again_until_desired_changes(paired: TestBoard) -> None:
    bad = Bundle(b"bad", behaviour=b"fail")
    bad.publish(paired.server)
    paired.run(UNTIL="FAILED")
    before = len(paired.server.frames)
    out = paired.run(UNTIL="FAILED", PRESSES="short,short")
    bad.publish(paired.server)
    assert "DOWNLOADING" not in out
    assert not [frame for frame in paired.server.frames[before:] if frame.kind == 3]
    good = Bundle(b"good", counter=2)
    good.publish(paired.server)
    paired.run(UNTIL="COMMITTED")
    bad.publish(paired.server)  # desired again, but its counter is lower now
    paired.run(UNTIL="FAILED")
    assert last_report(paired)[2] == "ROLLBACK"


def test_a_model_that_stops_the_board_is_left_after_the_restart(paired: TestBoard) -> None:
    first, bad = Bundle(b"first"), Bundle(b"second", counter=2, behaviour=b"hang")
    first.publish(paired.server)
    paired.run(UNTIL="COMMITTED")
    bad.publish(paired.server)
    assert paired.run_until_power_cut(UNTIL="FAILED")
    out = paired.run(UNTIL="FAILED")
    assert last_report(paired) == (bad.id.hex(), "FAILED", "LOAD_FAILED")
    assert "model" not in out
    assert "model first" in paired.run(UNTIL="FAILED", PRESSES="long,long,short")


def test_the_download_goes_on_at_the_byte_it_had_reached(paired: TestBoard) -> None:
    bundle = Bundle(model_size=60000)
    bundle.publish(paired.server)
    assert paired.run_until_power_cut(UNTIL="COMMITTED", KILL_AT=30)
    before = len(paired.server.frames)
    paired.run(UNTIL="COMMITTED")
    offsets = [
        int.from_bytes(frame.plaintext[17:21], "big")
        for frame in paired.server.frames[before:]
        if frame.kind == 3 and frame.plaintext[16] == 2
    ]
    assert offsets[0] > 10000
    assert offsets == sorted(set(offsets))


def test_rubbish_of_a_power_cut_is_fetched_again_once(paired: TestBoard) -> None:
    bundle = Bundle(model_size=60000)
    bundle.publish(paired.server)
    assert paired.run_until_power_cut(UNTIL="COMMITTED", KILL_AT=30)
    with (paired.root / "slot-a/payload.bin").open("r+b") as f:
        f.write(bytes(100))
    out = paired.run(UNTIL="COMMITTED")
    assert out.count("Update DOWNLOADING\n") == 1
    assert last_report(paired)[1] == "COMMITTED"


def test_a_damaged_model_never_runs_and_can_be_fetched_again(paired: TestBoard) -> None:
    bundle = Bundle()
    bundle.publish(paired.server)
    paired.run(UNTIL="COMMITTED")
    model = paired.root / "slot-a/model.kmodel"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    out = paired.run(PRESSES="long,long,short", UNTIL="empty")
    assert "Model damaged" in out
    assert "model first" not in out
    paired.run(UNTIL="COMMITTED")
    assert "model first" in paired.run(PRESSES="long,long,short", UNTIL="COMMITTED")


def test_no_desired_release_stops_a_download(paired: TestBoard) -> None:
    bundle = Bundle(model_size=60000)
    bundle.publish(paired.server)
    assert paired.run_until_power_cut(UNTIL="COMMITTED", KILL_AT=30)
    paired.server.desire({"release": ""})
    paired.run(PRESSES="short", UNTIL="empty")
    assert not [f for f in paired.files() if f.startswith(("slot-", "update"))]


def test_a_model_of_900_kb_fits_into_the_heap_of_a_k210(paired: TestBoard) -> None:
    bundle = Bundle(model_size=900_000, width=128)
    bundle.publish(paired.server)
    paired.run(UNTIL="COMMITTED", BLOCK=8192)
    assert last_report(paired)[1] == "COMMITTED"


def test_a_payload_beyond_the_hash_counter_of_a_k210_is_not_fetched(paired: TestBoard) -> None:
    Bundle(model_size=4_200_000).publish(paired.server)
    paired.run(UNTIL="FAILED")
    assert last_report(paired)[2] == "BAD_MANIFEST"
    assert {frame.plaintext[16] for frame in paired.server.frames if frame.kind == 3} == {0, 1}


def test_a_release_that_loses_the_server_is_left(paired: TestBoard) -> None:
    """The golden inputs gave the golden outputs, but no HELLO is answered any more: not committed."""
    bundle = Bundle()
    bundle.publish(paired.server)
    silent_until = []

    def fall_silent(frame: Frame) -> bool:
        if frame.kind is Kind.REPORT and b"TRYING" in frame.plaintext:
            silent_until.append(time.monotonic() + 5)
        return frame.kind is Kind.HELLO and bool(silent_until) and time.monotonic() < silent_until[0]

    paired.server.drop = fall_silent
    out = paired.run(UNTIL="FAILED", SPEED=100)
    assert "model first" in out
    assert last_report(paired) == (bundle.id.hex(), "FAILED", "NOT_RECONNECTED")
    assert not [f for f in paired.files() if f.startswith("slot-")]
