from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ncnn
import numpy as np
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert import TARGETS, ConvertedModel, ConvertOptions, convert, simulator
from services.trainer.convert.ncnn.archive import BIN, JSON, PARAM, Archive
from services.trainer.convert.ncnn_bin import read_weights
from services.trainer.convert.ncnn_text import read_param
from services.trainer.graph import Activation, Add, Conv, FullyConnected, Graph, MaxPool
from tests.trainer.convert.networks import SHAPES, classifier, conv, graph, pictures, pooled, small
from tests.trainer.convert.onnx_file.test_write import logits, residual


def flat_head() -> Graph:
    rng = np.random.default_rng(0)
    hidden, out = (
        FullyConnected(name, rng.normal(size=size).astype(np.float32) / 8, np.zeros(size[0], np.float32), act)
        for name, size, act in (("hidden", (16, 128), Activation.relu()), ("out", (4, 16), Activation.none()))
    )
    return graph(conv("stem", (3, 8), stride=4), MaxPool("pool"), hidden, out)


def wired() -> Graph:
    """The image read twice, a sum with an activation, a 3x3 pooling, a sum of a map with itself."""
    return graph(
        conv("a", (3, 8), activation=Activation.relu()),
        replace(conv("b", (3, 8)), source="image"),
        Add("sum", "a", Activation.relu6()),
        MaxPool("pool", 3, 2),
        Add("twice", "pool"),
        *classifier(3, 8),
    )


NETWORKS = {
    "small": small(),
    "relu": small(Activation.relu()),
    "leaky": residual(Activation.leaky(0.1)),
    "pooled": pooled(),
    "flat": flat_head(),
    "wired": wired(),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("target", "least"), [("linux-ncnn-fp16", 50), ("linux-ncnn-int8", 25)])
def test_every_kind_of_network_answers_like_the_float_one(name: str, target: str, least: float) -> None:
    network = NETWORKS[name]
    size = (network.input.height, network.input.width)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (6, 3, *size), dtype=np.uint8)
    images[:, :, ::2] //= 3  # not the same everywhere
    model = convert(network, target, images)
    assert model.report.output_snr_db > least
    assert all(layer.snr_db is None or layer.snr_db > least - 3 for layer in model.report.layers)
    assert simulator(target, model.data).run(images[:2]).shape == (2, logits(network).run_float(images[:1]).size)


def test_a_trained_network_keeps_its_answers(trained: Graph, fp16: ConvertedModel, int8: ConvertedModel) -> None:
    images, labels = pictures(300, seed=9)
    wanted = trained.run_float(images).argmax(1)
    assert (wanted == labels).mean() > 0.95
    for model, agreed in ((fp16, 1.0), (int8, 0.98)):
        got = simulator(model.target, model.data).run(images).argmax(1)
        assert (got == wanted).mean() >= agreed
    assert len(int8.data) < 0.8 * len(fp16.data)
    assert fp16.report.output_snr_db > 60 and int8.report.output_snr_db > 35


def test_the_plain_ncnn_runtime_reads_the_unpacked_files(trained: Graph, int8: ConvertedModel, tmp_path: Path) -> None:
    files = TARGETS["linux-ncnn-int8"].unpack(int8.data, "net", ".ncnn.zip")
    assert set(files) == {PARAM, BIN, JSON}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    description = Archive.read(int8.data).description
    assert (description.labels, description.weights, description.shape) == (SHAPES, "int8", (3, 32, 32))
    net = ncnn.Net()  # every option as ncnn sets it
    assert net.load_param(str(tmp_path / PARAM)) == 0 and net.load_model(str(tmp_path / BIN)) == 0

    def answer(image: np.ndarray) -> int:
        floats = image.astype(np.float32)  # a Mat only points into it
        pixels = ncnn.Mat(floats).clone()
        pixels.substract_mean_normalize(list(description.mean), list(description.norm))
        extractor = net.create_extractor()
        extractor.input(description.input, pixels)
        return int(np.array(extractor.extract(description.output)[1]).argmax())

    images = pictures(20, seed=2)[0]
    agreed = sum(
        answer(image) == wanted for image, wanted in zip(images, trained.run_float(images).argmax(1), strict=True)
    )
    assert agreed >= 19


def test_int8_is_for_pointwise_and_dense_layers_and_uses_both_signs(int8: ConvertedModel) -> None:
    archive = Archive.read(int8.data)
    layers = read_param(archive.param)
    weights = read_weights(layers, archive.weights)
    kinds = {layer.type: set() for layer in layers}  # type: ignore[var-annotated]
    for layer in layers:
        if layer.name in weights:
            kinds[layer.type].add((weights[layer.name].weight.dtype.name, layer.integer(8)))
    assert kinds["ConvolutionDepthWise"] == {("float16", 0)} and kinds["InnerProduct"] == {("int8", 1)}
    assert kinds["Convolution"] == {("float16", 0), ("int8", 1)}
    moved = [layer.numbers(10) for layer in layers if layer.type == "ConvolutionDepthWise"]
    assert all(low < 0 < high and high - low == pytest.approx(6) for low, high in moved)


def test_bias_correction_is_worth_its_time(trained: Graph, int8: ConvertedModel) -> None:
    model = convert(trained, "linux-ncnn-int8", pictures(32)[0], ConvertOptions(bias_correction=False))
    assert model.report.output_snr_db < int8.report.output_snr_db


def test_the_same_network_gives_the_same_bytes(trained: Graph, int8: ConvertedModel) -> None:
    assert convert(trained, "linux-ncnn-int8", pictures(32)[0]).data == int8.data


def changed(weight: float) -> Graph:
    stem = small().layers[0]
    assert isinstance(stem, Conv)
    spoilt = stem.weight.copy()
    spoilt[0, 0, 0, 0] = weight
    return replace(small(), layers=(replace(stem, weight=spoilt), *small().layers[1:]))


@pytest.mark.parametrize(("weight", "says"), [(np.nan, "hold NaN"), (70_000.0, "above 65504, the largest float16")])
def test_weights_that_the_format_cannot_hold_are_refused_by_layer(weight: float, says: str) -> None:
    for target in ("linux-ncnn-fp16", "linux-ncnn-int8"):
        with pytest.raises(UnsupportedModel, match=f"layer stem: .*{says}"):
            convert(changed(weight), target, pictures(4)[0])


def test_too_few_calibration_images_are_refused() -> None:
    with pytest.raises(InvalidInput, match="need at least 4"):
        convert(small(), "linux-ncnn-int8", pictures(3)[0])
