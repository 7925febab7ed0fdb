"""What the demo says at its end: a table for people, one JSON line for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from services.common.i18n import Translator

__all__ = ["Report"]


@dataclass
class Report:
    """Figures, steps and checks by key, in the order they came; the words for a person are in the catalogue."""

    figures: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)

    def figure(self, key: str, value: Any, text: str = "") -> None:
        """`text`: how a person reads the value, where that differs."""
        self.figures[key] = value
        self.texts[key] = text or str(value)

    def check(self, key: str, held: bool) -> None:
        self.checks[key] = held

    @property
    def all_held(self) -> bool:
        return all(self.checks.values())

    def print(self, console: Console, t: Translator) -> None:
        table = Table(title=t("demo.title"), show_header=False, title_justify="left")
        for key, text in self.texts.items():
            table.add_row(t(f"demo.figure.{key}"), text)
        for step, seconds in self.seconds.items():
            table.add_row(t("demo.time", step=t(f"demo.step.{step}")), t("demo.seconds", n=f"{seconds:.1f}"))
        console.print(table)
        for key, held in self.checks.items():
            mark = f"[green]{t('demo.held')}[/]" if held else f"[bold red]{t('demo.failed')}[/]"
            console.print(f"  {mark}  {t(f'demo.check.{key}')}", highlight=False)

    def json_line(self) -> str:
        """Every figure of the table, the seconds of each step and each check, on one line."""
        times = {f"seconds_{step}": round(seconds, 2) for step, seconds in self.seconds.items()}
        return json.dumps({**self.figures, **times, "checks": self.checks, "ok": self.all_held}, ensure_ascii=False)
