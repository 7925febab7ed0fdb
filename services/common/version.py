"""Which code runs: what a model's card and a report of a fault name."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["code_version"]

_ROOT = Path(__file__).resolve().parent.parent.parent
_GIT_SECONDS = 5.0


@cache
def code_version() -> str:
    """ "git 0123456789ab", with "+changes" when files differ from it; outside a checkout the package's version."""
    if (_ROOT / ".git").exists():
        commit = _git("rev-parse", "--short=12", "HEAD")
        if commit:
            return f"git {commit}{'+changes' if _git('status', '--porcelain', '--untracked-files=no') else ''}"
    try:
        return f"boardloop {version('boardloop')}"
    except PackageNotFoundError:
        return "unknown"


def _git(*arguments: str) -> str:
    """What git prints, "" when there is no git or it says no."""
    try:
        told = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=_GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.strip()
