"""One evaluation from its data set version to its stored figures.

FETCHING  pictures, which of them were trained on ──► EVALUATING  child: answers, summary ──► DONE
   0 … 10 %                                               10 … 100 %
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from services.common.errors import FailedPrecondition, NotFound
from services.trainer.datasets import Datasets
from services.trainer.engine import LocalEngine
from services.trainer.evaluation.child import MODEL, PACKED, SUMMARY
from services.trainer.evaluation.lineage import lineage
from services.trainer.evaluation.request import Request, checked_part
from services.trainer.evaluation.store import EvaluationStore
from services.trainer.models import EvaluationRun
from services.trainer.pipeline import Aborted, Run
from services.trainer.registry import Registry
from services.trainer.settings import TrainerSettings
from services.trainer.store import JobStore

__all__ = ["Runner"]

_CHILD = "services.trainer.evaluation.child"
_FETCHED = 0.1  # progress when the pictures are there
_PROGRESS_EVERY_SECONDS = 0.5


class Runner:
    """The stages and what they need; `work` runs in the thread of the queue."""

    def __init__(
        self, settings: TrainerSettings, store: EvaluationStore, jobs: JobStore, registry: Registry, datasets: Datasets
    ) -> None:
        self._settings = settings
        self._store = store
        self._jobs = jobs
        self._registry = registry
        self._datasets = datasets
        self._engine = LocalEngine()  # short, and on pictures that are here already: no work to send to a cluster

    def folder(self, evaluation_id: str) -> Path:
        """Where its pictures and answers lie until it is done."""
        return self._settings.data_dir.resolve() / "jobs" / f"evaluation-{evaluation_id}"

    def work(self, run: Run) -> None:
        """Do all of it. Raises BoardloopError, ChildKilled, Aborted."""
        evaluation = self._store.get(run.job_id)
        folder = self.folder(evaluation.id)
        folder.mkdir(parents=True, exist_ok=True)
        self._fetch(run, evaluation, folder)
        self._answer(run, evaluation, folder)
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
        line = f"{summary['right_images']} of {summary['images']} pictures are right."
        self._store.keep(evaluation.id, (folder / PACKED).read_bytes(), summary, line)

    def _fetch(self, run: Run, evaluation: EvaluationRun, folder: Path) -> None:
        self._store.change(
            evaluation.id, state="FETCHING", line=f"Fetching data set version {evaluation.version_id}.", progress=0.0
        )
        told = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            if run.killed.is_set():
                raise Aborted
            if time.monotonic() - told > _PROGRESS_EVERY_SECONDS:
                told = time.monotonic()
                self._store.change(evaluation.id, progress=_FETCHED * done / max(total, 1))

        def left_out(line: str) -> None:
            self._store.change(evaluation.id, line=line)

        self._datasets.fetch(evaluation.version_id, folder, progress, left_out if evaluation.skip_unreadable else None)
        (folder / MODEL).write_bytes(self._registry.read(evaluation.model_id, evaluation.target))
        self._request(evaluation).write(folder)

    def _request(self, evaluation: EvaluationRun) -> Request:
        model = self._registry.get(evaluation.model_id)
        version = self._datasets.version(evaluation.version_id)
        return Request(
            task=model.task,
            labels=tuple(model.labels),
            version_labels=tuple(version.labels),
            target=evaluation.target,
            width=model.input_size,
            height=model.input_height,
            part=checked_part(evaluation.part),
            confidence=evaluation.confidence,
            seen=tuple(sorted(self._seen(evaluation))),
            anchors=tuple((width, height) for width, height in model.anchors),
            skip_unreadable=evaluation.skip_unreadable,
            head=model.head,
        )

    def _seen(self, evaluation: EvaluationRun) -> set[str]:
        """Captures that the model, or one that it was trained on from, was trained on."""
        seen: set[str] = set()
        for version_id in {model.version_id for model in lineage(self._registry, self._jobs, evaluation.model_id)}:
            try:
                seen |= self._datasets.training_captures(version_id)
            except NotFound:
                line = f"Version {version_id} is gone: whether pictures were trained on is not known of it."
                self._store.change(evaluation.id, line=line)
        return seen

    def _answer(self, run: Run, evaluation: EvaluationRun, folder: Path) -> None:
        if run.killed.is_set():
            raise Aborted
        what = evaluation.target or "the float network"
        child = run.start(self._engine, _CHILD, folder, log="evaluation.log")
        self._store.change(evaluation.id, state="EVALUATING", progress=_FETCHED, line=f"Asking {what}.")
        for event in child.events():
            if event["type"] == "log":
                self._store.change(evaluation.id, line=event["message"])
            if event["type"] == "progress":
                progress = _FETCHED + (1 - _FETCHED) * event["done"] / event["total"]
                line = f"Goes on after {event['done']} answers." if _resumed(event) else ""
                left = event["seconds_left"]
                self._store.change(evaluation.id, progress=progress, seconds_left=left, line=line)
        if not (folder / SUMMARY).exists():
            raise FailedPrecondition("EVALUATION_WITHOUT_END", "The child process ended without figures.")


def _resumed(event: dict[str, Any]) -> bool:
    """Whether it is the first event of a run that found answers."""
    return bool(event["done"]) and event["seconds_left"] == 0 and event["done"] < event["total"]
