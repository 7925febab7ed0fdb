from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert import ConvertedModel, ConvertOptions, convert, simulator
from services.trainer.convert.common import snr_db
from services.trainer.convert.kmodel_v3.cpu_bytes import Dequantize
from services.trainer.convert.kmodel_v3.layers import KModel, KpuConv, Output
from services.trainer.convert.kmodel_v3.reader import read
from services.trainer.convert.kmodel_v3.simulate import KModelSimulator
from services.trainer.convert.kmodel_v3.writer import write
from services.trainer.graph import Activation, FullyConnected, GlobalAveragePool, Graph, Softmax
from tests.trainer.convert.kmodel_v3 import reference
from tests.trainer.convert.networks import classifier, conv, graph, pictures, pooled, small, train

TARGET = "k210-kmodel-v3"


@pytest.fixture(scope="module", params=[Activation.relu6(), Activation.leaky(0.1)], ids=["relu6", "leaky"])
def trained(request: pytest.FixtureRequest) -> Graph:
    return train(small(request.param))


@pytest.fixture(scope="module")
def converted(trained: Graph) -> ConvertedModel:
    return convert(trained, TARGET, pictures(24, seed=8)[0])


def test_a_trained_network_answers_as_its_float_original(trained: Graph, converted: ConvertedModel) -> None:
    images, labels = pictures(512, seed=7)
    wanted = trained.run_float(images).argmax(1)
    assert (wanted == labels).mean() > 0.93, "the network must have learned something to lose"
    got = simulator(TARGET, converted.data).run(images).argmax(1)
    assert (got == wanted).mean() >= 0.98
    assert (got == labels).mean() > 0.92


def test_logits_lie_close_to_the_float_logits(trained: Graph, converted: ConvertedModel) -> None:
    images = pictures(64, seed=9)[0]
    wanted = replace(trained, layers=trained.layers[:-1]).run_float(images)
    error = simulator(TARGET, converted.data).run(images) - wanted
    assert np.sqrt((error**2).mean()) < 0.04 * wanted.std()
    assert converted.report.output_snr_db > 25


def test_the_file_reads_back_and_runs_the_same(converted: ConvertedModel) -> None:
    model = read(converted.data)
    assert write(model) == converted.data
    images = pictures(9, seed=10)[0]
    again = KModelSimulator(model).run(images)
    assert np.array_equal(again, simulator(TARGET, converted.data).run(images))


def test_the_first_two_layers_equal_the_formulas_pixel_by_pixel(converted: ConvertedModel) -> None:
    image = pictures(1, seed=11)[0][0]
    first, second = read(converted.data).layers[:2]
    assert isinstance(first, KpuConv) and isinstance(second, KpuConv)
    maps = reference.run(second, reference.run(first, image))
    head = replace(second, flags=1, output=0)
    count = maps.size
    cut = KModel((first, head, Dequantize(1, 0, count, count, 1.0, 0.0)), (Output(count, 4 * count),), 5 * count)
    assert np.array_equal(KModelSimulator(cut).run(image[None])[0], maps.reshape(-1))


@pytest.mark.parametrize(
    "options", [ConvertOptions(weight_range="mse"), ConvertOptions(prescale=10)], ids=["mse", "2^10"]
)
def test_other_options_keep_the_answers(trained: Graph, options: ConvertOptions) -> None:
    images = pictures(128, seed=7)[0]
    data = convert(trained, TARGET, pictures(24, seed=8)[0], options).data
    agreement = simulator(TARGET, data).run(images).argmax(1) == trained.run_float(images).argmax(1)
    assert agreement.mean() >= 0.98


def test_bias_correction_pays(trained: Graph) -> None:
    images = pictures(256, seed=9)[0]
    wanted = replace(trained, layers=trained.layers[:-1]).run_float(images)

    def mean_error(corrected: bool) -> float:
        options = ConvertOptions(bias_correction=corrected)
        data = convert(trained, TARGET, pictures(24, seed=8)[0], options).data
        return float(np.abs((simulator(TARGET, data).run(images) - wanted).mean(0)).max())

    assert mean_error(True) < 0.7 * mean_error(False)


def test_every_pooling_survives_conversion() -> None:
    network = pooled()
    images = pictures(6, 384, seed=3)[0][:, :, :256].copy()
    report = convert(network, TARGET, images).report
    assert report.output_snr_db > 20
    assert [layer.name for layer in report.layers][-1] == "dw_stride.stride"


def test_fully_connected_layers_on_the_cpu_are_exact_floats() -> None:
    rng = np.random.default_rng(0)
    hidden = FullyConnected(
        "hidden", rng.normal(size=(6, 8)).astype(np.float32), np.ones(6, np.float32), Activation.relu6()
    )
    out = FullyConnected("out", rng.normal(size=(3, 6)).astype(np.float32), np.zeros(3, np.float32))
    network = graph(conv("stem", (3, 8), stride=2), GlobalAveragePool("average"), hidden, out, Softmax("softmax"))
    model = convert(network, TARGET, pictures(16)[0])
    assert [layer.unit for layer in model.report.layers] == ["KPU", "CPU", "CPU", "CPU"]
    assert model.report.output_snr_db > 30
    assert {name for name, _ in model.report.off_accelerator} == {"average", "hidden", "out"}


def test_a_fully_connected_layer_on_a_map_reads_it_in_chw_order() -> None:
    weight = np.random.default_rng(1).normal(size=(3, 4 * 16 * 16)).astype(np.float32)
    network = graph(conv("stem", (3, 4), stride=2), FullyConnected("fc", weight, np.zeros(3, np.float32)))
    assert convert(network, TARGET, pictures(16)[0]).report.output_snr_db > 25


def test_the_output_can_be_a_map() -> None:
    network = graph(conv("stem", (3, 8), stride=2), conv("head", (8, 5), kernel=1, activation=Activation.none()))
    model = convert(network, TARGET, pictures(16)[0])
    images = pictures(4, seed=5)[0]
    got, wanted = simulator(TARGET, model.data).run(images), network.run_float(images)
    assert got.shape == wanted.shape == (4, 5 * 16 * 16)
    assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.999


def test_other_input_normalisation_is_folded_in() -> None:
    network = graph(conv("stem", (3, 8), stride=2), *classifier(4, 8), mean=0.0, std=1.0)
    assert convert(network, TARGET, pictures(16)[0]).report.output_snr_db > 25


def test_channel_means_far_apart_are_warned_about() -> None:
    network = small()
    spec = replace(network.input, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    warnings = convert(replace(network, input=spec), TARGET, pictures(16)[0]).report.warnings
    assert any(w.startswith("stem: the KPU pads all channels with one byte, 114") for w in warnings)


def test_the_report_tells_of_the_file_as_the_simulator_runs_it(trained: Graph, converted: ConvertedModel) -> None:
    images = pictures(24, seed=8)[0]
    wanted = replace(trained, layers=trained.layers[:-1]).run_float(images)
    got = simulator(TARGET, converted.data).run(images)
    assert converted.report.output_snr_db == snr_db(wanted, got)
    assert converted.report.agreement == (wanted.argmax(1) == got.argmax(1)).mean()


def test_the_report_says_what_the_model_costs(converted: ConvertedModel) -> None:
    report = converted.report
    assert report.file_size == len(converted.data)
    assert report.main_memory == read(converted.data).main_memory
    for board in report.board_memory:
        extra = 256 if board.firmware.startswith("MaixPy") else 0
        assert board.bytes == report.file_size + report.main_memory + extra
        assert board.fits and board.budget >= 1 << 20
    assert len(report.board_memory) == 4
    assert 0 < report.kpu_rows <= report.kpu_rows_available == 32768
    assert [layer.name for layer in report.layers] == ["stem", "dw1", "pw1", "dw2", "pw2", "classes", "average"]
    assert all(layer.snr_db > 25 for layer in report.layers if layer.unit == "KPU" and layer.snr_db is not None)
    assert report.agreement >= 0.95 and report.rounding is not None and report.rounding.agreement >= 0.95
    assert json.loads(json.dumps(report.to_json()))["target"] == TARGET


def test_calibration_images_must_fit_and_suffice() -> None:
    with pytest.raises(InvalidInput, match=r"calibration images are uint8 \(8, 3, 16, 16\)") as caught:
        convert(small(), TARGET, pictures(8, 16)[0])
    assert caught.value.reason == "CALIBRATION_SHAPE"
    with pytest.raises(InvalidInput, match=r"3 calibration images; .* at least 4") as caught:
        convert(small(), TARGET, pictures(3)[0])
    assert caught.value.reason == "CALIBRATION_TOO_FEW"


def test_more_calibration_images_than_asked_for_are_thinned_out() -> None:
    report = convert(small(), TARGET, pictures(40)[0], ConvertOptions(max_calibration_images=10)).report
    assert report.calibration_images == 10


def wide_network() -> Graph:
    """About 2.1 MB of weights in 1x1 layers."""
    return graph(
        conv("stem", (3, 1024), kernel=1, stride=2),
        conv("a", (1024, 1024), kernel=1),
        conv("b", (1024, 1024), kernel=1),
        *classifier(2, 1024),
        size=(8, 8),
    )


def test_a_model_too_large_for_a_board_is_refused_unless_allowed() -> None:
    images = pictures(8, 8)[0]
    with pytest.raises(UnsupportedModel, match=r"the model takes 21\d{5} bytes of RAM on the board") as caught:
        convert(wide_network(), TARGET, images)
    assert caught.value.reason == "MODEL_TOO_LARGE"
    model = convert(wide_network(), TARGET, images, ConvertOptions(allow_oversize=True))
    assert any("bytes of RAM" in warning for warning in model.report.warnings)
    assert not any(board.fits for board in model.report.board_memory)


def test_the_file_name_suits_the_storage_of_a_board() -> None:
    name = convert(replace(small(), name="Solar cells / été"), TARGET, pictures(8)[0]).file_name
    assert name == "Solar_cells____t_.kmodel"
