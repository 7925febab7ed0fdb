from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert.kmodel_v3.cpu_bytes import AddPadding, Dequantize, Upload
from services.trainer.convert.kmodel_v3.layers import MAIN_MEM_OUT, KModel, KpuConv, Output
from services.trainer.convert.kmodel_v3.reader import read
from services.trainer.convert.kmodel_v3.registers import ConvShape, Quantisation
from services.trainer.convert.kmodel_v3.simulate import KModelSimulator, Rounding
from services.trainer.convert.kmodel_v3.writer import write
from tests.trainer.convert.kmodel_v3.test_kpu import random_conv
from tests.trainer.convert.networks import pictures


def test_golden_outputs_to_the_bit(shared: Path) -> None:
    files = sorted((shared / "vectors/kmodel_v3").glob("*.kmodel"))
    assert files
    for file in files:
        golden = np.load(file.with_suffix(".npz"))
        model = read(file.read_bytes())
        got = KModelSimulator(model).run(golden["input_u8_chw"])
        if model.layers[-1].NAME == "SOFTMAX":  # expf may differ in the last place
            assert np.abs(got - golden["output_f32"]).max() < 2e-8, file.name
        else:
            assert np.array_equal(got.view(np.uint32), golden["output_f32"].view(np.uint32)), file.name


def test_the_other_rounding_moves_golden_outputs_a_little(shared: Path) -> None:
    file = shared / "vectors/kmodel_v3/yolo_face_detect.kmodel"
    golden = np.load(file.with_suffix(".npz"))
    other = KModelSimulator(file.read_bytes(), Rounding.HALF_EVEN).run(golden["input_u8_chw"][:1])
    scale = read(file.read_bytes()).layers[-1].scale
    steps = np.abs(other - golden["output_f32"][:1]) / scale
    assert 0.05 < (steps > 0.5).mean() < 0.5
    assert steps.max() < 10


def test_batches_and_single_images_agree(small_file: bytes) -> None:
    simulator = KModelSimulator(small_file)
    images = pictures(37)[0]
    assert np.array_equal(simulator.run(images), np.concatenate([simulator.run(i[None]) for i in images]))
    assert simulator.run(images[:0]).shape == (0, 4)


@pytest.mark.parametrize(
    "images", [np.zeros((1, 3, 32, 31), np.uint8), np.zeros((3, 32, 32), np.uint8), np.zeros((1, 3, 32, 32))]
)
def test_images_of_another_shape_are_refused(small_file: bytes, images: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"the model eats uint8 \(n, \(3, 32, 32\)\)"):
        KModelSimulator(small_file).run(images)


def chain(*, second_source: int = 0, target: int = 0) -> KModel:
    """Two convolutions and a dequantise; the arguments break the plan of KPU RAM."""
    first = random_conv(ConvShape(3, 4, 8, 8, 3, False, 0), Quantisation(arg_x=-128))
    second = random_conv(ConvShape(4, 2, 8, 8, 1, False, 0), Quantisation(arg_x=-128))
    first = replace(first, source_row=1000, target_row=target)
    second = replace(second, source_row=second_source, target_row=2000, flags=MAIN_MEM_OUT)
    return KModel((first, second, Dequantize(1, 0, 128, 128, 0.5, 0.0)), (Output(128, 512),), 640)


def test_a_chain_runs() -> None:
    assert KModelSimulator(write(chain())).run(np.zeros((2, 3, 8, 8), np.uint8)).shape == (2, 128)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (chain(second_source=8), r"layer 1 \(K210_CONV\): no map of shape \(4, 8, 8\) is in KPU RAM at row 8"),
        (chain(target=1004), "its output rows from 1004 overlap its input rows"),
        (replace(chain(), main_memory=600), r"layer 2 \(DEQUANTIZE\): 512 bytes at 128 are outside the 600"),
    ],
)
def test_a_broken_memory_plan_is_refused(model: KModel, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says):
        KModelSimulator(model)


def test_a_map_that_was_overwritten_cannot_be_read() -> None:
    model = chain()
    first, second, last = model.layers
    assert isinstance(first, KpuConv) and isinstance(second, KpuConv)
    again = replace(first, source_row=1000, target_row=500)
    overwrite = replace(second, source_row=0, target_row=1000, flags=0)
    with pytest.raises(UnsupportedModel, match=r"layer 2 \(K210_CONV\): no map"):
        KModelSimulator(replace(model, layers=(first, overwrite, again, last)))


def test_mean_pooling_is_refused_since_its_rounding_is_unknown() -> None:
    conv = random_conv(ConvShape(3, 4, 8, 8, 3, False, 0), Quantisation(arg_x=-128))
    conv = replace(conv, shape=replace(conv.shape, pool=2), source_row=1000)
    with pytest.raises(UnsupportedModel, match="pool type 2"):
        KModelSimulator(KModel((conv,), (), 0))


def test_upload_and_add_padding_bring_bytes_back_to_the_kpu() -> None:
    head = random_conv(ConvShape(3, 4, 4, 4, 1, False, 0), Quantisation(arg_x=-128))
    head = replace(head, source_row=1000, target_row=0, flags=MAIN_MEM_OUT)
    again = random_conv(ConvShape(4, 2, 4, 4, 1, False, 0), Quantisation(arg_x=-128), seed=1)
    again = replace(again, source_row=100, target_row=200, flags=MAIN_MEM_OUT, output=64)
    direct = replace(again, source_row=0)
    tail = Dequantize(1, 64, 128, 32, 1.0, 0.0)
    image = pictures(1, 32)[0][:, :, :4, :4].copy()

    def outputs(*layers: KpuConv | Upload | AddPadding) -> np.ndarray:
        return KModelSimulator(KModel((*layers, tail), (Output(128, 128),), 256)).run(image)[0].reshape(2, 4, 4)

    wanted = outputs(head, direct)
    assert len(np.unique(wanted)) > 5
    assert np.array_equal(outputs(head, Upload(1, 0, 100, 4, 4, 4), again), wanted)
    padded = outputs(head, AddPadding(1, 0, 100, 4), again)
    assert not np.array_equal(padded, wanted)
    assert padded.shape == wanted.shape


def test_a_file_that_would_take_hours_is_refused() -> None:
    conv = random_conv(ConvShape(3, 8, 256, 512, 3, False, 0), Quantisation(arg_x=-128))
    model = KModel((replace(conv, source_row=20000, target_row=0),) * 1000, (), 0)
    with pytest.raises(UnsupportedModel, match="more than 2e\\+10 multiply-adds"):
        KModelSimulator(model)


def test_a_model_that_begins_on_the_cpu_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="first layer must be a K210_CONV"):
        KModelSimulator(KModel((Dequantize(1, 0, 8, 2, 1.0, 0.0),), (), 16))
