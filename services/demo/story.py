"""How the demo tells what it does: steps, progress bars and figures, in the terminal's language."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.common.i18n import Translator, console_language
from services.demo.report import Report

__all__ = ["Story"]


@dataclass(frozen=True)
class Story:
    """The terminal, its language, and the figures so far."""

    console: Console = field(default_factory=Console)
    t: Translator = field(default_factory=lambda: Translator(console_language()))
    report: Report = field(default_factory=Report)

    @contextmanager
    def step(self, key: str) -> Iterator[None]:
        """Names the step, and times it."""
        self.console.print(f"[bold]{self.t(f'demo.step.{key}')}[/]")
        began = time.perf_counter()
        yield
        self.report.seconds[key] = time.perf_counter() - began

    def say(self, key: str, **fields: object) -> None:
        self.console.print(f"  {self.t(key, **fields)}", highlight=False, soft_wrap=True)

    def bars(self) -> Progress:
        """Progress bars; each task has a field `note`."""
        return Progress(
            TextColumn("  {task.description:<10}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
        )
