from __future__ import annotations

import pytest

from services.common.errors import InvalidInput
from services.trainer.convert import TARGETS
from services.trainer.quantisation import SCHEMES, check_tunable


def test_every_scheme_is_of_a_target_that_there_is() -> None:
    assert set(SCHEMES) <= set(TARGETS)


@pytest.mark.parametrize("target", ["web-onnx", "linux-ncnn-fp16", "mcu-tinymaix-fp32"])
def test_a_target_in_float_is_refused_with_those_that_are_not(target: str) -> None:
    with pytest.raises(InvalidInput, match=target) as caught:
        check_tunable(target)
    assert caught.value.fix is not None and "v831-awnn-int8" in caught.value.fix
