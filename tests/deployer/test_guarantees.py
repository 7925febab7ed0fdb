"""docs/guarantees.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "guarantees.md"


def test_every_guarantee_names_tests_that_exist() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and "test_" in line]
    assert len(rows) >= 20
    for row in rows:
        file = ""
        named = re.findall(r"`(test_\w+\.py)?::(test_\w+)`", row)
        assert named, row
        for other, test in named:
            file = other or file
            assert f"def {test}(" in (HERE / file).read_text(), f"{file}::{test}"
