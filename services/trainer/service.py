"""The trainer as one thing to start and stop: used by __main__.py and by the all-in-one."""

from __future__ import annotations

from pathlib import Path

from services.common.database import Database, database_url
from services.common.logs import logger
from services.common.objects import open_object_store
from services.common.rpc import RpcServer, open_channel
from services.trainer.datasets import Datasets
from services.trainer.evaluation.queue import Evaluations
from services.trainer.evaluation.runner import Runner
from services.trainer.evaluation.store import EvaluationStore
from services.trainer.jobs import Jobs
from services.trainer.pipeline import Pipeline
from services.trainer.prediction import Predictor
from services.trainer.registry import Registry
from services.trainer.server import RPC_WORKERS, Rooms, add_services
from services.trainer.settings import TrainerSettings
from services.trainer.store import JobStore

__all__ = ["SERVICE", "Trainer"]

SERVICE = "trainer"
MIGRATIONS = Path(__file__).parent / "migrations"

log = logger("trainer")


class Trainer:
    """`start` returns when callers are served; `stop` ends running jobs as INTERRUPTED, to be resumed later."""

    def __init__(self, settings: TrainerSettings) -> None:
        self.settings = settings
        self.port = 0
        key = settings.service_key
        self._database = Database(database_url(settings, SERVICE), SERVICE)
        self._channel = open_channel(settings.collector_address, key, settings.rpc_deadline_seconds)
        self._server = RpcServer(SERVICE, settings.grpc_address, key, workers=RPC_WORKERS)
        store = JobStore(self._database)
        objects = open_object_store(settings)
        registry = Registry(self._database, objects)
        datasets = Datasets(self._channel, settings.fetch_deadline_seconds, settings.dataset_max_bytes)
        pipeline = Pipeline(settings, store, registry, datasets)
        self._jobs = Jobs(store, pipeline, settings.concurrent_jobs)
        evaluations = EvaluationStore(self._database, objects)
        self._evaluations = Evaluations(evaluations, Runner(settings, evaluations, store, registry, datasets))
        self._rooms = Rooms(
            store,
            self._jobs,
            datasets,
            pipeline,
            registry,
            Predictor(registry),
            settings,
            evaluations,
            self._evaluations,
        )

    def start(self) -> int:
        """The gRPC port. Unavailable when the database cannot be migrated or the address is taken."""
        self._database.migrate(MIGRATIONS)
        add_services(self._server, self._rooms)
        self.port = self._server.start()
        self._jobs.start()
        self._evaluations.start()
        log.info("trainer_ready", grpc_port=self.port)
        return self.port

    def stop(self) -> None:
        """First the jobs, so that whoever watches one still hears of its end; then the calls and the connections."""
        self._jobs.stop()
        self._evaluations.stop()
        self._server.stop()
        self._channel.close()
        self._database.close()
        log.info("trainer_stopped")
