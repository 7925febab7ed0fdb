from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.common.errors import BoardloopError, InvalidInput
from services.trainer.config import TrainingConfig
from services.trainer.convert_command.source import load_graph, numbers, read_labels
from services.trainer.graph import Graph
from services.trainer.model import Classifier
from tests.trainer.convert.networks import pictures


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    """What a checkpoint of two labels holds."""
    torch.manual_seed(0)
    config = TrainingConfig(backbone="mobilenet_v1_0.25", input_size=128)
    model = Classifier(config.backbone, 2)
    shared = {"config": config.model_dump(), "labels": ["ring", "bars"], "epoch": 3, "val_accuracy": 0.9}
    return {**shared, "model": model.state_dict()}


def load(path: Path, **more: Any) -> Graph:
    return load_graph(path, **{"labels": (), "mean": (), "std": (), **more})


def test_a_checkpoint_becomes_the_network_it_was(state: dict[str, Any], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "cells 3.pt")
    graph = load(tmp_path / "cells 3.pt")
    assert (graph.name, graph.labels, graph.input.width) == ("cells_3", ("ring", "bars"), 128)
    assert graph.run_float(pictures(1, 128)[0]).shape == (1, 2)
    assert load(tmp_path / "cells 3.pt", labels=("o", "x")).labels == ("o", "x")
    with pytest.raises(InvalidInput, match="3 labels, but the network has 2 outputs"):
        load(tmp_path / "cells 3.pt", labels=("o", "x", "y"))
    with pytest.raises(InvalidInput, match="--mean"):
        load(tmp_path / "cells 3.pt", mean=(0.5,))


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("/tmp/boardloop-hostile-checkpoint"),)


def test_a_hostile_checkpoint_runs_nothing(state: dict[str, Any], tmp_path: Path) -> None:
    mark = Path("/tmp/boardloop-hostile-checkpoint")
    for content in (pickle.dumps(Bomb()), pickle.dumps({"config": Bomb()})):
        (tmp_path / "evil.pt").write_bytes(content)
        with pytest.raises(InvalidInput, match=r"evil\.pt"):
            load(tmp_path / "evil.pt")
    torch.save({**state, "labels": Bomb()}, tmp_path / "evil.pt")
    with pytest.raises(InvalidInput, match=r"evil\.pt"):
        load(tmp_path / "evil.pt")
    assert not mark.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"labels": 7},
        {"labels": ["one"]},
        {"config": {"backbone": "vgg"}},
        {"config": 3},
        {"model": {}},
        {"model": [1]},
        {"epoch": None, "model": None},
    ],
)
def test_a_checkpoint_of_nonsense_is_told(state: dict[str, Any], tmp_path: Path, change: dict[str, Any]) -> None:
    torch.save({**state, **change}, tmp_path / "odd.pt")
    with pytest.raises(InvalidInput):
        load(tmp_path / "odd.pt")
    torch.save([1, 2], tmp_path / "odd.pt")
    with pytest.raises(InvalidInput):
        load(tmp_path / "odd.pt")


def test_mutilated_files_are_refused(state: dict[str, Any], onnx_file: Path, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "whole.pt")
    chance = np.random.default_rng(5)
    for suffix, data in ((".pt", (tmp_path / "whole.pt").read_bytes()), (".onnx", onnx_file.read_bytes())):
        path = tmp_path / f"broken{suffix}"
        for cut in (0, 1, 100, len(data) // 2):
            path.write_bytes(data[:cut])
            with pytest.raises(BoardloopError):
                load(path)
        for _ in range(40):
            torn = bytearray(data)
            for place in chance.integers(0, min(len(torn), 4000), 8):
                torn[place] = chance.integers(256)
            path.write_bytes(torn)
            try:
                load(path)
            except BoardloopError as error:
                assert error.message


@pytest.mark.parametrize(("text", "labels"), [("a, b", ("a", "b")), ("a", ("a",))])
def test_labels_are_listed(text: str, labels: tuple[str, ...]) -> None:
    assert read_labels(text) == labels


def test_numbers_are_one_or_three() -> None:
    assert (numbers("", "--std"), numbers("0.5", "--std"), numbers("1,2,3", "--std")) == ((), (0.5,), (1, 2, 3))
    with pytest.raises(InvalidInput, match="--std"):
        numbers("nan", "--std")


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="ONNX"):
        load(tmp_path / "model.h5")
