"""Every backbone converts for the chips it is made for, and the chip's simulator answers as the float network does."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from services.common.errors import UnsupportedModel
from services.trainer.config import Backbone, Pooling
from services.trainer.convert import ConversionReport, ConvertOptions, convert, simulator
from services.trainer.convert.common import snr_db
from services.trainer.graph import Graph
from services.trainer.model import Classifier, normalised, to_graph
from tests.trainer.convert.networks import SHAPES, pictures

QUICK = ConvertOptions(bias_correction=False)


@cache
def settled(backbone: Backbone, size: int = 128, pooling: Pooling = "average") -> Graph:
    """A classifier with random weights whose batch normalisation knows the pictures."""
    torch.manual_seed(0)
    model = Classifier(backbone, len(SHAPES), pooling=pooling).train()
    torch.nn.init.normal_(model.head.linear.weight, std=0.3)
    with torch.no_grad():
        for seed in range(6):
            model(normalised(torch.from_numpy(pictures(12, size, seed)[0])))
    return to_graph(model.eval(), SHAPES, size)


def converted(
    backbone: Backbone, target: str, size: int = 128, pooling: Pooling = "average"
) -> tuple[float, ConversionReport]:
    """Signal-to-noise ratio in decibels on pictures the calibration has not seen, and the report."""
    graph, unseen = settled(backbone, size, pooling), pictures(8, size, seed=99)[0]
    model = convert(graph, target, pictures(12, size, seed=50)[0], QUICK)
    return snr_db(graph.run_float(unseen), simulator(target, model.data).run(unseen)), model.report


@pytest.mark.parametrize("backbone", ["mobilenet_v2_0.35", "resnet18_0.25", "darknet_slim_0.5", "tiny_cnn"])
def test_the_k210_runs_all_but_the_average_on_its_accelerator(backbone: Backbone) -> None:
    snr, report = converted(backbone, "k210-kmodel-v3")
    assert snr > 15
    assert [layer for layer, _ in report.off_accelerator] == ["pool"]
    assert report.file_size < 2**20


@pytest.mark.parametrize("backbone", ["resnet18_0.25", "darknet_slim_0.5"])
def test_the_v831_runs_its_networks_whole_on_its_accelerator(backbone: Backbone) -> None:
    snr, report = converted(backbone, "v831-awnn-int8")
    assert snr > 15
    assert report.off_accelerator == () and not any("CPU" in warning for warning in report.warnings)


@pytest.mark.parametrize(("target", "snr"), [("web-onnx", 80), ("linux-ncnn-fp16", 40), ("linux-ncnn-int8", 15)])
def test_linux_and_browsers_run_efficientnet_lite(target: str, snr: float) -> None:
    assert converted("efficientnet_lite0", target)[0] > snr


def test_the_k210_refuses_efficientnet_lite_by_its_layer() -> None:
    with pytest.raises(UnsupportedModel, match=r"block3_depthwise: a 5x5 kernel"):
        converted("efficientnet_lite0", "k210-kmodel-v3")


@pytest.mark.parametrize(
    ("backbone", "target", "snr"),
    [
        ("mobilenet_v1_1.0_cut8", "k210-kmodel-v3", 15),
        ("resnet18_0.25", "v831-awnn-int8", 15),
        ("mobilenet_v1_0.25", "web-onnx", 80),
        ("mobilenet_v1_0.25", "linux-ncnn-int8", 15),
    ],
)
def test_chips_pool_by_peaks(backbone: Backbone, target: str, snr: float) -> None:
    reached, report = converted(backbone, target, 256, "peaks")
    assert reached > snr
    assert "peaks0" not in dict(report.off_accelerator)


def test_tinymaix_runs_the_tiny_cnn_in_under_100_kb() -> None:
    snr, report = converted("tiny_cnn", "mcu-tinymaix-int8")
    assert snr > 15 and report.file_size < 100_000


def test_tinymaix_refuses_a_pooling_by_its_name() -> None:
    with pytest.raises(UnsupportedModel, match="pool_stem: max pooling"):
        converted("resnet18_0.25", "mcu-tinymaix-int8")
