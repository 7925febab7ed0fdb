from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert import ConvertOptions, convert, simulator
from services.trainer.convert.awnn import emit
from services.trainer.convert.awnn.integers import int_weights
from services.trainer.convert.awnn.ranges import threshold, weight_scales
from services.trainer.convert.awnn.simulate import AwnnSimulator
from services.trainer.convert.common import agreement, snr_db
from services.trainer.graph import Activation, FullyConnected, Graph
from tests.trainer.convert.awnn.conftest import residual
from tests.trainer.convert.networks import classifier, conv, graph, pictures, small, train

TARGET = "v831-awnn-int8"
RELU6 = Activation.relu6()


@pytest.fixture(scope="module")
def trained() -> Graph:
    layers = (conv("a", (3, 8), stride=2), conv("b", (8, 16), stride=2), conv("c", (16, 24), stride=2))
    return train(graph(*layers, *classifier(4, 24)), steps=120)


def test_a_trained_network_keeps_its_answers(trained: Graph) -> None:
    model = convert(trained, TARGET, pictures(24, seed=1)[0])
    images, labels = pictures(200, seed=2)
    wanted = trained.run_float(images)
    got = simulator(TARGET, model.data).run(images)
    assert agreement(wanted, got) >= 0.98 and (got.argmax(1) == labels).mean() > 0.7
    assert snr_db(wanted, got) > 20
    assert model.file_name == "net.awnn" and model.report.agreement >= 0.98


def test_the_outputs_have_headroom_above_what_calibration_saw(images: npt.NDArray[np.uint8]) -> None:
    """Two logits that both saturate would be a tie."""
    network = residual()
    seen = float(np.abs(network.run_float(images)).max())
    assert convert(network, TARGET, images).report.layers[-1].range[1] == pytest.approx(1.25 * seen, rel=0.01)


def test_a_residual_network_is_close_to_float(images: npt.NDArray[np.uint8]) -> None:
    report = convert(residual(), TARGET, images).report
    assert report.output_snr_db > 25
    assert {layer.unit for layer in report.layers} == {"NPU"}
    assert all(layer.snr_db is not None and layer.snr_db > 25 for layer in report.layers)


def test_a_relu6_saturates_at_six_and_reaches_it(images: npt.NDArray[np.uint8]) -> None:
    """Weights ten times as large: most of the map lies above 6, where int8 stops."""
    stem = conv("stem", (3, 8), activation=RELU6)
    network = graph(replace(stem, weight=10 * stem.weight), *classifier(4, 8))
    seen = {}
    model = AwnnSimulator(convert(network, TARGET, images).data)
    model.run(images, lambda layer, y: seen.setdefault(layer.name, y))
    step = 1 / model.network.scales["stem"]
    assert 127 * step == pytest.approx(6.0, rel=1e-6)
    assert (seen["stem_relu"] == 127).mean() > 0.2
    real = []
    network.run_float(images, lambda layer, y: real.append(y) if layer.name == "stem" else None)
    assert np.abs(seen["stem_relu"].swapaxes(0, 1) * step - real[0]).max() < 6 * step


def test_the_report_says_what_is_unusual_and_unchecked(images: npt.NDArray[np.uint8]) -> None:
    report = convert(small(RELU6), TARGET, images).report
    assert sum("no ReLU6" in note for note in report.notes) == 5
    assert sum("depthwise" in warning for warning in report.warnings) == 2
    assert ("softmax", "softmax, taken by the script") in report.off_accelerator
    assert report.layers[1].type == "depthwise 3x3 relu6" and report.layers[0].range[1] <= 6.0


def test_bias_correction_brings_the_outputs_means_closer(trained: Graph) -> None:
    images = pictures(64, seed=3)[0]
    wanted = trained.run_float(images).mean(0)
    errors = []
    for corrected in (True, False):
        data = convert(trained, TARGET, images, ConvertOptions(bias_correction=corrected)).data
        errors.append(np.abs(simulator(TARGET, data).run(images).mean(0) - wanted).max())
    assert errors[0] < errors[1]


def test_a_fully_connected_layer_may_read_a_map(images: npt.NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(5, 8 * 16 * 16)).astype(np.float32) / 45
    stem = conv("stem", (3, 8), stride=2, activation=Activation.relu())
    network = graph(stem, FullyConnected("fc", weight, np.zeros(5, np.float32)))
    assert convert(network, TARGET, images).report.output_snr_db > 25


def test_a_file_too_large_for_the_board_is_refused(
    images: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emit, "REFUSE_BYTES", 1000)
    with pytest.raises(UnsupportedModel, match="at most 1000") as caught:
        convert(residual(), TARGET, images)
    assert "narrower" in caught.value.fix
    assert convert(residual(), TARGET, images, ConvertOptions(allow_oversize=True)).data


def test_weights_that_are_no_numbers_and_too_few_images_are_refused(images: npt.NDArray[np.uint8]) -> None:
    stem = conv("stem", (3, 8))
    broken = graph(replace(stem, weight=stem.weight * np.float32(np.inf)), *classifier(4, 8))
    with pytest.raises(UnsupportedModel, match="layer stem"):
        convert(broken, TARGET, images)
    with pytest.raises(InvalidInput, match="at least 4"):
        convert(residual(), TARGET, images[:3])


def test_a_layer_that_is_always_zero_converts(images: npt.NDArray[np.uint8]) -> None:
    stem = conv("stem", (3, 8), activation=Activation.relu())
    dead = replace(stem, weight=0 * stem.weight, bias=0 * stem.bias - 1)
    assert np.isfinite(
        simulator(TARGET, convert(graph(dead, *classifier(4, 8)), TARGET, images).data).run(images)
    ).all()


def test_an_outlier_is_clipped_where_that_makes_the_whole_more_exact() -> None:
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(size=100_000), 30).astype(np.float32)
    assert threshold(values, "max") == 30
    for method in ("mse", "kl"):
        assert 3 < threshold(values, method) < 20
    assert threshold(0 * values, "mse") > 0


def test_the_factor_of_every_channel_is_exact_and_no_weight_is_clipped() -> None:
    rng = np.random.default_rng(0)
    weight = (
        rng.normal(size=(64, 8, 3, 3)).astype(np.float32)
        * np.geomspace(1, 1e-4, 64, dtype=np.float32)[:, None, None, None]
    )
    scales = weight_scales(weight, "max")
    quantised, factor = int_weights(weight, scales)
    np.testing.assert_allclose(factor / 1024, scales.min() / scales, rtol=1e-5)
    assert np.abs(weight.reshape(64, -1)).max(1).max() * scales.min() <= 127.01
    assert np.abs(quantised[:40].reshape(40, -1)).max(1).min() > 60
