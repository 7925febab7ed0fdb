"""Numbers, times and states as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.i18n import Translator
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as deployer
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = [
    "COLOURS", "ago", "best_words", "board_state", "clock", "date", "duration", "is_detector", "job_best", "job_state",
    "kilobytes", "label_colour", "percent", "quality", "release_state", "tag", "update_state",
]  # fmt: skip

MINUTE, HOUR, DAY = 60, 3600, 86400
# Distinct for the common kinds of colour blindness (Okabe and Ito, 2008), darkened for white text beside them.
COLOURS = ("#0f8f80", "#d55e00", "#3b7dd8", "#b8860b", "#a3508f", "#5b8c2a", "#c2410c", "#475569")
UNLABELLED = "#94a3b8"


def label_colour(label: str, labels: list[str]) -> str:
    """The same label has the same colour on every page of its project."""
    return COLOURS[labels.index(label) % len(COLOURS)] if label in labels else UNLABELLED


def percent(share: float) -> str:
    """0 to 1 as 97.5 %."""
    return f"{share * 100:.1f} %"


def kilobytes(size: int) -> str:
    """Bytes in the unit that reads best (powers of 1024)."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.0f} KiB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.2f} MiB"


def duration(seconds: float, t: Translator) -> str:
    """In one rounded unit."""
    if seconds < MINUTE:
        return t("time.seconds", n=max(1, round(seconds)))
    if seconds < HOUR:
        return t("time.minutes", n=round(seconds / MINUTE))
    if seconds < DAY:
        return t("time.hours", n=round(seconds / HOUR))
    return t("time.days", n=round(seconds / DAY))


def clock(seconds: float) -> str:
    """A countdown: 9:05."""
    whole = max(0, round(seconds))
    return f"{whole // MINUTE}:{whole % MINUTE:02d}"


def ago(stamp: Timestamp, t: Translator) -> str:
    """How long since; "never" for a timestamp that is not set."""
    if not stamp.seconds:
        return t("time.never")
    seconds = datetime.now(UTC).timestamp() - stamp.seconds
    return t("time.now") if seconds < 5 else t("time.ago", time=duration(seconds, t))


def date(stamp: Timestamp) -> str:
    """2026-11-22 13:40 in the server's time zone."""
    return stamp.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M") if stamp.seconds else "—"


def tag(text: str, tone: str = "") -> str:
    """HTML of a small rounded tag; tone: good, warn, bad, accent."""
    return f'<span class="tag {tone}">{escape(text)}</span>'


def job_state(job: trainer.Job) -> tuple[str, str]:
    """Word and tone of a job's state."""
    word = trainer.JobState.Name(job.state).removeprefix("JOB_STATE_")
    tones = {"DONE": "good", "FAILED": "bad", "INTERRUPTED": "warn", "STOPPED": "warn"}
    return word, tones.get(word, "accent")


def board_state(board: deployer.Board) -> tuple[str, str]:
    """Word and tone of a board's state."""
    word = deployer.BoardState.Name(board.state).removeprefix("BOARD_STATE_")
    return word, {"ONLINE": "good", "PAIRING": "warn", "REVOKED": "bad"}.get(word, "")


def update_state(state: deployer.UpdateState.ValueType) -> tuple[str, str]:
    """Word and tone of an update's state."""
    word = deployer.UpdateState.Name(state).removeprefix("UPDATE_STATE_").replace("UNSPECIFIED", "NONE")
    return word, {"COMMITTED": "good", "FAILED": "bad", "NONE": ""}.get(word, "accent")


def release_state(release: deployer.Release) -> tuple[str, str]:
    """Word and tone of a release's state."""
    word = deployer.ReleaseState.Name(release.state).removeprefix("RELEASE_STATE_")
    return word, {"DONE": "good", "AWAITING_SIGNATURE": "warn"}.get(word, "accent")


def is_detector(job: trainer.Job) -> bool:
    """Whether its epochs measure mAP."""
    return any(epoch.HasField("detection") for epoch in job.epochs)


def job_best(job: trainer.Job) -> float:
    """Of the epochs so far, the best accuracy or mAP50; 0 when there are none."""
    scores = (e.detection.map50 if e.HasField("detection") else e.validation_accuracy for e in job.epochs)
    return max(scores, default=0.0)


def best_words(job: trainer.Job, t: Translator) -> str:
    """The same as a sentence."""
    best = percent(job_best(job))
    return t("training.best_map", map=best) if is_detector(job) else t("training.best", accuracy=best)


def quality(evaluation: trainer.Evaluation) -> float:
    """The figure that stands for a model: accuracy, or mAP50 of a detector."""
    return evaluation.mean_average_precision if evaluation.task == "detection" else evaluation.accuracy
