from __future__ import annotations

import sys
from pathlib import Path

import pytest

from services.common.errors import FailedPrecondition, InvalidInput, Unavailable
from services.trainer.convert.kmodel_v5 import environment as env


def script(path: Path, line: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which no Python is where one looks for it."""
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


def test_a_machine_without_python_310_is_told_what_to_install(bare: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"uv python install 3\.10.*BOARDLOOP_NNCASE_PYTHON") as caught:
        env.find_python()
    assert caught.value.reason == "NNCASE_PYTHON_MISSING"


def test_a_python_of_another_version_is_not_taken(bare: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"not a CPython 3\.10") as caught:
        env.find_python(sys.executable)
    assert caught.value.reason == "NNCASE_PYTHON_WRONG"


@pytest.mark.parametrize(
    "place", [".pyenv/versions/3.10.13/bin/python", ".local/share/uv/python/cpython-3.10.9-linux/bin/python3.10"]
)
def test_a_shim_that_fails_gives_way_to_a_python_that_runs(bare: Path, place: str) -> None:
    script(bare / "path" / "python3.10", "exit 127")
    script(bare / ".pyenv/versions/3.10.2/bin/python", "exit 1")
    good = script(bare / place, "echo cpython 3 10")
    assert env.find_python() == str(good)


def test_a_package_that_pip_cannot_get_is_said_with_pips_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        base = env.find_python()
    except FailedPrecondition as error:
        pytest.skip(str(error))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(Unavailable, match="No matching distribution found for nncase") as caught:
        env._environment("1.9", tmp_path / "cache", base)
    assert caught.value.reason == "NNCASE_UNREACHABLE"
    assert list((tmp_path / "cache").iterdir()) == []


def test_of_two_that_install_at_once_the_first_one_stays(tmp_path: Path) -> None:
    first, second, folder = (tmp_path / name for name in ("a.part", "b.part", "nncase"))
    for part in (first, second):
        script(part / "bin" / "python", f"true {part.name}")
        env._put(part, folder)
    assert (folder / "bin" / "python").read_text() == "#!/bin/sh\ntrue a.part\n"


def test_an_environment_that_no_longer_runs_is_replaced(tmp_path: Path) -> None:
    script(tmp_path / "nncase" / "bin" / "python", "exit 1")
    script(tmp_path / "a.part" / "bin" / "python", "true")
    env._put(tmp_path / "a.part", tmp_path / "nncase")
    assert [path.name for path in tmp_path.iterdir()] == ["nncase"]
    assert env._probe(tmp_path / "nncase" / "bin" / "python") is None


def test_a_missing_libgomp_is_named_with_its_package(tmp_path: Path) -> None:
    words = "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory"
    python = tmp_path / f"nncase-{env.VERSIONS['1.9']}" / "bin" / "python"
    script(python, f'[ "$2" = -c ] && echo cpython 3 10 && exit; echo "{words}" >&2; exit 1')
    base = script(tmp_path / "python3.10", "echo cpython 3 10")
    with pytest.raises(FailedPrecondition, match="apt install libgomp1"):
        env._environment("1.9", tmp_path, str(base))


def test_an_unknown_version_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"1\.9 and 1\.1"):
        env.environment("2.0")


def test_another_python_does_not_see_our_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    assert "PYTHONPATH" not in env.clean_environment() and "PATH" in env.clean_environment()
