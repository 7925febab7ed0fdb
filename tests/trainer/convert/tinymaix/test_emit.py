from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert import TARGETS, ConvertOptions, convert, simulator
from services.trainer.graph import Activation, Add, GlobalAveragePool, Graph, InputSpec, Layer, MaxPool, Softmax
from tests.trainer.convert.networks import SHAPES, conv, graph, pictures, small, train
from tests.trainer.convert.tinymaix.nets import full, noise, residual

INT8, FP32 = "mcu-tinymaix-int8", "mcu-tinymaix-fp32"


@pytest.fixture(scope="module")
def trained() -> Graph:
    return train(small(Activation.relu6()), steps=200)


def test_a_trained_network_answers_as_in_float(trained: Graph) -> None:
    images, labels = pictures(400, seed=5)
    model = convert(trained, INT8, pictures(40, seed=9)[0])
    answers = simulator(INT8, model.data).run(images).argmax(1)
    wanted = trained.run_float(images).argmax(1)
    assert (answers == wanted).mean() >= 0.98
    assert (answers == labels).mean() >= (wanted == labels).mean() - 0.01
    assert model.report.agreement >= 0.95 and model.report.output_snr_db > 25


def test_the_report_says_what_the_chip_needs(trained: Graph) -> None:
    report = convert(trained, INT8, pictures(8)[0]).report
    assert report.file_size < trained.parameters() + 80 * 8 + 8 * 148 + 64, "a byte a weight, 8 a channel, 80 a layer"
    assert report.main_memory == (16 + 32) * 16 * 16, "pw1's input and output"
    assert [layer.name for layer in report.layers][-1] == "classes"
    assert all(layer.snr_db > 20 and layer.unit == "CPU" for layer in report.layers)
    assert "TMPP_UINT2INT" in report.notes[0] and report.board_memory == () and report.warnings == ()


def test_float_models_are_the_float_network(trained: Graph) -> None:
    images = pictures(20, seed=3)[0]
    relu = replace(residual(), layers=residual().layers[:-1])
    model = convert(relu, FP32, noise(relu, 8))
    np.testing.assert_allclose(
        simulator(FP32, model.data).run(noise(relu, 5, 3)), relu.run_float(noise(relu, 5, 3)), atol=1e-5
    )
    with pytest.raises(UnsupportedModel, match="layer stem: ReLU6 cuts values at 6") as caught:
        convert(trained, FP32, images)
    assert INT8 in caught.value.fix and caught.value.metadata["layer"] == "stem"


def test_relu6_that_is_never_reached_gives_a_warning_in_float() -> None:
    layers = (
        replace(conv("stem", (3, 4)), weight=np.full((4, 3, 3, 3), 0.01, np.float32)),
        GlobalAveragePool("average"),
    )
    model = convert(graph(*layers, mean=0, std=1), FP32, pictures(4)[0])
    assert "stem and other ReLU6 layers run as ReLU" in model.report.warnings[0]


@pytest.mark.parametrize("target", [INT8, FP32])
def test_the_border_is_that_of_training_whatever_the_means(target: str) -> None:
    """Padding is one grey in TinyMaix; with other channel means a normalising 1x1 convolution comes first."""
    spec = InputSpec(3, 10, 10, (0.485, 0.2, 0.9), (0.229, 0.3, 0.25))
    network = Graph("means", spec, (conv("stem", (3, 6), activation=Activation.none()),))
    model = convert(network, target, noise(network, 16))
    images = noise(network, 10, 4)
    error = simulator(target, model.data).run(images) - network.run_float(images)
    border = np.abs(error.reshape(10, 6, 10, 10)[:, :, 0]).mean()
    inside = np.abs(error.reshape(10, 6, 10, 10)[:, :, 4:6, 4:6]).mean()
    assert border < 1.5 * inside + 1e-5
    assert any("only normalises" in note for note in model.report.notes)


def test_values_beyond_the_calibration_saturate() -> None:
    """TinyMaix lets them wrap around; the ReLU6 trick must hold them at both ends, also without any activation."""
    network = graph(conv("stem", (3, 4), activation=Activation.none()), mean=0, std=1, size=(8, 8))
    dull = np.full((8, 3, 8, 8), 20, np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None, None]
    model = convert(network, INT8, dull)
    low, high = model.report.layers[-1].range
    bright = np.full((1, 3, 8, 8), 255, np.uint8)
    wanted, got = network.run_float(bright), simulator(INT8, model.data).run(bright)
    assert wanted.max() > 3 * high and wanted.min() < 3 * low
    np.testing.assert_allclose(got, np.clip(wanted, low, high), atol=0.1 * (high - low))


def test_relu_behind_an_addition_is_a_layer_of_its_own() -> None:
    report = convert(residual(Activation.relu6()), INT8, noise(residual(), 8)).report
    assert [layer.type for layer in report.layers if layer.name == "sum1"] == ["add", "depthwise 3x3 relu6"]
    assert any("sum1" in note and "copies its input" in note for note in report.notes)
    assert report.output_snr_db > 25


def test_dead_channels_and_huge_biases_convert() -> None:
    stem = conv("stem", (3, 4), activation=Activation.relu())
    weight, bias = stem.weight.copy(), stem.bias.copy()
    weight[0], weight[1], bias[2] = 0, 1e-12, 1000.0
    network = graph(replace(stem, weight=weight, bias=bias), mean=0, std=1, size=(8, 8))
    images = noise(network, 8)
    got = simulator(INT8, convert(network, INT8, images).data).run(images)
    assert np.abs(got - network.run_float(images)).max() < 1000 / 60


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ((conv("a", (3, 8)), MaxPool("pool")), "layer pool: max pooling.*stride 2"),
        ((conv("a", (3, 8), activation=Activation.leaky()),), "layer a: LeakyReLU"),
        ((conv("a", (3, 3), kernel=1, depthwise=True),), "layer a: a depthwise 1x1"),
        ((replace(conv("a", (3, 8)), padding=3),), "layer a: padding 3"),
        ((conv("a", (3, 4), kernel=17),), "layer a: a kernel of 17x17"),
        ((replace(conv("a", (3, 8), kernel=1), padding=1),), "layer a: padding 1"),
        ((GlobalAveragePool("mean"), full("a", 3, 2)), "layer mean: it reads the picture itself"),
        ((conv("a", (3, 3)), Add("sum", "image")), "layer sum: it reads the picture itself"),
        ((conv("a", (3, 8)), Softmax("soft"), GlobalAveragePool("mean")), "layer soft: a softmax inside"),
        ((Softmax("soft"),), "the network has no layers"),
    ],
)
def test_what_tinymaix_cannot_run_is_refused_by_name(layers: tuple[Layer, ...], says: str) -> None:
    for target in (INT8, FP32):
        with pytest.raises(UnsupportedModel, match=says) as caught:
            convert(graph(*layers), target, pictures(4)[0])
        assert caught.value.fix


def test_too_few_calibration_images_are_refused() -> None:
    with pytest.raises(InvalidInput, match="3 calibration images"):
        convert(small(), INT8, pictures(3)[0])


def test_a_network_for_no_microcontroller_is_refused() -> None:
    slow = graph(conv("a", (3, 64)), conv("b", (64, 64)), conv("c", (64, 2), 1), size=(240, 256))
    with pytest.raises(UnsupportedModel, match="layer b: the network takes 2378956800 multiplications"):
        convert(slow, INT8, np.zeros((4, 3, 240, 256), np.uint8))
    with pytest.raises(UnsupportedModel, match="layer b: the maps take 31457280 bytes"):
        convert(slow, FP32, np.zeros((4, 3, 240, 256), np.uint8))


def test_bias_correction_is_an_option_that_helps(trained: Graph) -> None:
    images = pictures(40)[0]
    on, off = (convert(trained, INT8, images, ConvertOptions(bias_correction=b)).report for b in (True, False))
    assert on.output_snr_db > off.output_snr_db


def test_layers_over_a_stock_port_are_named_with_the_macro() -> None:
    network = graph(conv("wide", (3, 300)), conv("dw", (300, 300), depthwise=True), conv("big", (300, 4), kernel=7))
    warnings = convert(network, INT8, pictures(4)[0]).report.warnings
    text = " ".join(warnings)
    assert "big: it needs TM_MAX_KSIZE 49; a stock tm_port.h has 25" in text
    assert "big: it needs TM_MAX_KCSIZE 14700; a stock tm_port.h has 2304" in text
    assert "TM_MAX_CSIZE" not in text


def test_both_targets_are_listed_for_microcontrollers() -> None:
    for target in (TARGETS[INT8], TARGETS[FP32]):
        assert (target.board_type, target.format, target.suffix) == ("mcu", "tinymaix", ".tmdl")
    assert SHAPES
