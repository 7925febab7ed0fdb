from __future__ import annotations

import importlib.util

import pytest

from services.common.errors import FailedPrecondition, UnsupportedModel
from services.trainer.convert.ncnn.pnnx_run import pnnx_program, run_pnnx
from services.trainer.convert.onnx_file.write import to_onnx
from tests.trainer.convert.networks import small


def test_files_that_pnnx_cannot_read_come_back_as_our_error() -> None:
    with pytest.raises(UnsupportedModel, match="pnnx could not convert the network") as caught:
        run_pnnx(b"no model")
    assert caught.value.reason == "PNNX_FAILED"


def test_a_run_that_takes_too_long_is_ended() -> None:
    with pytest.raises(UnsupportedModel, match=r"more than 0\.001 seconds"):
        run_pnnx(to_onnx(small()), timeout=0.001)


def test_a_missing_pnnx_is_answered_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pnnx_program().is_file()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FailedPrecondition, match="pip install pnnx"):
        pnnx_program()
