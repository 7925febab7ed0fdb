"""bench/rivals.py with a package made here: pip needs no network for it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from bench.rivals import Rival
from services.common.errors import Unavailable

NO_INDEX = ("--no-index",)


def wheel(folder: Path, line: str) -> str:
    """The path of a package `tiny` whose module is that line."""
    path = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", line)
        archive.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        archive.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.dist-info/RECORD", "")
    return str(path)


def test_a_rival_answers_from_its_own_environment_and_from_packages_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "other.py").write_text("WORD = 'two'")
    rival = Rival("tiny-1", (wheel(tmp_path, "WORD = 'one'"),), NO_INDEX, str(tmp_path / "beside"))
    python = rival.python(tmp_path / "cache")
    code = "import json, tiny, other; print('talk'); print(json.dumps([tiny.WORD, other.WORD]))"
    assert rival.answer(python, ["-c", code]) == ["one", "two"]
    made = python.parent.parent.stat().st_mtime_ns
    assert rival.python(tmp_path / "cache") == python and python.parent.parent.stat().st_mtime_ns == made
    with pytest.raises(Unavailable, match="tiny-1 does not run here: enough"):
        rival.answer(python, ["-c", "raise SystemExit('enough')"])


def test_what_pip_cannot_install_is_told_in_its_words_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"none-1 does not run here: .*No matching distribution found for none"):
        Rival("none-1", ("none==1",), NO_INDEX).python(tmp_path)
    assert not list(tmp_path.iterdir())
