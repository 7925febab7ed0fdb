from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert import ConvertOptions, convert, simulator
from services.trainer.convert.common import agreement
from services.trainer.convert.kmodel_v5.compiler import compile, simulate
from services.trainer.graph import Activation, Add, Graph
from tests.trainer.convert.networks import classifier, conv, graph, pictures, small, train

TARGET = {"1.9": "k210-kmodel-v5", "1.1": "k210-kmodel-v5-nncase1.1"}


@pytest.fixture(scope="session")
def trained() -> Graph:
    return train(small(Activation.relu()), steps=120)


def test_a_trained_network_keeps_its_answers_in_both_versions(version: str, trained: Graph) -> None:
    model = convert(trained, TARGET[version], pictures(20, seed=5)[0])
    chip = simulator(TARGET[version], model.data)
    images = pictures(100, seed=6)[0]
    logits = chip.run(images)
    assert chip.input_shape == (3, 32, 32) and logits.shape == (100, 4) and logits.dtype == np.float32
    assert agreement(trained.run_float(images), logits) >= 0.96
    assert len(chip.run(images[:0])) == 0
    assert (model.format, model.file_name, model.data[:4]) == ("kmodel_v5", "net.kmodel", b"LDMK")


def test_the_report_says_what_runs_where(version: str, trained: Graph) -> None:
    report = convert(trained, TARGET[version], pictures(8)[0]).report
    assert {layer.name: layer.unit for layer in report.layers} == {
        "stem": "KPU", "dw1": "KPU", "pw1": "KPU", "dw2": "KPU", "pw2": "KPU", "classes": "KPU", "average": "CPU",
    }  # fmt: skip
    assert report.off_accelerator == (("average", "the KPU has no global average (Reduce)"),)
    assert report.layers[4].type == "conv 1x1 stride 2 relu" and report.layers[4].output_shape == (48, 8, 8)
    assert report.agreement >= 0.75 and report.output_snr_db > 20 and not report.warnings
    assert (report.main_memory, report.kpu_rows, report.board_memory[0].bytes) == (4368, 256, report.file_size + 4368)


def test_layers_that_leave_the_kpu_are_named_with_the_reason(version: str) -> None:
    body = (conv("a", (8, 8)), Add("sum", "stem"), conv("wide", (8, 8), kernel=5))
    network = graph(conv("stem", (3, 8), stride=2), *body, *classifier(4, 8))
    report = convert(network, TARGET[version], pictures(8)[0]).report
    why = dict(report.off_accelerator)
    assert "meet as floats" in why["sum"] and "Conv2D" in why["wide"]
    assert {layer.name: layer.unit for layer in report.layers}["wide"] == "CPU"
    assert any("runs of the KPU" in warning for warning in report.warnings)


def test_a_network_over_the_boards_memory_is_refused_unless_told_otherwise(newest: str) -> None:
    network = graph(conv("wide", (3, 32)), size=(128, 128))  # its map as floats: 2 MiB
    images = np.zeros((4, 3, 128, 128), np.uint8)
    with pytest.raises(UnsupportedModel, match=r"takes \d+ bytes of RAM"):
        convert(network, TARGET[newest], images)
    model = convert(network, TARGET[newest], images, ConvertOptions(allow_oversize=True))
    assert "bytes of RAM" in model.report.warnings[0]


def test_too_few_images_and_weights_that_are_no_numbers_are_refused_first(trained: Graph) -> None:
    with pytest.raises(InvalidInput, match="3 calibration images"):
        convert(trained, "k210-kmodel-v5", pictures(3)[0])
    broken = replace(trained.layers[0], bias=np.full(16, np.nan, np.float32))
    with pytest.raises(UnsupportedModel, match=r"layer stem: .*NaN"):
        convert(replace(trained, layers=(broken, *trained.layers[1:])), "k210-kmodel-v5", pictures(4)[0])


def test_an_image_of_another_size_is_refused(newest: str, file: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"the model eats uint8 \(n, \(3, 32, 32\)\)"):
        simulator(TARGET[newest], file).run(np.zeros((1, 3, 16, 16), np.uint8))


def test_the_benchs_door_takes_methods_and_tells_seconds(newest: str, trained: Graph) -> None:
    images = pictures(6)[0]
    plain = compile(trained, images, version=newest, use_mse_quant_w=False)
    other = compile(trained, images, version=newest, use_mse_quant_w=True, calibrate_method="kld_m2")
    results = [simulate(made.data, images, version=newest) for made in (plain, other)]
    assert plain.seconds > 0 and results[0].seconds > 0
    assert not np.array_equal(results[0].outputs, results[1].outputs)
