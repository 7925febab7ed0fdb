"""One job from its data set to a registered model.

    FETCHING  data set, weights ──► TRAINING  child: loop ──► CONVERTING  child: conversion ──► DONE or STOPPED
       0 … 5 %                        5 … 70 %                  70 … 100 %

Every stage finds in the job folder what an earlier run of the same job left, and goes on from there.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict

from services.rpc.boardloop.trainer.v1 import trainer_pb2
from services.trainer import parameters
from services.trainer.children import ChildKilled, Event
from services.trainer.choices import Choices
from services.trainer.datasets import Datasets
from services.trainer.engine import Engine, Task, open_engine
from services.trainer.models import Job, Model, ModelFile
from services.trainer.registry import ConversionResult, Golden, Registry
from services.trainer.settings import TrainerSettings
from services.trainer.store import JobStore
from services.trainer.unreadable import leave_out_unreadable

__all__ = ["Aborted", "Pipeline", "Run"]

TRAINING = "services.trainer.loop"  # the module of the first task
CONVERSION = "services.trainer.conversion"  # and of the second
FETCHED, TRAINED = 0.05, 0.70  # progress at the end of these stages
_SECONDS_A_SIMULATION = 0.1  # one picture at 128x128, alpha 0.5, on one core
_PROGRESS_EVERY_SECONDS = 0.5


class Aborted(Exception):
    """A person stopped the job before there was anything to keep."""


class Run:
    """A job while a thread works on it: its task, and what was asked of it meanwhile."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.stop_asked = threading.Event()
        self.killed = threading.Event()
        self._lock = threading.Lock()
        self._task: Task | None = None
        self._stoppable = False

    def start(
        self,
        engine: Engine,
        module: str,
        folder: Path,
        *arguments: str,
        log: str,
        workers: int = 1,
        stoppable: bool = False,
    ) -> Task:
        """A task that `kill` ends, and `stop` too when it is `stoppable`; the rest is as Engine.start has it."""
        with self._lock:
            task = self._task = engine.start(module, folder, *arguments, log=log, workers=workers)
            self._stoppable = stoppable
        if self.killed.is_set():
            task.kill()
        elif stoppable and self.stop_asked.is_set():
            task.stop()
        return task

    def stop(self) -> None:
        """End the training after its current step; nothing else is disturbed."""
        self.stop_asked.set()
        with self._lock:
            if self._task is not None and self._stoppable:
                self._task.stop()

    def kill(self) -> None:
        """The server ends: no task may outlive it."""
        self.killed.set()
        with self._lock:
            if self._task is not None:
                self._task.kill()


class Pipeline:
    """The stages and what they need; `work` runs in the thread of one job."""

    def __init__(self, settings: TrainerSettings, store: JobStore, registry: Registry, datasets: Datasets) -> None:
        self._settings = settings
        self._store = store
        self._registry = registry
        self._datasets = datasets
        self.engine = open_engine(settings)

    def folder(self, job_id: str) -> Path:
        """Where the job's pictures, checkpoints and converted files lie until it has ended well."""
        return self._settings.data_dir.resolve() / "jobs" / job_id

    def work(self, run: Run) -> str:
        """Do the whole job; returns its last state, DONE or STOPPED. Raises BoardloopError, Aborted, ChildKilled."""
        job = self._store.get(run.job_id)
        asked = ParseDict(job.parameters, trainer_pb2.TrainingParameters())
        folder = self.folder(job.id)
        folder.mkdir(parents=True, exist_ok=True)
        self._fetch(run, job, asked, folder)
        stopped = self._train(run, job, folder)
        self._finish(run, job, asked, folder)
        if not self._settings.keep_job_folders:
            shutil.rmtree(folder, ignore_errors=True)
        return "STOPPED" if stopped else "DONE"

    def _fetch(self, run: Run, job: Job, asked: trainer_pb2.TrainingParameters, folder: Path) -> None:
        self._store.change(job.id, state="FETCHING", line=f"Fetching data set version {job.version_id}.")
        told = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            if run.stop_asked.is_set() or run.killed.is_set():
                raise Aborted
            if time.monotonic() - told > _PROGRESS_EVERY_SECONDS:
                told = time.monotonic()
                self._store.change(job.id, progress=FETCHED * done / max(total, 1))

        def left_out(line: str) -> None:
            self._store.change(job.id, line=line)

        self._datasets.fetch(job.version_id, folder, progress, left_out if asked.skip_unreadable else None)
        if warning := parameters.from_scratch_warning(asked):
            self._store.change(job.id, line=warning)
        weights = self._start_of(asked, folder)
        distil_weights = parameters.teachers_weights(asked) if asked.distil else parameters.NONE
        teacher = parameters.pretrained(distil_weights, asked.distil, self._settings)
        config = parameters.config(
            asked, str(weights or ""), self._settings.training_threads, distil_weights=str(teacher or "")
        )
        (folder / "config.json").write_text(config.model_dump_json())
        parameters.choices(asked).write(folder)
        if run.stop_asked.is_set():
            raise Aborted

    def _start_of(self, asked: trainer_pb2.TrainingParameters, folder: Path) -> Path | None:
        """The file of weights to start from; a registered model's checkpoint is copied into the job folder."""
        weights = parameters.starting_weights(asked)
        if not weights.startswith(parameters.MODEL):
            return parameters.pretrained(weights, asked.backbone, self._settings)
        path = folder / "start.pt"
        path.write_bytes(self._registry.read(weights.removeprefix(parameters.MODEL), ""))
        return path

    def _source(self, asked: trainer_pb2.TrainingParameters) -> str:
        """Where the weights came from, through all models that were trained on from."""
        weights = parameters.starting_weights(asked)
        if not weights.startswith(parameters.MODEL):
            source = parameters.weights_source(weights, asked.backbone)
            if not asked.distil:
                return source
            taught = parameters.weights_source(parameters.teachers_weights(asked), asked.distil)
            return f"{source}; its teacher's: {taught}"
        model = self._registry.get(weights.removeprefix(parameters.MODEL))
        return f"model {model.id}, from {model.weights_source}"

    def _train(self, run: Run, job: Job, folder: Path) -> bool:
        """Train unless that is done; returns whether a person ended it early."""
        marker = folder / "trained.json"
        if not marker.exists():
            self._store.change(job.id, state="TRAINING", progress=FETCHED, line="Training.")
            done: Event = {"stopped": True}
            target = job.parameters["target"]
            count = int(job.parameters.get("workers", 1))
            task = run.start(self.engine, TRAINING, folder, target, log="train.log", workers=count, stoppable=True)
            try:
                for event in task.events():
                    done = event if event["type"] == "done" else done
                    self._follow(job, folder, event)
            except ChildKilled as error:
                if not run.stop_asked.is_set():
                    raise
                if not (folder / "best.pt").exists():  # the request came before the child could listen to it
                    raise Aborted from error
            marker.write_text(json.dumps({"stopped": done["stopped"]}))
        return bool(json.loads(marker.read_text())["stopped"])

    def _follow(self, job: Job, folder: Path, event: Event) -> None:
        if event["type"] == "log":
            self._store.change(job.id, line=event["message"])
            return
        if event["type"] not in ("step", "epoch"):
            return
        epochs = int(event["epochs"])
        share = (event["epoch"] - 1 + event["step"] / event["steps"]) / epochs
        progress = FETCHED + (TRAINED - FETCHED) * share
        left = event["seconds_left"] + _SECONDS_A_SIMULATION * event["validation"]
        if event["type"] == "step":
            self._store.change(job.id, progress=progress, seconds_left=left)
            return
        detection = _detection(event)
        quality = f"mAP50 {detection['map50']:.3f}" if detection else f"accuracy {event['val_accuracy']:.3f}"
        line = (
            f"Epoch {event['epoch']} of {epochs}: loss {event['loss']:.3f}, validation loss {event['val_loss']:.3f}, "
            f"{quality}, {event['images_per_s']:.0f} images/s."
        )
        self._store.add_epoch(
            job.id,
            line,
            progress,
            left,
            epoch=event["epoch"],
            train_loss=event["loss"],
            validation_loss=event["val_loss"],
            validation_accuracy=event.get("val_accuracy", 0.0),
            detection=detection,
            learning_rate=event["lr"],
            images_per_second=event["images_per_s"],
        )

    def _finish(self, run: Run, job: Job, asked: trainer_pb2.TrainingParameters, folder: Path) -> None:
        self._store.change(job.id, state="CONVERTING", progress=TRAINED, seconds_left=0.0, line="Evaluating.")
        task = run.start(self.engine, CONVERSION, folder, asked.target, log="convert.log")
        began = time.monotonic()
        done: Event = {}
        for event in task.events():
            done = event if event["type"] == "done" else done
            if event["type"] == "evaluated":
                model = self._register(job, asked, folder)
                line = f"Registered model {model.id}: {event['measure']} {event['quality']:.3f} in float."
                self._store.change(job.id, model_id=model.id, line=line)
            elif event["type"] == "log":
                self._store.change(job.id, line=event["message"])
            elif event["type"] == "progress":
                share = (event["file"] - 1 + event["done"] / event["total"]) / event["files"]
                left = (time.monotonic() - began) * (1 - share) / share if share else 0.0
                line = f"{event['stage'].capitalize()}." if event["done"] in (0, event["total"]) else ""
                progress = TRAINED + (1 - TRAINED) * (0.1 + 0.9 * share)
                self._store.change(job.id, progress=progress, seconds_left=left, line=line)
        file = self.register_file(self._store.get(job.id).model_id, asked.target, folder)
        line = f"{file.file_name}: {done['measure']} {done['quality']:.3f}, agreement {file.agreement:.3f}."
        self._store.change(job.id, line=line)

    def _register(self, job: Job, asked: trainer_pb2.TrainingParameters, folder: Path) -> Model:
        evaluation: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
        return self._registry.add_model(
            self._store.get(job.id),
            f"{asked.backbone}-{_sides(asked)}-{job.id}",
            (folder / "best.pt").read_bytes(),
            labels=evaluation["labels"],
            anchors=evaluation.pop("anchors"),
            backbone=asked.backbone,
            input_size=asked.input_size,
            evaluation=evaluation,
            parameters=json.loads((folder / "config.json").read_text()),
            weights_source=self._source(asked),
        )

    def register_file(self, model_id: str, target: str, folder: Path) -> ModelFile:
        """Put what the conversion child wrote under `folder` into the registry."""
        out = folder / "converted" / target
        result = ConversionResult(**json.loads((out / "result.json").read_text()))
        file = ModelFile(**vars(result))
        golden = Golden.parse((out / "golden.npz").read_bytes())
        return self._registry.add_file(model_id, file, (out / result.file_name).read_bytes(), golden)

    def convert(self, model: Model, target: str, chosen: Choices) -> ModelFile:
        """Convert a registered model for another target: fetches its data set version again. Takes up to minutes.

        UnsupportedModel: the chip cannot run it, or it answers too differently (ACCURACY_DROP).
        """
        folder = self._settings.data_dir.resolve() / "jobs" / f"convert-{model.id}-{target}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            skipped = bool(model.parameters.get("skip_unreadable"))  # named in the log of the training already
            self._datasets.fetch(model.version_id, folder, left_out=(lambda line: None) if skipped else None)
            if skipped:
                leave_out_unreadable(folder, lambda event: None)
            (folder / "best.pt").write_bytes(self._registry.read(model.id, ""))
            chosen.write(folder)
            for _ in self.engine.start(CONVERSION, folder, target, log="convert.log").events():
                pass
            return self.register_file(model.id, target, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _detection(event: Event) -> dict[str, float]:
    """The DetectionMetrics of an epoch event; {} of a classifier's."""
    names = {
        "map50": "val_map50",
        "map50_95": "val_map50_95",
        "box_loss": "loss_box",
        "object_loss": "loss_object",
        "class_loss": "loss_class",
    }
    return {name: event[key] for name, key in names.items()} if "val_map50" in event else {}


def _sides(asked: trainer_pb2.TrainingParameters) -> str:
    """Of the input, for the model's name: 128, or 320x224."""
    square = asked.input_height in (0, asked.input_size)
    return str(asked.input_size) if square else f"{asked.input_size}x{asked.input_height}"
