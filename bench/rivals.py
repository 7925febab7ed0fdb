"""A rival in a Python of its own, so that nothing of what it needs comes into ours.

    Rival ──► python(cache) ──► <cache>/<name>/bin/python ──► answer(…): the JSON of the last line that it prints

The environment is made under a temporary name and renamed: one that failed leaves nothing behind.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.errors import Unavailable
from services.trainer.convert.kmodel_v5.environment import clean_environment

__all__ = ["Rival"]

VENV_SECONDS, PIP_SECONDS = 300, 1800


@dataclass(frozen=True)
class Rival:
    """What pip installs. Every method raises Unavailable with the last line that was said when something fails."""

    name: str  # with its version; the environment's folder is called so
    packages: tuple[str, ...]
    options: tuple[str, ...] = ()  # of pip
    beside: str = ""  # a folder of packages that it uses too

    def python(self, cache_dir: Path) -> Path:
        """Of its environment, which the first call installs in `cache_dir`."""
        folder = cache_dir / self.name
        python = folder / "bin" / "python"
        if not python.exists():
            cache_dir.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(suffix=".part", dir=cache_dir))
            try:
                self._run([sys.executable, "-m", "venv", str(part)], VENV_SECONDS)
                pip = [str(part / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                self._run([*pip, *self.options, *self.packages], PIP_SECONDS)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        return python

    def answer(self, python: Path, arguments: Sequence[str], folder: Path | None = None) -> Any:
        """Of `python` with these arguments, run in `folder`."""
        said = self._run([str(python), *arguments], None, folder)
        return json.loads(said.splitlines()[-1])

    def _run(self, command: Sequence[str], limit: float | None, folder: Path | None = None) -> str:
        environment = clean_environment() | ({"PYTHONPATH": self.beside} if self.beside else {})
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=limit, check=False, cwd=folder, env=environment
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._unavailable(str(error)) from error
        if done.returncode:
            raise self._unavailable((done.stderr.strip().splitlines() or ["no message"])[-1])
        return done.stdout

    def _unavailable(self, why: str) -> Unavailable:
        return Unavailable(
            "RIVAL_UNAVAILABLE",
            f"{self.name} does not run here: {why}.",
            fix="Check the network and pip's index; without it the table has our rows only.",
        )
