"""EvaluationService of proto/boardloop/trainer/v1: each method calls the room that does the work."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

import grpc

from services.common.errors import FailedPrecondition, InvalidInput, TooManyRequests
from services.rpc.boardloop.collector.v1 import collector_pb2
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc
from services.trainer.datasets import Datasets
from services.trainer.evaluation.comparison import compare
from services.trainer.evaluation.messages import comparison_message, evaluation_message, outcome_message
from services.trainer.evaluation.outcomes import Outcome, Wanted, outcomes
from services.trainer.evaluation.queue import Evaluations
from services.trainer.evaluation.request import checked_confidence, checked_part
from services.trainer.evaluation.store import ENDED, EvaluationStore
from services.trainer.registry import Registry

__all__ = ["EvaluationService"]

WATCHERS = 6  # each holds a worker of the server; the others stay free for short calls
_WATCH_SECONDS = 1.0  # how soon a watcher notices that its caller went away
_PAGE, _LARGEST_PAGE = 60, 500
_READ_AT_ONCE = 4  # evaluations whose outcomes are kept in memory


class EvaluationService(trainer_pb2_grpc.EvaluationServiceServicer):
    def __init__(self, store: EvaluationStore, queue: Evaluations, registry: Registry, datasets: Datasets) -> None:
        self._store = store
        self._queue = queue
        self._registry = registry
        self._datasets = datasets
        self._read: OrderedDict[tuple[str, str], list[Outcome]] = OrderedDict()
        self._lock = threading.Lock()
        self._watchers = threading.BoundedSemaphore(WATCHERS)

    def StartEvaluation(
        self, request: pb.StartEvaluationRequest, context: grpc.ServicerContext
    ) -> pb.StartEvaluationResponse:
        part, confidence = checked_part(request.part), checked_confidence(request.confidence)
        model = self._registry.get(request.model_id)
        if request.target:
            self._registry.file(model.id, request.target)
        version = self._datasets.version(request.version_id)
        if version.project_id != model.project_id:
            raise FailedPrecondition(
                "VERSION_OF_ANOTHER_PROJECT",
                f"Data set version {version.id} does not belong to the project of model {model.name}.",
                fix="Choose a version of the same project.",
            )
        detects = model.task == "detection"
        if (version.task == collector_pb2.TASK_DETECTION) != detects:
            raise FailedPrecondition(
                "VERSION_OF_ANOTHER_TASK",
                f"Version {version.number} is for {'classification' if detects else 'detection'}, "
                f"model {model.name} is not.",
                fix="Choose a version of the model's kind, or make one.",
            )
        run = self._store.create(
            model.project_id, model.id, version.id, request.target, part, confidence, request.skip_unreadable
        )
        self._queue.submit(run)
        return pb.StartEvaluationResponse(evaluation=self._message(run.id))

    def GetEvaluation(
        self, request: pb.GetEvaluationRequest, context: grpc.ServicerContext
    ) -> pb.GetEvaluationResponse:
        return pb.GetEvaluationResponse(evaluation=self._message(request.evaluation_id))

    def ListEvaluations(
        self, request: pb.ListEvaluationsRequest, context: grpc.ServicerContext
    ) -> pb.ListEvaluationsResponse:
        if not request.project_id and not request.model_id:
            raise InvalidInput("EVALUATIONS_OF_WHAT", "Neither project_id nor model_id is given.", fix="Give one.")
        runs = self._store.find(request.project_id, request.model_id)
        return pb.ListEvaluationsResponse(evaluations=[evaluation_message(run, whole=False) for run in runs])

    def StopEvaluation(
        self, request: pb.StopEvaluationRequest, context: grpc.ServicerContext
    ) -> pb.StopEvaluationResponse:
        self._queue.ask_stop(request.evaluation_id)
        return pb.StopEvaluationResponse(evaluation=self._message(request.evaluation_id))

    def ResumeEvaluation(
        self, request: pb.ResumeEvaluationRequest, context: grpc.ServicerContext
    ) -> pb.ResumeEvaluationResponse:
        self._queue.resume(request.evaluation_id)
        return pb.ResumeEvaluationResponse(evaluation=self._message(request.evaluation_id))

    def WatchEvaluation(
        self, request: pb.WatchEvaluationRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchEvaluationResponse]:
        if not self._watchers.acquire(blocking=False):
            raise TooManyRequests(
                "TOO_MANY_WATCHERS",
                f"{WATCHERS} calls watch evaluations already.",
                fix="Close a page, or use GetEvaluation.",
            )
        try:
            yield from self._watch(request.evaluation_id, context)
        finally:
            self._watchers.release()

    def ListOutcomes(self, request: pb.ListOutcomesRequest, context: grpc.ServicerContext) -> pb.ListOutcomesResponse:
        wanted = Wanted(
            request.kind,
            request.truth if request.HasField("truth") else None,
            request.predicted if request.HasField("predicted") else None,
            (request.subset_kind, request.subset_name) if request.subset_kind else None,
        )
        begin, size = _page(request.page_token, request.page_size)
        found = [one for one in self._outcomes(request.evaluation_id) if wanted.takes(one)]
        return pb.ListOutcomesResponse(
            outcomes=[outcome_message(one) for one in found[begin : begin + size]],
            next_page_token=str(begin + size) if begin + size < len(found) else "",
            total=len(found),
        )

    def CompareEvaluations(
        self, request: pb.CompareEvaluationsRequest, context: grpc.ServicerContext
    ) -> pb.CompareEvaluationsResponse:
        first, second = self._store.get(request.first_id), self._store.get(request.second_id)
        made = compare(self._outcomes(first.id), self._outcomes(second.id))
        return comparison_message(first, second, made)

    def _outcomes(self, evaluation_id: str) -> list[Outcome]:
        run = self._store.get(evaluation_id)
        key = (run.id, str(run.ended_at))
        with self._lock:
            if key not in self._read:
                self._read[key] = outcomes(self._store.answers(run.id), run.confidence)
            self._read.move_to_end(key)
            while len(self._read) > _READ_AT_ONCE:
                self._read.popitem(last=False)
            return self._read[key]

    def _watch(self, evaluation_id: str, context: grpc.ServicerContext) -> Iterator[pb.WatchEvaluationResponse]:
        changes, told = self._store.changes, -1
        while context.is_active():
            seen = changes.count(evaluation_id)
            if seen != told:
                evaluation = self._message(evaluation_id)
                yield pb.WatchEvaluationResponse(evaluation=evaluation)
                told = seen
                if pb.EvaluationState.Name(evaluation.state).removeprefix("EVALUATION_STATE_") in ENDED:
                    return
            changes.wait(evaluation_id, seen, _WATCH_SECONDS)

    def _message(self, evaluation_id: str) -> pb.EvaluationJob:
        return evaluation_message(self._store.get(evaluation_id))


def _page(token: str, size: int) -> tuple[int, int]:
    if token and not token.isdecimal():
        raise InvalidInput("PAGE_TOKEN", f"{token!r} is no page token of ListOutcomes.", fix="Begin without a token.")
    return int(token or 0), min(size or _PAGE, _LARGEST_PAGE)
