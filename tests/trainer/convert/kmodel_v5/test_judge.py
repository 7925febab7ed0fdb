"""nncase's simulator of the KPU, written by others from the chip's own sources, judges the arithmetic of ours."""

from __future__ import annotations

import numpy as np
import pytest

from services.trainer.convert import ConvertOptions, convert
from services.trainer.convert.kmodel_v3 import reader as v3
from services.trainer.convert.kmodel_v3.simulate import KModelSimulator, Rounding
from services.trainer.convert.kmodel_v5.compiler import compile, simulate
from services.trainer.convert.kmodel_v5.reader import read
from services.trainer.graph import Activation, Graph, MaxPool
from tests.trainer.convert.kmodel_v5.translate import last_map, translate, with_constants_of
from tests.trainer.convert.networks import conv, graph, pictures

ACTIVATIONS = [Activation.relu6(), Activation.relu(), Activation.leaky()]


def eleven_layers(act: Activation) -> Graph:
    """Every kind of layer the KPU has, on maps 64, 32, 16 and 8 wide: each row layout."""
    return graph(
        conv("stem", (3, 8), stride=2, activation=act),
        conv("dw1", (8, 8), depthwise=True, activation=act),
        conv("pw1", (8, 16), kernel=1, activation=act),
        conv("dw2", (16, 16), stride=2, depthwise=True, activation=act),
        conv("pw2", (16, 24), kernel=1, activation=act),
        conv("full", (24, 24), activation=act),
        MaxPool("pool"),
        conv("pw3", (24, 40), kernel=1, activation=act),
        conv("dw3", (40, 40), depthwise=True, activation=act),
        conv("pw4", (40, 24), kernel=1, activation=Activation.leaky(0.2)),
        conv("full2", (24, 16), activation=Activation.leaky(0.05)),
        conv("map", (16, 24), kernel=1, activation=Activation.none()),
        size=(48, 64),
        std=0.15,  # large enough values for ReLU6 to clip
    )


def pictures_of(network: Graph) -> np.ndarray:
    return np.ascontiguousarray(pictures(20, network.input.width)[0][:, :, : network.input.height])


@pytest.mark.parametrize("act", ACTIVATIONS, ids=lambda act: act.kind)
def test_nncase_and_our_simulator_give_the_same_bytes(version: str, act: Activation) -> None:
    network = eleven_layers(act)
    images = pictures_of(network)
    compiled = compile(network, images[:8], version=version)
    file = read(compiled.data)
    nncase = last_map(file, simulate(compiled.data, images, version=version).outputs)
    model = translate(file)
    assert len(model.layers) == 11 + 1 and nncase.shape == (20, 24 * 6 * 8) and len(np.unique(nncase)) > 100
    for rounding in Rounding:
        ours = KModelSimulator(model, rounding).run(images)
        assert (ours != nncase).sum() == 0, rounding


@pytest.mark.parametrize(("prescale", "least", "most"), [(10, 0.01, 0.3), (16, 0.0, 0.01)], ids=["10", "16"])
@pytest.mark.parametrize("act", ACTIVATIONS, ids=lambda act: act.kind)
def test_nncase_runs_our_own_numbers_as_we_do(
    newest: str, act: Activation, prescale: int, least: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, normalisation and tables of our converter: ties of rounding among them, which nncase takes to even."""
    monkeypatch.setattr("services.trainer.convert.kmodel_v3.copies.COPIES", ())  # nncase's layers have no copies
    network = eleven_layers(act)
    images = pictures_of(network)
    model = convert(network, "k210-kmodel-v3", images[:8], ConvertOptions(prescale=prescale)).data
    file = with_constants_of(v3.read(model), compile(network, images[:4], version=newest).data)
    nncase = last_map(read(file), simulate(file, images, version=newest).outputs)
    ours, away = (KModelSimulator(translate(read(file)), rounding).run(images) for rounding in reversed(Rounding))
    assert (ours != nncase).sum() == 0
    assert least <= (away != nncase).mean() <= most  # with more bits of fraction ties are rare
    floats = KModelSimulator(model, Rounding.HALF_EVEN).run(images)
    steps = (floats - floats.min()) / v3.read(model).layers[-1].scale  # the file itself, Dequantize and all
    assert np.array_equal(np.rint(steps), nncase - nncase.min())
