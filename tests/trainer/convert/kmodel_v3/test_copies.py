from __future__ import annotations

import numpy as np
import pytest

from services.trainer.convert import convert
from services.trainer.convert.kmodel_v3 import copies
from services.trainer.convert.kmodel_v3.firmware import Firmware
from services.trainer.convert.kmodel_v3.lower import lower
from services.trainer.convert.kmodel_v3.simulate import KModelSimulator
from services.trainer.graph import Activation, Add, Conv, Graph
from tests.trainer.convert.networks import classifier, conv, graph, pictures


def differences() -> Graph:
    """A stem whose map a depthwise layer turns into enlarged differences of neighbours, as MobileNetV1's does."""
    depthwise = conv("depthwise", (8, 8), depthwise=True)
    depthwise.weight[:] *= 0.1
    depthwise.weight[:, 0, 1, 0:2] = (12, -12)
    return graph(conv("stem", (3, 8), stride=2), depthwise, conv("mix", (8, 16), kernel=1), *classifier(4, 16))


def noise(network: Graph) -> float:
    calibration, images = pictures(12, seed=1)[0], pictures(24, seed=2)[0]
    got = KModelSimulator(convert(network, "k210-kmodel-v3", calibration).data).run(images)
    return float(np.std(got - network.run_float(images)))


def test_a_copied_stem_gives_its_map_more_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = noise(differences())
    monkeypatch.setattr(copies, "COPIES", ())
    assert copied < 0.8 * noise(differences())


def test_the_stem_is_copied_as_often_as_the_kpus_ram_allows() -> None:
    for size, channels, times in ((64, 8, 4), (224, 16, 4), (224, 24, 2), (224, 64, 1)):
        network = graph(
            conv("stem", (3, channels), stride=2),
            conv("depthwise", (channels, channels), depthwise=True),
            conv("mix", (channels, 8), kernel=1),
            *classifier(2, 8),
            size=(size, size),
        )
        assert [s.copies for s in lower(network).stages[:3]] == [times, times, 1], (size, channels)


def test_copies_give_way_to_maps_that_wait_for_an_addition() -> None:
    """Two copies of the wide map fit beside its depthwise successor, but not with the map that is to be added."""
    waiting = [
        conv("stem", (3, 24), stride=2),
        conv("expand", (24, 32), kernel=1),
        conv("depthwise", (32, 32), depthwise=True),
        conv("project", (32, 24), kernel=1, activation=Activation.none()),
    ]
    head = [conv("narrow", (24, 8), kernel=1), *classifier(2, 8)]
    chain = lower(graph(*waiting, *head, size=(224, 224)))
    residual = lower(graph(*waiting, Add("sum", other="stem"), *head, size=(224, 224)))
    assert [s.copies for s in chain.stages[:4]] == [1, 2, 2, 1]
    assert all(stage.copies == 1 for stage in residual.stages)


def test_a_stem_that_others_read_or_that_ends_in_a_dense_layer_is_left_alone() -> None:
    stem, _, mix, *rest = differences().layers
    assert isinstance(stem, Conv)
    dense = graph(stem, conv("dense", (8, 8)), mix, *rest)
    assert all(stage.copies == 1 for stage in lower(dense).stages)


def test_copies_lie_evenly_between_two_steps() -> None:
    stem = lower(differences()).stages[0]
    assert sorted(set(copies.offsets(stem))) == [-0.375, -0.125, 0.125, 0.375]
    assert copies.offsets(stem).sum() == 0


def blocks(width: int, count: int = 6) -> Graph:
    """A stem and `count` blocks of a depthwise layer and a 1x1, all `width` channels."""
    layers = [conv("stem", (3, width), stride=2)]
    for i in range(count):
        layers += [conv(f"d{i}", (width, width), depthwise=True), conv(f"p{i}", (width, width), kernel=1)]
    return graph(*layers, *classifier(2, width), size=(32, 32))


def test_every_second_of_the_last_blocks_is_copied_until_the_file_is_a_third_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(copies, "COPIES", ())
    monkeypatch.setattr(copies, "WARN_BYTES", 0)
    copied = lower(blocks(32, 9)).stages
    assert [i for i, stage in enumerate(copied) if stage.copies > 1 and not stage.depthwise] == [16]
    monkeypatch.setattr(copies, "MOST_GROWTH", 1.0)
    assert [i for i, stage in enumerate(lower(blocks(32, 9)).stages) if stage.copies > 1][::2] == [0, 4, 8, 12, 16]


def test_the_last_blocks_are_copied_only_in_files_of_over_a_mebibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "COPIES", ())
    for width, most in ((256, 1), (512, 2)):  # nine 1x1 layers of 64 and 256 KiB
        assert max(stage.copies for stage in lower(blocks(width, 9)).stages) == most


def test_no_block_is_copied_that_would_take_a_file_off_a_firmware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "COPIES", ())
    monkeypatch.setattr(copies, "WARN_BYTES", 0)
    with monkeypatch.context() as plain_only:
        plain_only.setattr(copies, "MOST_GROWTH", 0)
        plain = copies._file_bytes(lower(blocks(32, 9)).stages)
    for budget, times in ((plain, 1), (1, 2)):
        monkeypatch.setattr(copies, "FIRMWARE", {"a board": Firmware(0, budget)})
        assert max(stage.copies for stage in lower(blocks(32, 9)).stages) == times
