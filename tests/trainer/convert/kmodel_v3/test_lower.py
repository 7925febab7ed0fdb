from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from services.common.errors import UnsupportedModel
from services.trainer.convert.kmodel_v3.limits import check_stage
from services.trainer.convert.kmodel_v3.lower import lower
from services.trainer.convert.kmodel_v3.registers import ConvShape
from services.trainer.convert.kmodel_v3.stages import IMAGE_MAP, Lowered
from services.trainer.graph import (
    Activation,
    Conv,
    FullyConnected,
    GlobalAveragePool,
    Graph,
    Layer,
    MaxPool,
    Softmax,
)
from tests.trainer.convert.networks import classifier, conv, graph, pictures, pooled, small


def run_stages(lowered: Lowered, network: Graph, images: np.ndarray) -> np.ndarray:
    """The stages in float32 with the pooling spelled out, then the CPU tail."""
    x = (torch.from_numpy(images).float() / 255 - network.input.mean[0]) / network.input.std[0]
    maps = {IMAGE_MAP: x}
    pools = {
        0: lambda t: t,
        1: lambda t: F.max_pool2d(t, 2),
        3: lambda t: F.max_pool2d(t, 4),
        5: lambda t: t[:, :, ::2, ::2],
    }
    for i, stage in enumerate(lowered.stages):
        kernel = stage.weight.shape[2]
        groups = stage.weight.shape[0] if stage.depthwise else 1
        weight, bias = torch.from_numpy(stage.weight), torch.from_numpy(stage.bias)
        x = torch.cat([maps[source] for source in stage.sources], 1)[:, : stage.in_channels]
        x = F.conv2d(x, weight, bias, padding=kernel // 2, groups=groups)
        act = stage.activation
        x = {"none": lambda t: t, "relu": F.relu, "relu6": F.relu6}.get(
            act.kind, lambda t, slope=act.slope: F.leaky_relu(t, slope)
        )(x)
        maps[i] = x = pools[stage.pool](x)
    for layer in lowered.tail:
        assert isinstance(layer, GlobalAveragePool)
        x = x.mean((2, 3))
    return x.flatten(1).numpy()


def peaked(pools: int) -> Graph:
    layers = (conv("stem", (3, 8), stride=2), conv("wide", (8, 16)), *(MaxPool(f"peaks{i}") for i in range(pools)))
    return graph(*layers, *classifier(3, 16), size=(64, 64))


@pytest.mark.parametrize(
    "network",
    [small(), small(Activation.leaky(0.2)), pooled(), peaked(2), peaked(3)],
    ids=["relu6", "leaky", "pooled", "peaks", "three in a row"],
)
def test_lowering_changes_nothing_in_real_numbers(network: Graph) -> None:
    h, w = network.input.height, network.input.width
    images = pictures(3, max(h, w))[0][:, :, :h, :w].copy()
    lowered = lower(network)
    reference = network
    if isinstance(network.layers[-1], Softmax):
        reference = replace(network, layers=network.layers[:-1])
    assert np.allclose(run_stages(lowered, network, images), reference.run_float(images), atol=1e-4)


def test_the_stride_of_a_depthwise_layer_moves_to_the_1x1_behind_it() -> None:
    pools = {stage.name: stage.pool for stage in lower(small()).stages}
    assert pools == {"stem": 5, "dw1": 0, "pw1": 0, "dw2": 0, "pw2": 5, "classes": 0}


def test_two_poolings_are_one_of_4x4_and_a_third_has_a_stage_of_its_own() -> None:
    for pools, wanted in ((1, [1]), (2, [3]), (3, [3, 1])):
        lowered = lower(peaked(pools))
        assert [stage.pool for stage in lowered.stages[1:-1]] == wanted
        assert lowered.shapes[-1].height == lowered.shapes[-1].width == 32 >> pools


def test_no_depthwise_stage_pools() -> None:
    for network in (small(), pooled()):
        assert all(stage.pool == 0 for stage in lower(network).stages if stage.depthwise)


def test_a_linear_classifier_runs_on_the_kpu_and_the_softmax_is_left_out() -> None:
    lowered = lower(small())
    assert lowered.stages[-1].name == "classes"
    assert lowered.moved == (("average", "the KPU has no global average"),)
    assert "softmax" in lowered.notes[0]


def test_a_classifier_with_relu_stays_on_the_cpu_and_says_why() -> None:
    hidden = FullyConnected("hidden", np.ones((5, 8), np.float32), np.zeros(5, np.float32), Activation.relu())
    lowered = lower(graph(conv("stem", (3, 8), stride=2), GlobalAveragePool("average"), hidden))
    assert [stage.name for stage in lowered.stages] == ["stem"]
    assert lowered.moved[0] == ("hidden", "its relu stands behind the average and cannot move before it")


def test_more_than_1024_classes_stay_on_the_cpu() -> None:
    lowered = lower(graph(conv("stem", (3, 8), stride=2), *classifier(1025, 8)))
    assert lowered.moved[0] == ("classes", "1025 channels; the KPU has 1024")


def nan(layer: Conv) -> Conv:
    weight = layer.weight.copy()
    weight[0, 0, 0, 0] = np.nan
    return replace(layer, weight=weight)


FC_LEAKY = FullyConnected("fc", np.ones((2, 8), np.float32), np.zeros(2, np.float32), Activation.leaky(0.1))
STEM = conv("stem", (3, 8), stride=2)

REFUSED: dict[str, tuple[list[Layer], tuple[int, int], str, str]] = {
    "map under 4x4": ([STEM, conv("c", (8, 8), stride=2), conv("d", (8, 8), stride=2), conv("e", (8, 8), stride=2)],
                      (32, 32), "MAP_TOO_SMALL", "layer e: a map of 2x2"),
    "odd before stride 2": ([STEM, conv("odd", (8, 8), stride=2)], (34, 32), "UNSUPPORTED_LAYER",
                            "layer odd: stride 2 on an odd size, 17x16"),
    "odd before pooling": ([STEM, MaxPool("odd")], (32, 38), "UNSUPPORTED_LAYER", "layer odd: pooling 2x2 on an odd"),
    "load_time": ([conv("narrow", (3, 1024), stride=2), conv("wide", (1024, 1024))], (8, 8), "TOO_MANY_WEIGHTS",
                  "layer wide: its weights need 342 loads"),
    "channels": ([conv("wide", (3, 1025))], (16, 16), "TOO_MANY_CHANNELS", "layer wide: 1025 channels"),
    "height": ([conv("tall", (3, 4), stride=2)], (258, 32), "MAP_TOO_LARGE", "layer tall: a map of 258x32"),
    "width": ([conv("broad", (3, 4), stride=2)], (32, 514), "MAP_TOO_LARGE", "layer broad: a map of 32x514"),
    "rows": ([conv("big", (3, 64))], (224, 224), "KPU_RAM", "layer big: input and output take 60032 of the 32768"),
    "DMA pixels": ([conv("long", (3, 4))], (256, 300), "DMA_TOO_LARGE", "layer long: an output of 256x300"),
    "DMA width": ([conv("out", (3, 4), stride=2)], (32, 128), "DMA_WIDTH", "layer out: an output 64 wide"),
    "NaN": ([nan(conv("sick", (3, 4)))], (32, 32), "WEIGHTS_NOT_FINITE", "layer sick: weights or biases hold NaN"),
    "5x5": ([conv("five", (3, 4), kernel=5)], (32, 32), "UNSUPPORTED_LAYER", "layer five: a 5x5 kernel"),
    "padding": ([replace(conv("valid", (3, 4)), padding=0)], (32, 32), "UNSUPPORTED_LAYER", "layer valid: padding 0"),
    "stride 3": ([conv("three", (3, 4), stride=3)], (32, 32), "UNSUPPORTED_LAYER", "layer three: stride 3"),
    "1x1 depthwise": ([conv("dw", (3, 3), kernel=1, depthwise=True)], (32, 32), "UNSUPPORTED_LAYER", "layer dw: a 1x1"),
    "slope": ([conv("up", (3, 4), activation=Activation.leaky(-0.5))], (32, 32), "UNSUPPORTED_LAYER", "layer up: a"),
    "3x3 pooling": ([STEM, MaxPool("p", 3, 2)], (32, 32), "UNSUPPORTED_LAYER", "layer p: 3x3 pooling, stride 2"),
    "softmax inside": ([Softmax("s"), STEM], (32, 32), "UNSUPPORTED_LAYER", "layer s: softmax in the middle"),
    "average first": ([GlobalAveragePool("g")], (32, 32), "UNSUPPORTED_LAYER", "layer g: the network must begin with"),
    "softmax twice": ([STEM, GlobalAveragePool("g"), Softmax("s"), Softmax("t")], (32, 32), "UNSUPPORTED_LAYER",
                      "layer s: softmax in the middle"),
    "leaky on the CPU": ([STEM, GlobalAveragePool("g"), FC_LEAKY], (8, 8), "UNSUPPORTED_LAYER", "layer fc: a leaky"),
    "behind the average": ([STEM, GlobalAveragePool("g"), MaxPool("p")], (8, 8), "UNSUPPORTED_LAYER",
                           "layer p: MaxPool behind g"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_the_kpu_cannot_do_is_refused_by_name_with_a_way_out(case: str) -> None:
    layers, size, reason, says = REFUSED[case]
    with pytest.raises(UnsupportedModel) as caught:
        lower(graph(*layers, size=size))
    assert caught.value.reason == reason
    assert caught.value.message.startswith(says)
    assert caught.value.fix


def test_limits_hold_up_to_the_last_allowed_value() -> None:
    check_stage("edge", ConvShape(3, 1, 256, 512, 3, False, 0), to_main_memory=False)
    check_stage("edge", ConvShape(1024, 1024, 4, 4, 1, False, 0), to_main_memory=True)
    check_stage("edge", ConvShape(64, 64, 112, 112, 1, False, 0), to_main_memory=True)
