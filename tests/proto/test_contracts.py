"""The gates on proto/: style, and no change that breaks a caller."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTO = Path(__file__).resolve().parents[2] / "proto"
BUF = Path(sys.executable).parent / "buf"


def buf(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BUF), *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def contracts(tmp_path: Path) -> Path:
    if not BUF.exists():
        pytest.skip("buf is not installed: pip install buf-bin")
    return Path(shutil.copytree(PROTO, tmp_path / "proto"))


def edit(contracts: Path, before: str, after: str) -> None:
    file = contracts / "boardloop" / "collector" / "v1" / "collector.proto"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def test_the_contracts_are_clean_and_break_nobody(contracts: Path) -> None:
    assert buf(contracts, "lint").returncode == 0
    assert buf(contracts, "breaking", "--against", "released.binpb").returncode == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("bytes jpeg = 3;", "string jpeg = 3;"),
        ("string label = 4;", "string label = 40;"),
        ("rpc DeleteCaptures(DeleteCapturesRequest) returns (DeleteCapturesResponse);", ""),
    ],
)
def test_a_breaking_change_is_refused(contracts: Path, before: str, after: str) -> None:
    edit(contracts, before, after)
    assert buf(contracts, "breaking", "--against", "released.binpb").returncode != 0


def test_an_addition_breaks_nobody(contracts: Path) -> None:
    edit(contracts, "message ListProjectsRequest {}", "message ListProjectsRequest {\n  uint32 page_size = 1;\n}")
    assert buf(contracts, "breaking", "--against", "released.binpb").returncode == 0
