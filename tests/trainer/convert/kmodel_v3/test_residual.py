"""Networks with additions: in one run of the KPU, by its addressing alone, and close to their float originals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert import ConvertedModel, convert
from services.trainer.convert.kmodel_v3.layers import KpuConv
from services.trainer.convert.kmodel_v3.lower import lower
from services.trainer.convert.kmodel_v3.reader import read
from services.trainer.convert.kmodel_v3.simulate import KModelSimulator
from services.trainer.convert.kmodel_v3.writer import write
from services.trainer.graph import IMAGE, Activation, Add, Graph, MaxPool
from tests.trainer.convert.kmodel_v3 import reference
from tests.trainer.convert.kmodel_v3.residual_networks import NONE, mobilenet_v2, resnet
from tests.trainer.convert.kmodel_v3.test_lower import run_stages
from tests.trainer.convert.networks import classifier, conv, graph, pictures

TARGET = "k210-kmodel-v3"


def images(network: Graph, count: int, seed: int = 0) -> np.ndarray:
    height, width = network.input.height, network.input.width
    return pictures(count, max(height, width), seed)[0][:, :, :height, :width].copy()


def converted(network: Graph) -> ConvertedModel:
    return convert(network, TARGET, images(network, 12, seed=1))


def two(channels: int, size: tuple[int, int], **source: str) -> Graph:
    """One addition of maps of `channels` and `size`, nothing else."""
    return graph(
        conv("a", (3, channels), stride=2),
        conv("b", (channels, channels), kernel=1, activation=NONE),
        Add("sum", other="a", activation=Activation.relu()),
        conv("end", (channels, 3), kernel=1, activation=NONE),
        size=(2 * size[0], 2 * size[1]),
    )


def everything() -> Graph:
    """Additions as no sane network has them: of three, of the image, of a map with itself, twice of the same two."""
    return graph(
        conv("a", (3, 6), stride=2),
        conv("b", (6, 6), depthwise=True),
        Add("ab", other="a"),
        Add("ab.again", source="a", other="b"),
        Add("three", other="ab"),
        conv("c", (6, 3), kernel=1),
        Add("twice", other="c"),
        MaxPool("shrunk", source=IMAGE),
        Add("with_image", other="twice"),
        conv("d", (3, 8), depthwise=False, stride=2),
        MaxPool("pool"),
        size=(40, 48),
    )


NETWORKS = {
    "mobilenet_v2": mobilenet_v2(),
    "odd channels": mobilenet_v2(9, size=(64, 80)),
    "resnet": resnet(),
    "resnet leaky": resnet(Activation.leaky(0.1)),
    "everything": everything(),
}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_lowering_changes_nothing_in_real_numbers(name: str) -> None:
    network = NETWORKS[name]
    x = images(network, 2)
    assert np.allclose(run_stages(lower(network), network, x), network.run_float(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_one_run_of_the_kpu_close_to_the_float_network(name: str) -> None:
    model = converted(NETWORKS[name])
    kinds = [layer.NAME for layer in read(model.data).layers]
    assert kinds == sorted(kinds, key="K210_CONV".__ne__), "all convolutions come first, nothing comes back"
    assert {layer for layer, _ in model.report.off_accelerator} <= {"average"}
    fresh = images(NETWORKS[name], 16, seed=9)
    wanted, got = NETWORKS[name].run_float(fresh), KModelSimulator(model.data).run(fresh)
    assert 10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()) > 25


@pytest.mark.parametrize("size", [(8, 8), (4, 24), (4, 40), (4, 72)], ids=str)
@pytest.mark.parametrize("channels", [4, 5])
def test_the_kpus_addressing_reads_two_maps_as_one(channels: int, size: tuple[int, int]) -> None:
    model = read(converted(two(channels, size)).data)
    image = images(two(channels, size), 1, seed=5)[0]
    joins = [layer for layer in model.layers if isinstance(layer, KpuConv) and layer.shape.in_channels >= 2 * channels]
    assert len(joins) == 1
    wanted = reference.run_model(model, image)
    assert len(np.unique(wanted)) > 20
    scale, bias = model.layers[-1].scale, model.layers[-1].bias  # type: ignore[union-attr]
    got = KModelSimulator(model).run(image[None])[0]
    assert np.array_equal(np.rint((got - bias) / scale), wanted.ravel())


def test_a_whole_residual_network_equals_the_slow_reference() -> None:
    network = mobilenet_v2(4, size=(16, 16))
    body = replace(network, layers=network.layers[:-2])
    model = read(converted(body).data)
    image = images(body, 1, seed=6)[0]
    scale, bias = model.layers[-1].scale, model.layers[-1].bias  # type: ignore[union-attr]
    got = KModelSimulator(model).run(image[None])[0]
    assert np.array_equal(np.rint((got - bias) / scale), reference.run_model(model, image).ravel())


def test_the_file_reads_back() -> None:
    data = converted(mobilenet_v2()).data
    assert write(read(data)) == data


def test_a_map_that_has_gone_cannot_be_half_of_a_sum() -> None:
    model = read(converted(two(4, (8, 8))).data)
    first, second, third, *rest = model.layers
    assert isinstance(first, KpuConv) and isinstance(second, KpuConv)
    first, second = replace(first, target_row=20_000), replace(second, source_row=20_000)
    with pytest.raises(UnsupportedModel, match=r"layer 2 \(K210_CONV\): no map .*: 4 channels are, none at row"):
        KModelSimulator(replace(model, layers=(first, second, third, *rest)))


def test_the_first_channels_of_a_map_can_be_read_alone() -> None:
    """With 5 channels the first operand gets three more of zeros; the layer beside reads the five."""
    model = read(converted(two(5, (8, 8))).data)
    a, b = model.layers[:2]
    assert isinstance(a, KpuConv) and isinstance(b, KpuConv)
    assert (a.shape.out_channels, b.shape.in_channels) == (8, 5) or b.shape.out_channels == 8


def wide(channels: int) -> Graph:
    return graph(
        conv("stem", (3, channels), kernel=1, stride=2),
        conv("wide", (channels, channels), kernel=1),
        Add("sum", other="stem"),
        *classifier(2, channels),
        size=(16, 16),
    )


def test_an_addition_of_more_than_512_channels_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match=r"layer sum: 1032 channels; the KPU has 1024") as caught:
        lower(wide(516))
    assert caught.value.reason == "TOO_MANY_CHANNELS"
    assert lower(wide(512)).stages[2].joins


def test_maps_that_wait_too_long_for_their_addition_are_refused_by_name() -> None:
    network = graph(
        conv("stem", (3, 24), stride=2),
        conv("expand", (24, 62), kernel=1),
        conv("depthwise", (62, 62), depthwise=True),
        conv("project", (62, 24), kernel=1),
        Add("sum", other="stem"),
        size=(224, 224),
    )
    with pytest.raises(UnsupportedModel, match="layer depthwise: its maps and those that wait") as caught:
        lower(network)
    assert caught.value.reason == "KPU_RAM"


def test_a_layer_that_leads_nowhere_is_refused() -> None:
    network = graph(conv("stem", (3, 8), stride=2), conv("lost", (8, 8)), conv("end", (8, 8)))
    lost = replace(network.layers[2], source="stem")
    with pytest.raises(UnsupportedModel, match="layer lost: no layer reads its output"):
        lower(replace(network, layers=(*network.layers[:2], lost)))


def test_an_addition_behind_the_average_is_refused() -> None:
    network = mobilenet_v2()
    with pytest.raises(UnsupportedModel, match="layer late: Add behind average"):
        lower(replace(network, layers=(*network.layers, Add("late", other="classes"))))
