"""Where a job's work runs: a child process on this machine, or a worker of a Ray cluster.

    Pipeline ──start(module, folder, …)──► Engine ──► Task: events, stop, kill

The module is one that is run as `python -m module FOLDER arguments…` and prints events (services.trainer.children);
what it leaves in the job folder is there when the event that speaks of it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from services.trainer.children import Child, Event
from services.trainer.cluster.options import Options
from services.trainer.settings import TrainerSettings

__all__ = ["Engine", "LocalEngine", "RayEngine", "Task", "open_engine"]


WORKERS = "services.trainer.workers"


class Task(Protocol):
    """A module at work."""

    def events(self) -> Iterator[Event]:
        """Every event but "error", until it has ended; errors as services.trainer.children.Child raises them."""

    def stop(self) -> None:
        """Ask it to end after the current step."""

    def kill(self) -> None:
        """End it now."""


class Engine(Protocol):
    def start(self, module: str, folder: Path, *arguments: str, log: str, workers: int = 1) -> Task:
        """Run the module on the job folder; what it and its libraries say besides events goes to `folder`/`log`.

        Of several `workers` each has RANK and WORLD_SIZE (services.trainer.parallel); the first one's events count.
        """


class LocalEngine:
    """A child process of this one."""

    def start(self, module: str, folder: Path, *arguments: str, log: str, workers: int = 1) -> Task:
        if workers > 1:
            return Child(WORKERS, str(workers), module, str(folder), *arguments, stderr=folder / log)
        return Child(module, str(folder), *arguments, stderr=folder / log)


class RayEngine:
    """A child process that drives a worker of the cluster, and is as easily ended as the worker itself."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def start(self, module: str, folder: Path, *arguments: str, log: str, workers: int = 1) -> Task:
        options = self._options.model_copy(update={"workers": max(workers, 1)}).model_dump_json()
        return Child("services.trainer.cluster", str(folder), options, module, *arguments, stderr=folder / log)


def open_engine(settings: TrainerSettings) -> Engine:
    """The engine that the settings name."""
    if not settings.ray_address:
        return LocalEngine()
    return RayEngine(Options(address=settings.ray_address, cpus=settings.ray_cpus, gpus=settings.ray_gpus))
