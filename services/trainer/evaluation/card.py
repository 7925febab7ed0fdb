"""A model's card: where it comes from and how good it is, in one message."""

from __future__ import annotations

from services.common.errors import NotFound
from services.common.rpc import to_timestamp
from services.rpc.boardloop.collector.v1 import collector_pb2
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.trainer.datasets import Datasets
from services.trainer.evaluation.lineage import lineage, started_from
from services.trainer.evaluation.messages import evaluation_message
from services.trainer.evaluation.store import EvaluationStore
from services.trainer.messages import job_message, model_message
from services.trainer.registry import Registry
from services.trainer.store import JobStore

__all__ = ["model_card"]

_EVALUATIONS = 20


def model_card(
    registry: Registry, jobs: JobStore, store: EvaluationStore, datasets: Datasets, model_id: str
) -> pb.ModelCard:
    """NotFound: there is no such model. A data set version that is gone leaves its figures 0."""
    generations = lineage(registry, jobs, model_id)
    model = generations[0]
    try:
        version = datasets.version(model.version_id)
    except NotFound:
        version = collector_pb2.DatasetVersion()
    done = [run for run in store.find(model_id=model_id) if run.state == "DONE"]
    return pb.ModelCard(
        model=model_message(model),
        parameters=job_message(jobs.get(model.job_id)).parameters,
        code_version=model.code_version,
        lineage=[
            pb.Ancestor(
                model_id=one.id,
                name=one.name,
                version_id=one.version_id,
                weights=started_from(jobs, one),
                created_at=to_timestamp(one.created_at),
            )
            for one in generations
        ],
        version_number=version.number,
        train_count=version.train_count,
        validation_count=version.validation_count,
        version_sha256=version.sha256,
        evaluations=[evaluation_message(run, whole=False) for run in done[:_EVALUATIONS]],
    )
