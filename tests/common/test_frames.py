"""services/common/frames.py, captures.py and blocks.py against the golden bytes, and against every wrongness."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from services.common import cipher, frames
from services.common.frames import (
    AckReason,
    Block,
    BlockRequest,
    CaptureChunk,
    CaptureMetadata,
    CaptureRecord,
    FrameError,
    Kind,
    Part,
    ReplayWindow,
    open_frame,
    seal_downlink,
    seal_uplink,
)
from services.common.keys import BoardKeys

GOLDEN = Path(__file__).parents[1] / "golden"
INDEX: dict[str, Any] = json.loads((GOLDEN / "index.json").read_text(encoding="utf-8"))
KEYS = {name: BoardKeys.derive(bytes.fromhex(keys["secret"])) for name, keys in INDEX["keys"].items()}
PAIRED = KEYS["paired"]
UPLINK = [name for name, frame in INDEX["frames"].items() if frame["kind"] < 0x80]


def golden(name: str) -> tuple[dict[str, Any], bytes]:
    entry = INDEX["frames"][name]
    return entry, (GOLDEN / entry["file"]).read_bytes()


def opened(data: bytes, keys: BoardKeys = PAIRED, *, uplink: bool = True) -> frames.Frame:
    enc, mac = (keys.up_enc, keys.up_mac) if uplink else (keys.down_enc, keys.down_mac)
    return open_frame(data, enc, mac, uplink=uplink)


@pytest.mark.parametrize("name", INDEX["frames"])
def test_a_golden_frame_opens(name: str) -> None:
    entry, data = golden(name)
    frame = opened(data, KEYS[entry["keys"]], uplink=name in UPLINK)
    assert (frame.kind, frame.session, frame.sequence) == (entry["kind"], entry["session"], entry["sequence"])
    assert frame.plaintext.hex() == entry["plaintext"]


@pytest.mark.parametrize("name", UPLINK)
def test_an_uplink_frame_is_sealed_byte_for_byte(name: str) -> None:
    entry, data = golden(name)
    plaintext = bytes.fromhex(entry["plaintext"])
    sealed = seal_uplink(Kind(entry["kind"]), entry["session"], entry["sequence"], plaintext, KEYS[entry["keys"]])
    assert sealed == data


@pytest.mark.parametrize("name", INDEX["bad_frames"])
def test_a_bad_frame_is_refused_with_its_reason(name: str) -> None:
    entry = INDEX["bad_frames"][name]
    with pytest.raises(FrameError) as raised:
        opened((GOLDEN / entry["file"]).read_bytes())
    assert raised.value.ack == entry["ack"] == raised.value.reason


def test_every_changed_bit_is_noticed() -> None:
    _, data = golden("pull_manifest")
    for position in range(len(data) * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(FrameError):
            opened(bytes(changed))


def test_every_cut_is_noticed() -> None:
    _, data = golden("pull_manifest")
    for length in range(len(data)):
        with pytest.raises(FrameError):
            opened(data[:length])


def test_a_frame_of_another_board_is_a_bad_mac() -> None:
    _, data = golden("report")
    with pytest.raises(FrameError) as raised:
        opened(data, BoardKeys.derive(bytes(16)))
    assert raised.value.ack is AckReason.BAD_MAC


def test_the_largest_frame_passes_and_a_larger_one_is_too_large() -> None:
    largest = seal_uplink(Kind.CAPTURE, 1, 1, bytes(frames.PLAINTEXT_MAX), PAIRED)
    assert len(largest) == 65532 and len(opened(largest).plaintext) == 65471
    with pytest.raises(FrameError) as raised:
        opened(bytes(frames.FRAME_MAX + 16))
    assert raised.value.ack is AckReason.TOO_LARGE
    with pytest.raises(FrameError) as raised:
        seal_downlink(Kind.BLOCK, bytes(frames.PLAINTEXT_MAX + 1), PAIRED.down_enc, PAIRED.down_mac)
    assert raised.value.ack is AckReason.TOO_LARGE


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 4000])
def test_a_downlink_frame_comes_back(length: int) -> None:
    data = seal_downlink(Kind.BLOCK, bytes(length), PAIRED.down_enc, PAIRED.down_mac, session=3, sequence=4)
    frame = opened(data, uplink=False)
    assert (frame.kind, frame.session, frame.sequence, frame.plaintext) == (Kind.BLOCK, 3, 4, bytes(length))


def test_a_downlink_frame_never_has_the_same_iv_twice() -> None:
    ivs = {seal_downlink(Kind.ACK, b"", PAIRED.down_enc, PAIRED.down_mac)[12:28] for _ in range(100)}
    assert len(ivs) == 100


def test_a_downlink_frame_sent_back_up_is_refused() -> None:
    data = seal_downlink(Kind.ACK, b"x", PAIRED.up_enc, PAIRED.up_mac)
    with pytest.raises(FrameError) as raised:
        opened(data)
    assert raised.value.ack is AckReason.MALFORMED


def test_the_mac_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    real = hmac.compare_digest

    def compare(first: bytes, second: bytes) -> bool:
        compared.append(len(first))
        return real(first, second)

    monkeypatch.setattr(frames.hmac, "compare_digest", compare)
    opened(golden("report")[1])
    assert compared == [32]


def test_the_plaintext_of_a_frame_stays_out_of_its_repr() -> None:
    assert "COMMITTED" not in repr(opened(golden("report")[1]))


# ---------------------------------------------------------------------- replay


def test_the_replay_window_only_goes_up() -> None:
    window = ReplayWindow((7, 3))
    accepted = [(7, 4), (7, 9), (8, 1)]
    refused = [(7, 4), (7, 8), (7, 9), (6, 100), (0, 0), (8, 1)]
    assert not window.accept(7, 3)
    assert [window.accept(*pair) for pair in accepted] == [True] * 3
    assert [window.accept(*pair) for pair in refused] == [False] * 6
    assert window.last == (8, 1)


# ---------------------------------------------------------------------- captures


@pytest.mark.parametrize("name", INDEX["captures"])
def test_a_golden_capture_record_parses_and_packs(name: str) -> None:
    entry = INDEX["captures"][name]
    data = (GOLDEN / entry["file"]).read_bytes()
    record = CaptureRecord.parse(data)
    wanted = entry["metadata"]
    assert record.metadata == CaptureMetadata(wanted["seq"], wanted["label"], wanted["at"], wanted["w"], wanted["h"])
    assert record.capture_id.hex() == entry["id"] and record.jpeg == (GOLDEN / entry["jpeg"]).read_bytes()
    assert record.pack() == data and CaptureRecord(record.metadata, record.jpeg) == record


def test_the_golden_chunks_make_up_the_record() -> None:
    entry = INDEX["captures"]["capture"]
    data = bytearray(entry["total"])
    for index in (2, 0, 1):
        chunk = CaptureChunk.parse(bytes.fromhex(INDEX["frames"][f"capture_{index}"]["plaintext"]))
        assert (chunk.capture_id.hex(), chunk.index, chunk.count) == (entry["id"], index, 3)
        assert chunk.pack().hex() == INDEX["frames"][f"capture_{index}"]["plaintext"]
        data[chunk.offset : chunk.offset + len(chunk.data)] = chunk.data
    assert bytes(data) == (GOLDEN / entry["file"]).read_bytes()


@pytest.mark.parametrize(
    ("total", "index", "count", "size"),
    [
        (100, 0, 0, 100),  # no chunks
        (100, 1, 1, 100),  # index beyond count
        (100, 5, 2, 50),
        (100, 0, 1, 99),  # one chunk that is not all
        (100, 0, 1, 101),
        (0, 0, 1, 1),
        (100, 0, 2, 40),  # two of 40 are less than 100
        (100, 0, 2, 100),  # nothing left for the last
        (100, 1, 2, 60),  # the last longer than the others
        (100, 2, 3, 1),  # others of 49.5 bytes
        (10, 1, 2, 11),
    ],
)
def test_chunk_numbers_that_contradict_each_other_are_malformed(total: int, index: int, count: int, size: int) -> None:
    with pytest.raises(FrameError) as raised:
        CaptureChunk.parse(struct.pack(">16sIHH", b"i" * 16, total, index, count) + b"x" * size)
    assert raised.value.ack is AckReason.MALFORMED


@pytest.mark.parametrize("length", [0, 16, 23, 24])
def test_a_chunk_without_data_is_malformed(length: int) -> None:
    with pytest.raises(FrameError) as raised:
        CaptureChunk.parse(bytes(length))
    assert raised.value.ack is AckReason.MALFORMED


def test_a_capture_over_the_limit_is_too_large_from_its_first_chunk() -> None:
    chunk = CaptureChunk(b"i" * 16, 4 * 1024 * 1024 + 1, 0, 3000, b"x" * 1920).pack()
    with pytest.raises(FrameError) as raised:
        CaptureChunk.parse(chunk)
    assert raised.value.ack is AckReason.TOO_LARGE
    assert CaptureChunk.parse(CaptureChunk(b"i" * 16, 2000, 0, 2, b"x" * 1920).pack(), limit=2000).total == 2000


def record_of(metadata: bytes, jpeg: bytes = b"\xff\xd8\xff") -> bytes:
    return b"BLC1" + len(metadata).to_bytes(2, "big") + metadata + jpeg


GOOD = {"seq": 1, "label": "", "at": 0, "w": 1, "h": 1}


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 60000,
        b'{"seq": ' + b"9" * 5000 + b"}",
        *(
            json.dumps(GOOD | change).encode()
            for change in (
                {"seq": -1},
                {"seq": True},
                {"seq": 1.0},
                {"seq": 2**32},
                {"seq": None},
                {"label": 5},
                {"label": None},
                {"label": "\ud800"},
                {"at": "now"},
                {"at": 10**15},
                {"w": 0},
                {"h": 65536},
            )
        ),
        *(json.dumps({key: value for key, value in GOOD.items() if key != missing}).encode() for missing in GOOD),
    ],
)
def test_metadata_that_cannot_be_is_malformed(metadata: bytes) -> None:
    with pytest.raises(FrameError) as raised:
        CaptureRecord.parse(record_of(metadata))
    assert raised.value.ack is AckReason.MALFORMED


@pytest.mark.parametrize("data", [b"", b"BLC1", b"BLC1\x00", b"BLC2\x00\x02{}", b"BLC1\xff\xff{}"])
def test_bytes_that_are_no_record_are_malformed(data: bytes) -> None:
    with pytest.raises(FrameError) as raised:
        CaptureRecord.parse(data)
    assert raised.value.ack is AckReason.MALFORMED


@pytest.mark.parametrize("picture", [b"", b"\xff", b"\x89PNG\r\n"])
def test_a_record_without_a_jpeg_says_so(picture: bytes) -> None:
    with pytest.raises(FrameError) as raised:
        CaptureRecord.parse(record_of(json.dumps(GOOD).encode(), picture))
    assert raised.value.ack is AckReason.NOT_JPEG


def test_metadata_of_a_newer_board_may_have_more_fields() -> None:
    record = CaptureRecord.parse(record_of(json.dumps(GOOD | {"lens": "wide"}).encode()))
    assert record.metadata == CaptureMetadata(1, "", 0, 1, 1)


def test_the_capture_id_is_that_of_the_bytes_that_came() -> None:
    data = record_of(json.dumps(GOOD, separators=(",", ":")).encode())  # not the spelling that pack() would write
    assert CaptureRecord.parse(data).capture_id == hashlib.sha256(data).digest()[:16]


# ---------------------------------------------------------------------- blocks


@pytest.mark.parametrize("part", list(Part))
def test_the_golden_pulls_and_blocks(part: Part) -> None:
    pull, block = (INDEX["frames"][f"{kind}_{part.name.lower()}"]["plaintext"] for kind in ("pull", "block"))
    whole = (GOLDEN / INDEX["release"][part.name.lower()]).read_bytes()
    request, answer = BlockRequest.parse(bytes.fromhex(pull)), Block.parse(bytes.fromhex(block))
    assert request == BlockRequest(bytes.fromhex(INDEX["release"]["id"]), part, len(whole) - 100, 512)
    assert answer == Block(request.release_id, part, request.offset, whole[request.offset :])
    assert (request.pack().hex(), answer.pack().hex()) == (pull, block)


@pytest.mark.parametrize(
    "plaintext",
    [b"", bytes(24), bytes(26), struct.pack(">16sBII", b"r" * 16, 3, 0, 1), struct.pack(">16sBII", b"r" * 16, 0, 0, 0)],
)
def test_a_pull_that_cannot_be_is_malformed(plaintext: bytes) -> None:
    with pytest.raises(FrameError) as raised:
        BlockRequest.parse(plaintext)
    assert raised.value.ack is AckReason.MALFORMED


@pytest.mark.parametrize("plaintext", [b"", bytes(21), struct.pack(">16sBI", b"r" * 16, 9, 0) + b"x"])
def test_a_block_that_cannot_be_is_malformed(plaintext: bytes) -> None:
    with pytest.raises(FrameError) as raised:
        Block.parse(plaintext)
    assert raised.value.ack is AckReason.MALFORMED


def test_the_golden_payload_decrypts_to_model_and_inputs() -> None:
    release = INDEX["release"]
    manifest = json.loads((GOLDEN / release["manifest"]).read_bytes())
    payload = (GOLDEN / release["payload"]).read_bytes()
    plain = cipher.decrypt(bytes.fromhex(release["content_key"]), bytes.fromhex(manifest["payload"]["iv"]), payload)
    assert plain.hex() == release["model"] + release["golden"]
    assert hashlib.sha256(payload).hexdigest() == manifest["payload"]["sha256"]
