"""The form's advanced fields against the contract and the trainer's defaults."""

from __future__ import annotations

import pytest

from services.common.i18n import CATALOGUE
from services.gateway.pages.training_fields import CHANGES, DETECTION, LEARNING, Choice, Number, Switch
from services.gateway.rest.jobs import TrainingParameters as Rest
from services.rpc.boardloop.trainer.v1 import trainer_pb2
from services.trainer.config import DETECTION_DEFAULTS, TrainingConfig

FIELDS = (*LEARNING, *CHANGES)
IN_THE_FIRST_PART = {  # of the form, by hand
    "backbone", "input_size", "epochs", "batch_size", "learning_rate", "seed", "weights", "target", "max_accuracy_drop",
    "allow_oversize", "head", "input_height",
}  # fmt: skip


def test_every_parameter_of_the_contract_is_in_the_form_and_in_rest() -> None:
    contract = {field.name for field in trainer_pb2.TrainingParameters.DESCRIPTOR.fields}
    assert {field.name for field in FIELDS} == contract - IN_THE_FIRST_PART
    assert set(Rest.model_fields) == contract


def test_the_form_knows_the_defaults_of_a_detector() -> None:
    assert {"learning_rate": 0.002, **DETECTION} == DETECTION_DEFAULTS  # the form leaves the rate to the trainer


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_field_shows_the_default_and_the_sentence_says_it(field: Number | Choice | Switch) -> None:
    default = getattr(TrainingConfig(), field.name)
    assert field.default == default
    for sentence in CATALOGUE[f"training.{field.name}_help"]:
        assert ("default" in sentence or "默认" in sentence) and (
            not isinstance(field, Number) or f"{default:g}" in sentence
        )


@pytest.mark.parametrize("field", [one for one in FIELDS if isinstance(one, Choice)], ids=lambda field: field.name)
def test_the_trainer_takes_every_choice(field: Choice) -> None:
    for word in field.words:
        assert getattr(TrainingConfig.model_validate({field.name: word}), field.name) == word
