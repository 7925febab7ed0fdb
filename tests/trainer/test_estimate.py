"""Estimates against the files that the converters really write."""

from __future__ import annotations

import numpy as np
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.config import Backbone
from services.trainer.convert import TARGETS, convert, simulator
from services.trainer.convert.contract import ConvertOptions
from services.trainer.convert.kmodel_v5.environment import is_installed
from services.trainer.estimate import check_fits, estimate, untrained
from services.trainer.model import Classifier, to_graph

LABELS = ("cat", "dog", "bird")
FAST = ConvertOptions(bias_correction=False, allow_oversize=True)
CASES: list[tuple[Backbone, int, int, str]] = [
    ("tiny_cnn", 128, 128, "classifier"),
    ("mobilenet_v1_0.25", 160, 128, "yolo2"),
    ("mobilenet_v1_0.25", 160, 128, "anchor_free"),
    ("mobilenet_v2_0.35", 128, 128, "classifier"),
    ("darknet_slim_0.5", 128, 128, "classifier"),
]
V3 = "k210-kmodel-v3"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("backbone", "width", "height", "head"), CASES, ids=lambda value: str(value))
def test_the_estimate_is_the_size_of_the_converted_file(
    target: str, backbone: Backbone, width: int, height: int, head: str
) -> None:
    if "kmodel-v5" in target and (backbone != "tiny_cnn" or not is_installed("1.9") or not is_installed("1.1")):
        pytest.skip("nncase takes seconds for each: one network is enough")
    found = estimate(backbone, width, height, LABELS, target, head)
    graph = untrained(backbone, width, height, LABELS, head)
    images = np.random.default_rng(0).integers(0, 256, (4, 3, height, width), dtype=np.uint8)
    if found.refusal:
        with pytest.raises(UnsupportedModel) as refused:
            convert(graph, target, images, FAST)
        assert str(refused.value) == found.refusal
        return
    report = convert(graph, target, images, FAST).report
    ram = max((memory.bytes for memory in report.board_memory), default=report.file_size + report.main_memory)
    assert found.file_size == pytest.approx(report.file_size, rel=0.02)
    assert found.ram == (ram if target.startswith("k210") else pytest.approx(ram, rel=0.02))


def test_a_head_without_anchors_costs_what_its_own_network_does() -> None:
    both = [estimate("mobilenet_v1_0.5", 128, 128, LABELS, "web-onnx", head) for head in ("yolo2", "anchor_free")]
    assert both[1].file_size < both[0].file_size and both[0].multiply_adds != both[1].multiply_adds  # two blocks less


def test_a_layer_that_the_chip_has_not_room_for_is_named() -> None:
    small = estimate("mobilenet_v1_0.5", 96, 96, LABELS, V3)
    assert not small.fits and not small.oversize and small.layer and "4x4" in small.refusal
    with pytest.raises(UnsupportedModel, match="cannot be converted for k210-kmodel-v3") as refused:
        check_fits(small, V3, allow_oversize=True)
    assert refused.value.metadata["layer"] == small.layer


def test_what_only_lacks_memory_can_be_allowed() -> None:
    large = estimate("mobilenet_v1_1.0", 224, 224, LABELS, V3)
    assert large.oversize and large.ram > large.budget > 0
    with pytest.raises(UnsupportedModel, match="Or allow the size"):
        check_fits(large, V3, allow_oversize=False)
    check_fits(large, V3, allow_oversize=True)


def test_peaks_are_estimated_as_they_are_converted() -> None:
    found = estimate("mobilenet_v1_1.0_cut8", 256, 256, LABELS, V3, pooling="peaks")
    graph = to_graph(Classifier("mobilenet_v1_1.0_cut8", 3, pooling="peaks").eval(), LABELS, 256)
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 256, 256), dtype=np.uint8)
    report = convert(graph, V3, images, FAST).report
    assert found.fits and found.file_size == pytest.approx(report.file_size, rel=0.02)
    assert found.file_size == estimate("mobilenet_v1_1.0_cut8", 256, 256, LABELS, V3).file_size
    assert found.ram == max(memory.bytes for memory in report.board_memory)


@pytest.mark.parametrize(
    ("backbone", "size", "target", "says"),
    [
        ("mobilenet_v1_0.25", 224, V3, "7x7 positions"),
        ("tiny_cnn", 256, "mcu-tinymaix-int8", "max pooling, which TinyMaix does not have"),
    ],
)
def test_peaks_that_cannot_be_are_refused_before_a_training(
    backbone: Backbone, size: int, target: str, says: str
) -> None:
    assert estimate(backbone, size, size, LABELS, target).fits
    assert says in estimate(backbone, size, size, LABELS, target, pooling="peaks").refusal


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no target 'z80'"):
        estimate("tiny_cnn", 128, 128, LABELS, "z80")


def test_a_k210_runs_the_shape_of_its_camera() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 224, 320), dtype=np.uint8)
    for head in ("classifier", "yolo2"):
        graph = untrained("mobilenet_v1_0.25", 320, 224, LABELS, head)
        model = convert(graph, V3, images, FAST)
        chip = simulator(V3, model.data)
        assert chip.input_shape == (3, 224, 320)
        assert chip.run(images[:1]).shape == (1, 5 * 8 * 7 * 10 if head == "yolo2" else 3)
