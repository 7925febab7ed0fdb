"""Where a job's work runs: a child process on this machine.

    Pipeline ──start(module, folder, …)──► Engine ──► Task: events, stop, kill

The module is one that is run as `python -m module FOLDER arguments…` and prints events (services.trainer.children);
what it leaves in the job folder is there when the event that speaks of it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from services.trainer.children import Child, Event
from services.trainer.settings import TrainerSettings

__all__ = ["Engine", "LocalEngine", "Task", "open_engine"]


class Task(Protocol):
    """A module at work."""

    def events(self) -> Iterator[Event]:
        """Every event but "error", until it has ended; errors as services.trainer.children.Child raises them."""

    def stop(self) -> None:
        """Ask it to end after the current step."""

    def kill(self) -> None:
        """End it now."""


class Engine(Protocol):
    def start(self, module: str, folder: Path, *arguments: str, log: str) -> Task:
        """Run the module on the job folder; what it and its libraries say besides events goes to `folder`/`log`."""


class LocalEngine:
    """A child process of this one."""

    def start(self, module: str, folder: Path, *arguments: str, log: str) -> Task:
        return Child(module, str(folder), *arguments, stderr=folder / log)


def open_engine(settings: TrainerSettings) -> Engine:
    """The engine that the settings name."""
    return LocalEngine()
