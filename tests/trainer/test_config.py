from __future__ import annotations

import pytest

from services.common.errors import InvalidInput
from services.trainer.config import TrainingConfig, parse_config


def test_absent_fields_take_the_defaults() -> None:
    assert parse_config('{"epochs": 3}') == TrainingConfig(epochs=3)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"epochs": 0}', "epochs"),
        ('{"input_size": 100}', "input_size"),
        ('{"input_height": 64}', "input_height"),
        ('{"backbone": "resnet50"}', "backbone"),
        ('{"learning_rat": 0.1}', "learning_rat"),
        ('{"weights_sha256": "abc"}', "weights_sha256"),
        ("{", "parameters"),
    ],
)
def test_a_wrong_field_is_named(text: str, field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        parse_config(text)
