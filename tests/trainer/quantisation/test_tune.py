"""A network whose first maps have one channel a hundred times louder than the rest: one scale suits not both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.trainer.config import TrainingConfig, parse_config
from services.trainer.convert import convert
from services.trainer.detector import Detector, detector_graph
from services.trainer.fidelity import simulate
from services.trainer.graph import Activation, Conv, Graph
from services.trainer.pictures import Pictures, read_items
from services.trainer.quantisation.choice import Candidate, better
from services.trainer.quantisation.tune import FILE, tune, tuned_graph
from tests.trainer.convert.networks import classifier, conv, graph

JobFolder = Callable[..., Path]
TARGET = "v831-awnn-int8"
LOUD = 100.0


def lopsided() -> Graph:
    """Answers in float as a usual network does, and badly in 8 bits."""
    relu = partial(conv, stride=2, activation=Activation.relu())
    layers = [relu("a", (3, 8)), relu("b", (8, 16)), relu("c", (16, 16)), *classifier(4, 16)]
    for i in (0, 1):
        first, second = layers[i], layers[i + 1]
        assert isinstance(first, Conv) and isinstance(second, Conv)
        loud = np.ones(len(first.weight), np.float32)
        loud[0] = LOUD
        layers[i] = replace(first, weight=first.weight * loud[:, None, None, None], bias=first.bias * loud)
        layers[i + 1] = replace(second, weight=second.weight / loud[:, None, None])
    return graph(*layers, size=(96, 96), mean=0.0, std=1.0)


@pytest.fixture
def made(job_folder: JobFolder) -> tuple[Path, TrainingConfig, dict[str, Pictures]]:
    folder = job_folder(train=32, validation=24, batch_size=8, qat_epochs=6)
    (folder / "best.pt").write_bytes(b"the float network")
    items = read_items(folder)
    splits = {split: [item for item in items if item.split == split] for split in ("train", "validation")}
    parts = {split: Pictures(folder, chosen, 96, 96, 2**28) for split, chosen in splits.items()}
    return folder, parse_config((folder / "config.json").read_text()), parts


def candidate(network: Graph, parts: dict[str, Pictures]) -> Candidate:
    model = convert(network, TARGET, parts["train"][range(32)])
    return Candidate(network, model, simulate(model, parts["validation"][range(24)]))


def test_what_one_scale_spoils_is_learnt_back_and_kept(made: Any) -> None:
    folder, config, parts = made
    network = lopsided()
    wanted = network.run_float(parts["validation"][range(24)])
    tune(folder, network, TARGET, config, parts["train"], lambda event: None, lambda: False)
    plain, told = candidate(network, parts), []

    def closeness(outputs: Any) -> float:
        return float(1 - np.square(outputs - wanted).mean() / wanted.var(0).mean())

    kept = better(folder, plain, lambda tuned: candidate(tuned, parts), closeness, "closeness", told.append)
    assert kept.graph is not network and closeness(plain.outputs) < 0.8
    assert 1 - closeness(kept.outputs) < 0.7 * (1 - closeness(plain.outputs))
    assert f"{closeness(kept.outputs):.1%} with it" in told[0] and kept.model.report.notes[-1] == told[0]


def test_what_does_not_help_is_dropped_and_both_figures_are_told(made: Any) -> None:
    folder, config, parts = made
    one = config.model_copy(update={"qat_epochs": 1})
    tune(folder, lopsided(), TARGET, one, parts["train"], lambda event: None, lambda: False)
    plain = candidate(lopsided(), parts)
    kept = better(folder, plain, lambda tuned: candidate(tuned, parts), lambda outputs: 0.5, "accuracy", lambda _: None)
    assert kept.model.data == plain.model.data
    assert "accuracy 50.0% without and 50.0% with it" in kept.model.report.notes[-1]
    assert kept.model.report.notes[-1].endswith("the plain file is kept.")


def test_a_run_started_again_gives_the_same_weights(made: Any) -> None:
    folder, config, parts = made
    config = config.model_copy(update={"qat_epochs": 2})

    def weights(until: int) -> Any:
        events: list[dict[str, Any]] = []
        stop = lambda: len([e for e in events if e["type"] == "log"]) >= until  # noqa: E731
        tune(folder, lopsided(), TARGET, config, parts["train"], events.append, stop)
        found = tuned_graph(folder, lopsided(), TARGET)
        assert found is not None
        return found[1], found[0].layers[1]

    whole = weights(99)
    (folder / FILE).unlink()
    half, resumed = weights(1), weights(99)
    assert (half[0], resumed[0], whole[0]) == (1, 2, 2)
    np.testing.assert_array_equal(resumed[1].weight, whole[1].weight)


def test_weights_tuned_for_another_chip_or_network_are_not_taken(made: Any) -> None:
    folder, config, parts = made
    one = config.model_copy(update={"qat_epochs": 1})
    tune(folder, lopsided(), TARGET, one, parts["train"], lambda event: None, lambda: False)
    assert tuned_graph(folder, lopsided(), TARGET) is not None
    assert tuned_graph(folder, lopsided(), "k210-kmodel-v3") is None
    (folder / "best.pt").write_bytes(b"another one")
    assert tuned_graph(folder, lopsided(), TARGET) is None


def test_a_detector_is_tuned_on_pictures_alone(made: Any) -> None:
    folder, config, parts = made
    model = Detector("tiny_cnn", 2, ((1.0, 1.0), (2.0, 2.0)), neck=8).eval()
    network = detector_graph(model, ("ring", "bars"), 96, 96)
    one = config.model_copy(update={"qat_epochs": 1})
    tune(folder, network, "k210-kmodel-v3", one, parts["train"], lambda event: None, lambda: False)
    found = tuned_graph(folder, network, "k210-kmodel-v3")
    assert found is not None and found[0].anchors == network.anchors
    first, before = found[0].layers[0], network.layers[0]
    assert isinstance(first, Conv) and isinstance(before, Conv) and not np.array_equal(first.weight, before.weight)
