from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert import convert, simulator
from services.trainer.graph import Activation, Graph
from tests.trainer.convert.networks import conv, graph, pictures

TARGET = "k210-kmodel-v3"
LEAKY = Activation.leaky(0.1)


def detector(anchors: int = 5, channels: int = 35) -> Graph:
    network = graph(
        conv("stem", (3, 8), stride=2, activation=LEAKY),
        conv("middle", (8, 16), stride=2, activation=LEAKY),
        conv("neck", (16, 24), stride=2, activation=LEAKY),
        conv("head", (24, channels), kernel=1, activation=Activation.none()),
        size=(48, 64),
    )
    return replace(network, labels=("cat", "dog"), anchors=((1.0, 1.0),) * anchors)


def images(count: int, seed: int = 0) -> np.ndarray:
    return pictures(count, 64, seed)[0][:, :, :48].copy()


def test_a_detector_gives_its_last_map_close_to_the_float_one() -> None:
    model = convert(detector(), TARGET, images(16))
    fresh = images(8, seed=3)
    wanted, got = detector().run_float(fresh), simulator(TARGET, model.data).run(fresh)
    assert got.shape == wanted.shape == (8, 35 * 6 * 8)
    assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.999
    cells = 35 * 6 * 8
    assert model.report.main_memory == 5 * cells, "the bytes of the map and its floats"
    assert model.report.off_accelerator == () and not any("anchors" in w for w in model.report.warnings)


def test_maixpys_decoder_needs_five_anchors() -> None:
    warnings = convert(detector(3, 21), TARGET, images(8)).report.warnings
    assert any(warning.startswith("3 anchors: MaixPy's run_yolo2") for warning in warnings)


def test_channels_that_fit_no_decoder_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match=r"layer head: an output \(34, 6, 8\) for 5 anchors and 2") as caught:
        convert(detector(channels=34), TARGET, images(8))
    assert caught.value.reason == "DETECTOR_SHAPE"
