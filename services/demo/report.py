"""What the demo says at its end: a table for people, one JSON line for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["Check", "Report"]


@dataclass(frozen=True)
class Check:
    """One thing that must hold."""

    what: str
    held: bool
    detail: str = ""


@dataclass
class Report:
    """Figures by key, in the order they came, with the words and the form a person reads them in."""

    figures: dict[str, Any] = field(default_factory=dict)
    rows: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    def figure(self, key: str, words: str, value: Any, text: str = "") -> None:
        self.figures[key] = value
        self.rows.append((words, text or str(value)))

    def check(self, what: str, held: bool, detail: str = "") -> None:
        self.checks.append(Check(what, held, detail))

    @property
    def all_held(self) -> bool:
        return all(check.held for check in self.checks)

    def print(self, console: Console) -> None:
        table = Table(title="The loop", show_header=False, title_justify="left")
        for words, text in self.rows:
            table.add_row(words, text)
        for step, seconds in self.seconds.items():
            table.add_row(f"time: {step}", f"{seconds:.1f} s")
        console.print(table)
        for check in self.checks:
            mark = "[green]held[/]  " if check.held else "[bold red]FAILED[/]"
            console.print(f"  {mark} {check.what}{f' ({check.detail})' if check.detail else ''}", highlight=False)

    def json_line(self) -> str:
        """Every figure of the table, the steps' seconds and each check, on one line."""
        times = {f"seconds_{step.replace(' ', '_')}": round(seconds, 2) for step, seconds in self.seconds.items()}
        checks = {check.what: check.held for check in self.checks}
        return json.dumps({**self.figures, **times, "checks": checks, "ok": self.all_held}, ensure_ascii=False)
