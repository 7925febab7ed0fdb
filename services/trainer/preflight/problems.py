"""A problem of a training: how bad, what, and what to do, in the words of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from services.common.i18n import Translator

__all__ = ["Problem", "Severity", "error", "note", "warning"]

MAX_IDS = 20
_ENGLISH = Translator("en")


class Severity(IntEnum):
    """The contract's numbers."""

    NOTE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True)
class Problem:
    """`code` names the sentences preflight.<code> and preflight.<code>_fix; `facts` stand in them."""

    severity: Severity
    code: str
    facts: dict[str, str] = field(default_factory=dict)
    captures: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return _ENGLISH(f"preflight.{self.code}", **self.facts)

    @property
    def fix(self) -> str:
        return _ENGLISH(f"preflight.{self.code}_fix", **self.facts)


def error(code: str, captures: tuple[str, ...] = (), **facts: object) -> Problem:
    """The training would fail."""
    return _problem(Severity.ERROR, code, captures, facts)


def warning(code: str, captures: tuple[str, ...] = (), **facts: object) -> Problem:
    """The model would be worse, or its figures too good."""
    return _problem(Severity.WARNING, code, captures, facts)


def note(code: str, captures: tuple[str, ...] = (), **facts: object) -> Problem:
    """Good to know."""
    return _problem(Severity.NOTE, code, captures, facts)


def _problem(severity: Severity, code: str, captures: tuple[str, ...], facts: dict[str, object]) -> Problem:
    return Problem(severity, code, {key: str(value) for key, value in facts.items()}, captures[:MAX_IDS])
