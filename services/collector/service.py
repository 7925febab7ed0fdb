"""The collector as one thing to start and stop: used by __main__.py and by the all-in-one."""

from __future__ import annotations

from pathlib import Path

from services.collector.answers import Answers
from services.collector.boards import BoardEntry, Roster
from services.collector.browse import Browser
from services.collector.captures import Captures
from services.collector.datasets import Datasets
from services.collector.ingest import Ingest
from services.collector.projects import Projects
from services.collector.server import Rooms, add_services
from services.collector.settings import CollectorSettings
from services.collector.thumbnails import Thumbnails
from services.common import topics
from services.common.database import Database, database_url
from services.common.errors import BoardloopError
from services.common.frames import Kind
from services.common.keys import record_fernet
from services.common.logs import logger
from services.common.mqtt import MqttMessage, service_bus
from services.common.objects import open_object_store
from services.common.rpc import RpcServer

__all__ = ["SERVICE", "Collector"]

SERVICE = "collector"
MIGRATIONS = Path(__file__).parent / "migrations"

log = logger("collector")


class Collector:
    """`start` returns when boards and callers are served, `stop` when everything taken is stored and answered."""

    def __init__(self, settings: CollectorSettings, mqtt_url: str | None = None) -> None:
        """`mqtt_url`: the embedded broker's, instead of settings.mqtt_url."""
        if mqtt_url:
            settings = settings.model_copy(update={"mqtt_url": mqtt_url})
        self.settings = settings
        self.port = 0
        key = settings.service_key.get_secret_value()
        self._database = Database(database_url(settings, SERVICE), SERVICE)
        self._store = open_object_store(settings)
        self._bus = service_bus(settings, SERVICE)
        self._answers = Answers(self._bus)
        self.roster = Roster(self._database, record_fernet(key))
        self.projects = Projects(self._database)
        self.captures = Captures(self._database, self._store)
        self.browser = Browser(self._database)
        self.datasets = Datasets(self._database, self._store)
        self._ingest = Ingest(settings, self.roster, self.projects, self.captures, self._store, self._answers)
        self._server = RpcServer(SERVICE, settings.grpc_address, key)

    def start(self) -> int:
        """The gRPC port. Unavailable when the database cannot be migrated; a broker that is away is waited for."""
        self._database.migrate(MIGRATIONS)
        self.roster.load()
        self.roster.changed = self._board_changed
        self.projects.changed = self._project_changed
        self._ingest.start()
        self._bus.subscribe(topics.RECORDS, self._record)  # before captures: a board's record comes ahead of its frames
        self._bus.subscribe(topics.up("+", Kind.CAPTURE), self._ingest.receive)
        self._bus.on_connect(self._connected)
        self._bus.start()
        add_services(self._server, self._rooms())
        self.port = self._server.start()
        log.info("collector_ready", grpc_port=self.port, boards=len(self.roster.all()))
        return self.port

    def wait_connected(self, timeout: float) -> None:
        """Returns once the broker is reached; Unavailable after `timeout` seconds."""
        self._bus.wait_connected(timeout)

    def stop(self) -> None:
        """First no more calls and frames, then the work in hand, then the connections."""
        self._server.stop()
        self._ingest.stop()
        self._bus.stop()
        self._database.close()
        log.info("collector_stopped")

    def _rooms(self) -> Rooms:
        return Rooms(
            settings=self.settings,
            store=self._store,
            projects=self.projects,
            captures=self.captures,
            browser=self.browser,
            datasets=self.datasets,
            thumbnails=Thumbnails(self.settings.thumbnail_cache_bytes),
        )

    def _record(self, message: MqttMessage) -> None:
        board_id = topics.board_of(message.topic)
        try:
            self.roster.receive(board_id, message.payload)
        except BoardloopError as error:
            log.warning("board_record_refused", board=board_id, detail=str(error))

    def _board_changed(self, board: BoardEntry, removed: bool) -> None:
        if removed or not board.active:
            self._answers.withdraw(board)
        else:
            self._answers.announce([board], self.projects)

    def _project_changed(self, project_id: str) -> None:
        boards = [board for board in self.roster.all() if board.project_id == project_id]
        self._answers.announce(boards, self.projects)

    def _connected(self) -> None:
        self._answers.announce(self.roster.all(), self.projects)
