"""The whole pre-flight check: parameters, counts, pictures, network, weights, time and disk in one answer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import InvalidInput
from services.common.i18n import CATALOGUE, Translator
from services.rpc.boardloop.collector.v1 import collector_pb2
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.trainer import advice, parameters
from services.trainer.datasets import Datasets
from services.trainer.estimate import Estimate
from services.trainer.preflight.counts import count_labels, count_problems, version_errors, without_broken
from services.trainer.preflight.look import Look, Looks, Seen
from services.trainer.preflight.pictures import picture_problems
from services.trainer.preflight.problems import Problem, Severity, error, note, warning
from services.trainer.preflight.speed import speed
from services.trainer.settings import TrainerSettings
from services.trainer.store import JobStore

__all__ = ["Preflight"]

BYTES_A_WEIGHT = 4 * (4 + 4 + 4)  # best and last checkpoint, each with optimiser and running average
_HELP = {  # parameters whose sentence has another name in the form
    "input_size": "input",
    "input_height": "input",
    "batch_size": "batch",
    "learning_rate": "rate",
    "max_accuracy_drop": "drop",
}
_ENGLISH = Translator("en")


@dataclass(frozen=True)
class Preflight:
    """`check` looks at the pictures of a version once and remembers; `refuse_errors` never looks."""

    settings: TrainerSettings
    datasets: Datasets
    store: JobStore
    looks: Looks

    def check(self, asked: pb.TrainingParameters, version: collector_pb2.DatasetVersion) -> pb.CheckTrainingResponse:
        """`asked`: resolved. Decodes up to 2,000 pictures, which takes some seconds at the first call."""
        look = self.looks.look(version.id, self.datasets.pictures(version.id))
        network = advice.estimate_of(asked, version)
        problems = self._problems(asked, version, look, network)
        unlabelled = self.datasets.unlabelled(version.project_id)
        if unlabelled and version.task != collector_pb2.TASK_DETECTION:
            problems.append(note("unlabelled", count=unlabelled))
        total = version.train_count + version.validation_count
        if len(look.seen) < total and not look.failure:
            problems.append(note("sample", count=len(look.seen), total=total))
        needed, free = self._disk(look, total, network)
        if needed > free:
            problems.append(error("disk_full", needed=needed >> 20, free=free >> 20))
        fatal = any(one.severity is Severity.ERROR for one in problems)
        rate = None if fatal else speed(asked, self.store.of_project(version.project_id))
        used, seen = _used(asked, version, look)
        pictures = asked.epochs * used.train_count
        return pb.CheckTrainingResponse(
            parameters=asked,
            notes=_notes(asked),
            labels=[
                pb.SplitCount(label=one.label, train=one.train, validation=one.validation)
                for one in count_labels(used, seen)
            ],
            problems=[_message(one) for one in sorted(problems, key=lambda one: -one.severity)],
            pictures=total,
            examined=len(look.seen),
            images_per_second=rate.images_per_second if rate else 0.0,
            seconds=pictures / rate.images_per_second if rate else 0.0,
            measured_in_job=bool(rate and rate.in_job),
            network=advice.estimate_message(network, asked),
            disk_needed_bytes=needed,
            disk_free_bytes=free,
        )

    def refuse_errors(self, asked: pb.TrainingParameters, version: collector_pb2.DatasetVersion) -> None:
        """UnsupportedModel or InvalidInput for the first error that is known without looking at the pictures anew."""
        advice.check_network(asked, version)
        look = self.looks.known(version.id) or Look(())
        used, _ = _used(asked, version, look)
        wrong = [*version_errors(used), *picture_problems(look.seen, *_input(asked), asked.skip_unreadable)]
        for one in wrong:
            if one.severity is Severity.ERROR:
                raise InvalidInput(one.code.upper(), one.message, fix=one.fix)

    def _problems(
        self, asked: pb.TrainingParameters, version: collector_pb2.DatasetVersion, look: Look, network: Estimate
    ) -> list[Problem]:
        width, height = _input(asked)
        used, seen = _used(asked, version, look)
        problems = version_errors(used)
        if look.failure:
            problems.append(error("unfetched", failure=look.failure))
        problems += picture_problems(look.seen, width, height, asked.skip_unreadable)
        problems += count_problems(used, seen, width, height, asked.balance_classes)
        if network.refusal and not (network.oversize and asked.allow_oversize):
            problems.append(error("network", reason=network.refusal))
        if network.oversize and asked.allow_oversize:
            problems.append(warning("oversize", reason=network.refusal))
        if network.unknown:
            problems.append(note("size_unknown", reason=network.unknown))
        if parameters.from_scratch_warning(asked):
            problems.append(warning("from_scratch", backbone=asked.backbone))
        return problems

    def _disk(self, look: Look, total: int, network: Estimate) -> tuple[int, int]:
        """Bytes that the job's folder will take, and that there are."""
        mean = sum(one.size for one in look.seen) / max(len(look.seen), 1)
        folder = self.settings.data_dir
        while not folder.exists():
            folder = folder.parent
        return int(mean * total) + BYTES_A_WEIGHT * network.parameters, shutil.disk_usage(folder).free


def _used(
    asked: pb.TrainingParameters, version: collector_pb2.DatasetVersion, look: Look
) -> tuple[collector_pb2.DatasetVersion, Sequence[Seen]]:
    """The version, and what was seen of it, as this training would have them."""
    return without_broken(version, look.seen) if asked.skip_unreadable else (version, look.seen)


def _input(asked: pb.TrainingParameters) -> tuple[int, int]:
    """Width and height, pixels."""
    return asked.input_size, asked.input_height or asked.input_size


def _message(one: Problem) -> pb.TrainingProblem:
    return pb.TrainingProblem(
        severity=pb.Severity.ValueType(int(one.severity)),
        code=one.code,
        message=one.message,
        fix=one.fix,
        facts=one.facts,
        capture_ids=one.captures,
    )


def _notes(asked: pb.TrainingParameters) -> list[pb.ParameterNote]:
    """Each parameter with the sentence of the form."""
    found = []
    for field in asked.DESCRIPTOR.fields:
        key = f"training.{_HELP.get(field.name, field.name)}_help"
        sentence = _ENGLISH(key) if key in CATALOGUE else ""
        found.append(pb.ParameterNote(name=field.name, value=_words(getattr(asked, field.name)), sentence=sentence))
    return found


def _words(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
