"""Live values for pages: one poller per question, however many tabs look at it, and none when nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from services.common.errors import BoardloopError
from services.common.logs import logger
from services.gateway.upstream import Upstream, ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as deployer
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["Feed", "Live", "Subscription"]

log = logger("gateway")
Value = TypeVar("Value")
RESULTS_SHOWN = 60


class Feed(Generic[Value]):
    """Asks again every `seconds` while somebody listens, and tells listeners when the answer has changed.

    A failed question keeps the last value: `error` says why it is old. A broken listener does not end the feed.
    """

    def __init__(self, question: Callable[[], Awaitable[Value]], seconds: float) -> None:
        self._question = question
        self._seconds = seconds
        self._listeners: set[Subscription[Value]] = set()
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self.value: Value | None = None
        self.error: BoardloopError | None = None

    def subscribe(self, listener: Callable[[Value], Awaitable[None]]) -> Subscription[Value]:
        """Calls `listener` with the known value, if any, and with each new one until the subscription ends."""
        subscription = Subscription(self, listener)
        self._listeners.add(subscription)
        if self._task is None:
            self._task = asyncio.create_task(self._poll(), name="feed")
        self.refresh()
        return subscription

    def refresh(self) -> None:
        """Asks at once: after the page itself has changed something."""
        self._wake.set()

    def drop(self, subscription: Subscription[Value]) -> None:
        """The last one out ends the poller."""
        self._listeners.discard(subscription)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task, self.value = None, None

    async def _poll(self) -> None:
        while True:
            self._wake.clear()
            changed = await self._ask()
            if self.value is not None:
                for subscription in [one for one in self._listeners if changed or not one.told]:
                    await self._tell(subscription, self.value)
            try:
                await asyncio.wait_for(self._wake.wait(), self._seconds)
            except TimeoutError:
                continue

    async def _ask(self) -> bool:
        try:
            value = await self._question()
        except BoardloopError as error:
            self.error = error
            return False
        self.error = None
        changed = value != self.value
        self.value = value
        return changed

    async def _tell(self, subscription: Subscription[Value], value: Value) -> None:
        subscription.told = True
        try:
            await subscription.listener(value)
        except BoardloopError as error:  # a question of the page itself failed: it gets another chance
            subscription.told = False
            log.warning("page not up to date", reason=error.reason, error=str(error))
        except Exception:
            log.exception("page failed to show a value")


@dataclass(eq=False)
class Subscription(Generic[Value]):
    """One listener of one feed."""

    feed: Feed[Value]
    listener: Callable[[Value], Awaitable[None]]
    told: bool = field(default=False)

    def end(self) -> None:
        """No more calls."""
        self.feed.drop(self)


class Live:
    """The feeds of one gateway, made when first asked for."""

    def __init__(self, upstream: Upstream) -> None:
        self._up = upstream
        self._feeds: dict[tuple[str, str], Feed[Any]] = {}

    def health(self) -> Feed[dict[str, bool]]:
        """Which services answer."""
        return self._feed("health", "", self._up.reachable, 3.0)

    def projects(self) -> Feed[collector.ListProjectsResponse]:
        """All projects."""
        return self._feed(
            "projects", "", lambda: ask(self._up.projects.ListProjects(collector.ListProjectsRequest())), 3.0
        )

    def project(self, project: str) -> Feed[collector.GetProjectResponse]:
        """One project with its labels."""
        request = collector.GetProjectRequest(project_id=project)
        return self._feed("project", project, lambda: ask(self._up.projects.GetProject(request)), 5.0)

    def counts(self, project: str) -> Feed[collector.CountCapturesResponse]:
        """Counts of a project and the revision that says whether its captures changed."""
        request = collector.CountCapturesRequest(project_id=project)
        return self._feed("counts", project, lambda: ask(self._up.captures.CountCaptures(request)), 1.0)

    def versions(self, project: str) -> Feed[collector.ListVersionsResponse]:
        """Data set versions."""
        request = collector.ListVersionsRequest(project_id=project)
        return self._feed("versions", project, lambda: ask(self._up.datasets.ListVersions(request)), 3.0)

    def jobs(self, project: str) -> Feed[trainer.ListJobsResponse]:
        """Training jobs, without their logs."""
        request = trainer.ListJobsRequest(project_id=project)
        return self._feed("jobs", project, lambda: ask(self._up.training.ListJobs(request)), 1.5)

    def job(self, job: str) -> Feed[trainer.GetJobResponse]:
        """One job with curves and log."""
        request = trainer.GetJobRequest(job_id=job)
        return self._feed("job", job, lambda: ask(self._up.training.GetJob(request)), 1.0)

    def models(self, project: str) -> Feed[trainer.ListModelsResponse]:
        """Models with their figures."""
        request = trainer.ListModelsRequest(project_id=project)
        return self._feed("models", project, lambda: ask(self._up.models.ListModels(request)), 3.0)

    def evaluations(self, model: str) -> Feed[trainer.ListEvaluationsResponse]:
        """Evaluations of a model, without their curves."""
        request = trainer.ListEvaluationsRequest(model_id=model)
        return self._feed("evaluations", model, lambda: ask(self._up.evaluations.ListEvaluations(request)), 2.0)

    def evaluation(self, evaluation: str) -> Feed[trainer.GetEvaluationResponse]:
        """One evaluation with all its figures."""
        request = trainer.GetEvaluationRequest(evaluation_id=evaluation)
        return self._feed("evaluation", evaluation, lambda: ask(self._up.evaluations.GetEvaluation(request)), 1.0)

    def boards(self, project: str) -> Feed[deployer.ListBoardsResponse]:
        """Boards with state and update progress."""
        request = deployer.ListBoardsRequest(project_id=project)
        return self._feed("boards", project, lambda: ask(self._up.boards.ListBoards(request)), 1.0)

    def releases(self, project: str) -> Feed[deployer.ListReleasesResponse]:
        """Releases with the state of each board."""
        request = deployer.ListReleasesRequest(project_id=project)
        return self._feed("releases", project, lambda: ask(self._up.releases.ListReleases(request)), 1.5)

    def results(self, project: str) -> Feed[deployer.ListResultsResponse]:
        """The newest results of a project's boards."""
        request = deployer.ListResultsRequest(project_id=project, limit=RESULTS_SHOWN)
        return self._feed("results", project, lambda: ask(self._up.boards.ListResults(request)), 1.5)

    def _feed(self, kind: str, key: str, question: Callable[[], Awaitable[Any]], seconds: float) -> Feed[Any]:
        return self._feeds.setdefault((kind, key), Feed(question, seconds))
