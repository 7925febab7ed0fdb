from __future__ import annotations

import random
from contextlib import suppress

import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.kmodel_v3.registers import conv_registers, decode
from services.trainer.convert.kmodel_v5.reader import KpuStep, Transfer, read
from services.trainer.convert.kmodel_v5.simulate import KModelV5Simulator
from tests.trainer.convert.kmodel_v5.translate import conv


def test_shapes_memory_and_runs_are_told_from_the_file(file: bytes) -> None:
    model = read(file)
    assert (model.entry.inputs, model.entry.outputs) == (((1, 3, 32, 32),), ((1, 4),))
    assert model.main_memory == 4368  # the TOTAL of nncase's own kmodel_info.txt, less the file
    (run,) = model.kpu_steps()
    assert [type(step) for step in run] == [Transfer, *[KpuStep] * 6, Transfer]


def test_registers_follow_from_the_shapes_as_in_kmodel_v3(file: bytes) -> None:
    for step in read(file).kpu_steps()[0]:
        if isinstance(step, KpuStep):
            ours, fields = conv(step), decode(step.registers)
            wanted = conv_registers(ours.shape, fields["image_src_addr"], fields["image_dst_addr"], ours.quant)
            assert step.registers == wanted


def test_a_file_cut_anywhere_is_refused_with_the_offset(file: bytes) -> None:
    for size in range(0, len(file) - 8, 11):
        with pytest.raises(UnsupportedModel) as caught:
            read(file[:size])
        assert 0 <= int(caught.value.metadata["offset"]) <= size


def test_a_damaged_file_is_read_or_refused_and_nothing_else(file: bytes) -> None:
    rng = random.Random(1)
    for _ in range(2000):
        data = bytearray(file)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(1024)] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        with suppress(UnsupportedModel):
            read(bytes(data)).kpu_steps()


@pytest.mark.parametrize("data", [b"", b"\x03\0\0\0" * 16, b"LDMK\4" + bytes(60)], ids=["empty", "V3", "V4"])
def test_a_file_of_another_kind_is_refused_before_nncase_sees_it(data: bytes) -> None:
    with pytest.raises(UnsupportedModel, match="kmodel V5"):
        KModelV5Simulator(data, "1.9")
