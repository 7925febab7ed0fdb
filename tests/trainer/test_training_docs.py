from __future__ import annotations

from pathlib import Path

from services.rpc.boardloop.trainer.v1 import trainer_pb2
from services.trainer.config import TrainingConfig
from services.trainer.parameters import resolved
from services.trainer.settings import TrainerSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text()


def test_every_parameter_has_its_sentence() -> None:
    asked = {field.name for field in trainer_pb2.TrainingParameters.DESCRIPTOR.fields}
    assert {name for name in asked | set(TrainingConfig.model_fields) if f"`{name}`" not in PAGE} == set()


def test_the_defaults_are_those_of_the_page() -> None:
    parameters = resolved(trainer_pb2.TrainingParameters(), TrainerSettings())
    for name in ("backbone", "input_size", "epochs", "batch_size", "learning_rate", "seed", "weights", "target"):
        value = str(getattr(parameters, name))
        assert f"| `{name}` | {value} |" in PAGE or f"| `{name}` | `{value}` |" in PAGE
