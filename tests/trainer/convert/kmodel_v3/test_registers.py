from __future__ import annotations

import struct
from pathlib import Path

import pytest

from services.trainer.convert.kmodel_v3.layers import KpuConv
from services.trainer.convert.kmodel_v3.reader import read
from services.trainer.convert.kmodel_v3.registers import FIELDS, ConvShape, RowLayout, decode, encode, rows
from services.trainer.convert.kmodel_v3.writer import CONV_HEAD


def test_registers_follow_from_the_shape_in_every_golden_layer(shared: Path) -> None:
    checked = 0
    for file in sorted((shared / "vectors/kmodel_v3").glob("*.kmodel")):
        data = file.read_bytes()
        model = read(data)
        for offset, layer in zip(model.offsets, model.layers, strict=True):
            if isinstance(layer, KpuConv):
                registers_at = CONV_HEAD.unpack_from(data, offset)[2]
                assert layer.registers() == struct.unpack_from("<12Q", data, registers_at), f"{file.name} at {offset}"
                checked += 1
    assert checked > 50


def test_fields_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for name, bits in FIELDS.items():
        places = {(bits.word, bits.low + i) for i in range(bits.width)}
        assert not places & taken, name
        taken |= places


def test_words_read_back() -> None:
    fields = {name: (-3 if bits.signed else (1 << bits.width) - 1) for name, bits in FIELDS.items()}
    assert decode(encode(fields)) == fields


def test_a_value_too_wide_for_its_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="i_ch_num: 1024 does not fit 10 bits"):
        encode({"i_ch_num": 1024})


@pytest.mark.parametrize(
    ("width", "layout"), [(4, (4, 1)), (16, (4, 1)), (17, (2, 1)), (32, (2, 1)), (33, (1, 1)), (65, (1, 2))]
)
def test_row_layout(width: int, layout: tuple[int, int]) -> None:
    assert RowLayout.of(width) == layout


def test_the_widest_map_of_mobilenet_at_224_fits() -> None:
    assert rows(64, 112, 112) * 2 == 28672


def test_weights_are_loaded_in_pieces_of_30_kib() -> None:
    shape = ConvShape(1024, 54, 8, 10, 1, False, 0)
    assert (shape.coefficients, shape.load_time) == (30, 2)
