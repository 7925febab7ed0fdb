"""docs/adding_a_target.md is a program: its module is registered by its line, and its tests pass."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from services.trainer import convert
from services.trainer.packages import kinds
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "adding_a_target.md").read_text()
MODULE, LINE, TESTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NAMES = re.findall(r"^def (test_\w+)", TESTS, re.MULTILINE)


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The page's module as services.trainer.convert.npz_int8, from another folder, entered by the page's line."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "npz_int8").mkdir()
    (folder / "npz_int8" / "__init__.py").write_text(MODULE)
    known = dict(convert.TARGETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "__path__", [*convert.__path__, str(folder)])
        exec(compile(LINE, "the line of the page", "exec"), {"TARGETS": convert.TARGETS})
        yield importlib.import_module("services.trainer.convert.npz_int8")
    convert.TARGETS.clear()
    convert.TARGETS.update(known)
    del sys.modules["services.trainer.convert.npz_int8"], convert.npz_int8


def test_the_line_puts_the_module_into_the_table(added: ModuleType) -> None:
    assert convert.TARGETS["npz-int8"] is added.TARGET
    assert kinds("npz-int8") == ("files",)


@pytest.mark.parametrize("name", NAMES)
def test_the_tests_of_the_page_pass(added: ModuleType, name: str) -> None:
    space: dict[str, object] = {}
    exec(compile(TESTS, "the tests of the page", "exec"), space)
    test = space[name]
    assert callable(test)
    test()


def test_the_module_of_the_page_is_short_and_clean(tmp_path: Path) -> None:
    file = tmp_path / "npz_int8.py"
    file.write_text(MODULE)
    assert MODULE.count("\n") < 130 and len(NAMES) >= 4
    config = ["--config", str(ROOT / "pyproject.toml")]
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *config, str(file)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout
