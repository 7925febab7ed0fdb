from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert import ConvertedModel
from services.trainer.convert.ncnn.archive import BIN, JSON, MAX_JSON, PARAM, Archive, unpack
from services.trainer.convert.ncnn.simulate import NcnnSimulator
from tests.trainer.convert.networks import pictures

FUZZ = int(os.environ.get("BOARDLOOP_FUZZ", "1500"))  # mutated files; the seed is fixed


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_an_archive_is_read_and_written_byte_for_byte(int8: ConvertedModel) -> None:
    assert Archive.read(int8.data).pack() == int8.data


def test_hostile_zips_are_refused(int8: ConvertedModel) -> None:
    files = unpack(int8.data)
    big = {PARAM: b"", BIN: b"", JSON: bytes(MAX_JSON + 1)}
    for data, says in (
        (b"", "no whole zip"),
        (int8.data[:-30], "no whole zip"),
        (zipped({"../evil": b""}), "it holds ../evil"),
        (zipped({**files, "more": b""}), "it holds"),
        (zipped({}), "it holds nothing"),
        (zipped(files, zipfile.ZIP_DEFLATED), "is compressed"),
        (zipped(big), "model.json is compressed, or larger"),
        (int8.data[:200] + b"\xff" + int8.data[201:], "no whole zip"),
    ):
        with pytest.raises(UnsupportedModel, match=says) as caught:
            unpack(data)
        assert caught.value.reason == "NCNN_ARCHIVE"


def repacked(data: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    files = unpack(data)
    change(files)
    return zipped(files)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (" 13=2 14=1 2=1 3=2 ", " 13=0 14=1 2=1 3=0 ", "parameter 3 is 0, not 1 to 16"),
        (" 13=2 ", " 13=1 ", "parameters 3 and 13 differ"),
        (" 12=1 ", " 12=2 ", "parameters 2 and 12 differ"),
        (" 7=16 ", " 7=8 ", "8 groups from 16 to 16 channels"),
        (" 9=3", " 9=1", "activation 1 with 2 arguments"),
        (" 8=1", " 8=0", "byte"),
        ("0=1 4=1", "0=7 4=1", "parameter 0 is 7"),
        ("Pooling", "Softmax", "this kind of layer is not in our files"),
        ("InnerProduct ", "Permute ", "this kind of layer|left behind"),
        (" 6=", " 18=1 6=", "unlike our files"),
        ("in0", "in9", "makes the blob in0"),
        ("out0", "out9", "no blob out0"),
    ],
)
def test_networks_that_would_lead_ncnn_astray_are_refused(int8: ConvertedModel, old: str, new: str, says: str) -> None:
    def change(files: dict[str, bytes]) -> None:
        text = files[PARAM].decode()
        assert old in text
        files[PARAM] = text.replace(old, new, 1 if old not in ("in0", "out0") else -1).encode()

    with pytest.raises(UnsupportedModel, match=says):
        NcnnSimulator(repacked(int8.data, change))


@pytest.mark.parametrize(
    ("field", "value"),
    [("shape", [3, 32]), ("shape", [3, 1e9, 1]), ("mean", [0]), ("norm", ["x"] * 3), ("labels", [1]), ("format", 2)],
)
def test_a_wrong_description_is_refused(int8: ConvertedModel, field: str, value: object) -> None:
    def change(files: dict[str, bytes]) -> None:
        files[JSON] = json.dumps(json.loads(files[JSON]) | {field: value}).encode()

    with pytest.raises(UnsupportedModel, match=r"model\.json cannot be read"):
        NcnnSimulator(repacked(int8.data, change))


def test_images_of_another_size_are_refused(int8: ConvertedModel) -> None:
    with pytest.raises(InvalidInput, match="eats uint8"):
        NcnnSimulator(int8.data).run(pictures(1, size=16)[0])


def test_the_simulator_needs_no_torch() -> None:
    code = (
        "import sys; from services.trainer.convert import simulator\n"
        "try: simulator('linux-ncnn-int8', b'')\n"
        "except Exception as e: assert e.reason == 'NCNN_ARCHIVE', e\n"
        "assert 'ncnn' in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def mutated(files: dict[str, bytes], rng: np.random.Generator) -> dict[str, bytes]:
    """Digits and letters of the text, bytes of the weights, pieces cut out or doubled."""
    name = str(rng.choice([PARAM, PARAM, BIN, JSON]))
    out = bytearray(files[name])
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, len(out)))
        kind = rng.integers(0, 5)
        if kind <= 1:
            out[at] = int(rng.choice(list(b"0123456789-=., \nabC"))) if name != BIN else int(rng.integers(0, 256))
        elif kind == 2:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 3:
            del out[at : at + int(rng.integers(1, 16))]
        else:
            out[at:at] = out[at : at + int(rng.integers(1, 16))]
    return {**files, name: bytes(out)}


def test_mutated_archives_run_or_are_refused(int8: ConvertedModel, fp16: ConvertedModel) -> None:
    rng = np.random.default_rng(2026)
    archives = [unpack(int8.data), unpack(fp16.data)]
    image = pictures(1)[0]
    accepted = 0
    for i in range(FUZZ):
        data = zipped(mutated(archives[i % 2], rng))
        try:
            chip = NcnnSimulator(data)
        except UnsupportedModel as refused:
            assert refused.fix, f"mutation {i}: {refused}"
        else:
            accepted += 1
            if chip.input_shape == (3, 32, 32):
                assert len(chip.run(image)) == 1
    assert 0 < accepted < FUZZ
