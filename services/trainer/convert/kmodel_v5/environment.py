"""nncase in a Python of its own: it exists for CPython 3.10 at most, Boardloop needs 3.11.

python3.10 (setting, PATH, pyenv, uv) ─► venv without pip ─► our pip --python ─► probe ─► <cache_dir>/nncase-<version>

The environment is made under a temporary name and renamed, so two processes may make it at once and a failed one leaves
nothing behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from services.common.errors import FailedPrecondition, InvalidInput, Unavailable
from services.trainer.settings import TrainerSettings

__all__ = ["VERSIONS", "WORKER", "clean_environment", "environment", "find_python", "is_installed"]

# 1.1.0 is the runtime of CanMV's branch with kmodel V5, 1.9.0 the last version that has the K210. Not in
# constraints.txt: pip refuses both on Python 3.11.
VERSIONS = {"1.9": "1.9.0.20230322", "1.1": "1.1.0.20211203"}
NUMPY = "numpy<2.3"  # the last that Python 3.10 has; 2.2.6 was tried with both versions
WORKER = Path(__file__).with_name("worker.py")

PROBE_SECONDS, VENV_SECONDS, PIP_SECONDS = 60, 120, 900
PYTHON_TEST = "import sys; print(sys.implementation.name, *sys.version_info[:2])"
PYTHON_ANSWER = "cpython 3 10"


def environment(version: str) -> Path:
    """The Python that has nncase `version` ("1.9" or "1.1"); the first call on a machine installs it by pip.

    FailedPrecondition: no Python 3.10 here, or libgomp is missing. Unavailable: pip cannot get the packages.
    InvalidInput: another version.
    """
    if version not in VERSIONS:
        known = " and ".join(VERSIONS)
        raise InvalidInput("NNCASE_VERSION", f"There is no nncase {version!r} here.", fix=f"There are {known}.")
    settings = TrainerSettings()
    return _environment(version, settings.cache_dir.absolute(), settings.nncase_python)


def is_installed(version: str) -> bool:
    """Whether `environment` would find nncase here without installing it."""
    folder = TrainerSettings().cache_dir.absolute() / f"nncase-{VERSIONS[version]}"
    return (folder / "bin" / "python").exists()


@cache
def _environment(version: str, cache_dir: Path, chosen: str) -> Path:
    folder = cache_dir / f"nncase-{VERSIONS[version]}"
    python = folder / "bin" / "python"
    problem = _probe(python)
    if problem is None:
        return python
    base = find_python(chosen)
    if python.exists() and _is_310(str(python)):
        raise _does_not_load(version, problem)  # installing it again would change nothing
    part = _temporary(folder)
    try:
        _install(version, base, part)
        problem = _probe(part / "bin" / "python")
        if problem is not None:
            raise _does_not_load(version, problem)
        _put(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return python


def find_python(chosen: str = "") -> str:
    """A CPython 3.10 that runs; `chosen`, when given, is the only one tried. Raises FailedPrecondition without one."""
    if chosen:
        if _is_310(chosen):
            return chosen
        raise FailedPrecondition(
            "NNCASE_PYTHON_WRONG",
            f"BOARDLOOP_NNCASE_PYTHON is {chosen!r}, which is not a CPython 3.10 that runs.",
            fix="Give the path of a python3.10, or unset the variable.",
        )
    for candidate in _candidates():
        if _is_310(candidate):
            return candidate
    raise FailedPrecondition(
        "NNCASE_PYTHON_MISSING",
        "nncase needs CPython 3.10, and there is none on PATH, in pyenv or in uv.",
        fix="Install one (`uv python install 3.10`, `pyenv install 3.10`, or your distribution's python3.10), or set "
        "BOARDLOOP_NNCASE_PYTHON to its path. The target k210-kmodel-v3 needs no nncase.",
    )


def _candidates() -> Iterator[str]:
    """Where a Python 3.10 may be; a shim of pyenv on PATH exists for every version and may still fail."""
    if found := shutil.which("python3.10"):
        yield found
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    yield from _newest(pyenv / "versions", "3.10.*/bin/python")
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    yield from _newest(uv, "cpython-3.10*/bin/python3.10")


def _newest(folder: Path, pattern: str) -> list[str]:
    return [str(path) for path in sorted(folder.glob(pattern), reverse=True)]


def _is_310(python: str) -> bool:
    try:
        done = _run([python, "-I", "-c", PYTHON_TEST], PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == PYTHON_ANSWER


def _probe(python: Path) -> str | None:
    """What keeps nncase from loading there; None when it loads."""
    if not python.exists():
        return "there is no environment yet"
    try:
        done = _run([str(python), "-I", str(WORKER), "probe"], PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else _last_line(done.stderr)


def _temporary(folder: Path) -> Path:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise FailedPrecondition(
            "CACHE_NOT_WRITABLE",
            f"nncase cannot be kept in {folder.parent}: {error.strerror}.",
            fix="Set BOARDLOOP_CACHE_DIR to a folder that the trainer may write to.",
        ) from error


def _install(version: str, base: str, folder: Path) -> None:
    """A venv without pip, filled by the pip we run on: many distributions ship python3.10 without ensurepip."""
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--only-binary=:all:", f"nncase=={VERSIONS[version]}", NUMPY]
    for command, limit in (
        ([base, "-I", "-m", "venv", "--without-pip", str(folder)], VENV_SECONDS),
        (pip, PIP_SECONDS),
    ):
        try:
            done = _run(command, limit)
            words = _last_line(done.stderr) if done.returncode else ""
        except subprocess.TimeoutExpired:
            words = f"no answer in {limit} s"
        if words:
            raise Unavailable(
                "NNCASE_UNREACHABLE",
                f"nncase {VERSIONS[version]} could not be installed for {base}: {words}",
                fix="Check the network and pip's index (the wheels are for x86-64 only), then run `boardloop nncase`.",
            )


def _put(part: Path, folder: Path) -> None:
    """`part` becomes `folder`. Another process may have been faster; then theirs stays."""
    broken = part.with_suffix(".old")
    try:
        if folder.exists() and _probe(folder / "bin" / "python") is not None:
            folder.rename(broken)
        part.rename(folder)
    except OSError:
        if (problem := _probe(folder / "bin" / "python")) is not None:
            raise FailedPrecondition(
                "NNCASE_BROKEN",
                f"The environment {folder} cannot be replaced, and nncase does not load in it: {problem}",
                fix=f"Remove {folder} and run `boardloop nncase`.",
            ) from None
    finally:
        shutil.rmtree(broken, ignore_errors=True)


def _does_not_load(version: str, problem: str) -> FailedPrecondition:
    fix = "Remove the folder nncase-… in BOARDLOOP_CACHE_DIR and run `boardloop nncase`."
    if "libgomp" in problem:
        fix = "Install GCC's OpenMP library: `apt install libgomp1` (Debian, Ubuntu), `dnf install libgomp` (Fedora)."
    return FailedPrecondition("NNCASE_BROKEN", f"nncase {VERSIONS[version]} does not load: {problem}", fix=fix)


def _run(command: list[str], limit: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=limit, check=False, env=clean_environment()
    )


def clean_environment() -> dict[str, str]:
    """Ours without what would lead another Python to our packages."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    return {name: value for name, value in os.environ.items() if name not in hidden}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
