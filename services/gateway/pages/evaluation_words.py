"""States and subjects of evaluations as people read them."""

from __future__ import annotations

from services.common.errors import BoardloopError
from services.common.i18n import Translator
from services.gateway.pages.layout import Page
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["RESUMABLE", "RUNNING", "state_of", "subject", "version_numbers", "where"]

RUNNING = {"QUEUED", "FETCHING", "EVALUATING"}
RESUMABLE = {"FAILED", "STOPPED", "INTERRUPTED"}


def state_of(evaluation: trainer.EvaluationJob) -> tuple[str, str]:
    """Word and tone of its state."""
    word = trainer.EvaluationState.Name(evaluation.state).removeprefix("EVALUATION_STATE_")
    tones = {"DONE": "good", "FAILED": "bad", "INTERRUPTED": "warn", "STOPPED": "warn"}
    return word, tones.get(word, "accent")


def subject(evaluation: trainer.EvaluationJob, numbers: dict[str, int], t: Translator) -> str:
    """What is asked, on which pictures; `numbers` of the versions by their ids."""
    what, part = evaluation.target or t("models.float"), t(f"evaluation.part.{evaluation.part}")
    if evaluation.version_id in numbers:
        return t("evaluation.on", what=what, number=numbers[evaluation.version_id], part=part)
    return t("evaluation.on_unknown", what=what, id=evaluation.version_id, part=part)


async def version_numbers(page: Page, project_id: str) -> dict[str, int]:
    """By version id; none while the collector is away."""
    try:
        request = collector.ListVersionsRequest(project_id=project_id)
        answer = await ask(page.upstream.datasets.ListVersions(request))
    except BoardloopError:
        return {}
    return {version.id: version.number for version in answer.versions}


async def where(page: Page, evaluation: trainer.EvaluationJob) -> str:
    """`subject` with the numbers of the versions that there are now."""
    return subject(evaluation, await version_numbers(page, evaluation.project_id), page.t)
