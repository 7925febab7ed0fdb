"""services/common/errors.py: the drawing in its docstring is the tree."""

from __future__ import annotations

import re

import grpc
import pytest

from services.common import errors

DRAWN = re.findall(r"^ {4}([│├└─ ]*)(\w+) +(\w+) +(\d{3})? ", errors.__doc__ or "", re.MULTILINE)


def test_the_docstring_draws_every_class() -> None:
    assert {name for _, name, _, _ in DRAWN} | {"BoardloopError"} == set(errors.__all__)
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert defined == set(errors.__all__)


@pytest.mark.parametrize(("lines", "name", "status", "http"), DRAWN)
def test_the_docstring_draws_each_class_right(lines: str, name: str, status: str, http: str) -> None:
    if name == "BoardloopError":
        return
    kind = getattr(errors, name)
    parent = errors.InvalidInput if "   " in lines or lines.startswith("│") else errors.BoardloopError
    assert kind.__bases__ == (parent,)
    assert kind.grpc_status is grpc.StatusCode[status] and kind.http_status == int(http)


def test_the_text_of_an_error_ends_with_the_way_out() -> None:
    error = errors.NotFound("NO_MODEL", "There is no model x.", fix="List them with `boardloop models`.", model="x")
    assert str(error) == "There is no model x. List them with `boardloop models`."
    assert error.metadata == {"model": "x"}
    assert str(errors.NotFound("A", "Nothing.")) == "Nothing."
