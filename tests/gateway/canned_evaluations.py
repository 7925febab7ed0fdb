"""Evaluations as the trainer would give them: a classifier's of 80 pictures, and a detector's of 30."""

from __future__ import annotations

import random
from typing import Any

from services.common.errors import FailedPrecondition, NotFound
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as t
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc as tg
from services.trainer.detection import Box, Detection, Truth
from services.trainer.evaluation.answers import Answers, Classified, Detected, Facts
from services.trainer.evaluation.comparison import compare
from services.trainer.evaluation.messages import figures_message, outcome_message
from services.trainer.evaluation.outcomes import Wanted, outcomes
from services.trainer.evaluation.summary import summarise

__all__ = ["CannedEvaluations", "classified", "detected"]

BOARDS = ("abcdefgh23", "mnopqrst45")
LABELS = ("functional", "defective")


def classified(seed: int = 1) -> Answers:
    """The second board's pictures are darker, and its defects are often missed."""
    chance, pictures = random.Random(seed), []
    for index in range(80):
        truth, second = int(index % 3 == 2), index % 2 == 1
        sure = min(max(chance.gauss(0.35 if truth and second else 0.85, 0.12), 0.03), 0.99)
        facts = Facts(f"{index:032x}", BOARDS[second], chance.uniform(0.1, 0.4) + 0.3 * (not second), index < 5)
        pictures.append(Classified(facts, truth, (sure, 1 - sure) if truth == 0 else (1 - sure, sure)))
    return Answers("classification", LABELS, 2, tuple(pictures))


def detected(seed: int = 1) -> Answers:
    """Some objects are missed, some get the other label, some boxes are of nothing."""
    chance, pictures = random.Random(seed), []
    for index in range(30):
        truths, found = [], []
        for place in range(index % 4):
            left, top = 0.08 + 0.3 * (place % 3), 0.1 + 0.4 * chance.random()
            box = Box(left, top, left + 0.24, top + 0.3)
            label = chance.randrange(2)
            truths.append(Truth(label, box))
            if chance.random() < 0.8:
                said = label if chance.random() < 0.85 else 1 - label
                found.append(Detection(said, chance.uniform(0.4, 0.95), Box(*(side + 0.015 for side in box))))
        if index % 5 == 0:
            found.append(Detection(0, chance.uniform(0.1, 0.7), Box(0.55, 0.7, 0.8, 0.95)))
        found.sort(key=lambda one: -one.confidence)
        facts = Facts(f"{index:032x}", BOARDS[index % 2], chance.random())
        pictures.append(Detected(facts, (224, 224), tuple(truths), tuple(found)))
    return Answers("detection", LABELS, 2, tuple(pictures))


class CannedEvaluations(tg.EvaluationServiceServicer):
    """Evaluations that end when a test says so."""

    evaluations: dict[str, t.EvaluationJob]
    answers: dict[str, Answers]
    models: dict[str, t.Model]

    def end(self, evaluation: str, answers: Answers) -> None:
        """It is done, with these answers."""
        job = self.evaluations[evaluation]
        job.state, job.progress = t.EVALUATION_STATE_DONE, 1.0
        job.figures.CopyFrom(figures_message(summarise(answers, 0.3 if answers.task == "detection" else 0.0)))
        job.ended_at.GetCurrentTime()
        self.answers[evaluation] = answers

    def StartEvaluation(self, request: t.StartEvaluationRequest, context: Any) -> t.StartEvaluationResponse:
        model = self.models[request.model_id]
        job = t.EvaluationJob(
            id=f"{len(self.evaluations) + 0xE0:012x}", project_id=model.project_id, model_id=model.id,
            version_id=request.version_id, target=request.target, part=request.part or "validation",
            confidence=request.confidence, skip_unreadable=request.skip_unreadable,
            state=t.EVALUATION_STATE_QUEUED, log=["Waiting."],
        )  # fmt: skip
        job.created_at.GetCurrentTime()
        self.evaluations[job.id] = job
        return t.StartEvaluationResponse(evaluation=job)

    def GetEvaluation(self, request: t.GetEvaluationRequest, context: Any) -> t.GetEvaluationResponse:
        return t.GetEvaluationResponse(evaluation=self._evaluation(request.evaluation_id))

    def ListEvaluations(self, request: t.ListEvaluationsRequest, context: Any) -> t.ListEvaluationsResponse:
        mine = [
            one
            for one in reversed(self.evaluations.values())
            if request.model_id in ("", one.model_id) and request.project_id in ("", one.project_id)
        ]
        return t.ListEvaluationsResponse(evaluations=mine)

    def StopEvaluation(self, request: t.StopEvaluationRequest, context: Any) -> t.StopEvaluationResponse:
        job = self._evaluation(request.evaluation_id)
        if job.state == t.EVALUATION_STATE_DONE:
            raise FailedPrecondition("EVALUATION_ENDED", f"Evaluation {job.id} is DONE.", fix="Nothing to stop.")
        job.state = t.EVALUATION_STATE_STOPPED
        return t.StopEvaluationResponse(evaluation=job)

    def ResumeEvaluation(self, request: t.ResumeEvaluationRequest, context: Any) -> t.ResumeEvaluationResponse:
        job = self._evaluation(request.evaluation_id)
        job.state = t.EVALUATION_STATE_QUEUED
        return t.ResumeEvaluationResponse(evaluation=job)

    def ListOutcomes(self, request: t.ListOutcomesRequest, context: Any) -> t.ListOutcomesResponse:
        wanted = Wanted(
            request.kind,
            request.truth if request.HasField("truth") else None,
            request.predicted if request.HasField("predicted") else None,
            (request.subset_kind, request.subset_name) if request.subset_kind else None,
        )
        answers = self.answers[request.evaluation_id]
        found = [one for one in outcomes(answers, 0.3 if answers.task == "detection" else 0.0) if wanted.takes(one)]
        shown = found[: request.page_size]
        more = str(len(shown)) if len(shown) < len(found) else ""
        return t.ListOutcomesResponse(
            outcomes=[outcome_message(one) for one in shown], next_page_token=more, total=len(found)
        )

    def CompareEvaluations(self, request: t.CompareEvaluationsRequest, context: Any) -> t.CompareEvaluationsResponse:
        made = compare(outcomes(self.answers[request.first_id]), outcomes(self.answers[request.second_id]))
        return t.CompareEvaluationsResponse(
            first=self._evaluation(request.first_id),
            second=self._evaluation(request.second_id),
            common_images=made.common,
            first_right=made.first_right,
            second_right=made.second_right,
            mended=made.mended,
            broken=made.broken,
            chance=made.chance,
        )

    def _evaluation(self, evaluation: str) -> t.EvaluationJob:
        if evaluation not in self.evaluations:
            raise NotFound("EVALUATION_NOT_FOUND", f"There is no evaluation {evaluation!r}.")
        return self.evaluations[evaluation]
