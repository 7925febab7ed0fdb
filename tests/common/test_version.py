from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.common import version


def test_a_checkout_names_its_commit() -> None:
    if not (version._ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    assert re.fullmatch(r"git [0-9a-f]{12,}(\+changes)?", version.code_version())


def test_outside_a_checkout_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "_ROOT", tmp_path)
    assert re.fullmatch(r"boardloop \d+\.\d+.*|unknown", version.code_version.__wrapped__())
