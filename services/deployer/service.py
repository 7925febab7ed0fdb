"""The deployer as one thing to start and stop: used by __main__.py and by the all-in-one.

With the embedded broker: make the deployer, give the broker `authenticate`, start the broker, `use_broker`, then start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from services.common import topics
from services.common.database import Database, database_url
from services.common.errors import BoardloopError
from services.common.frames import AckReason, Kind
from services.common.keys import record_fernet
from services.common.logs import logger
from services.common.mqtt import service_bus
from services.common.objects import open_object_store
from services.common.rpc import RpcServer, open_channel
from services.deployer.accounts import AccountKeeper, Accounts, OwnBroker
from services.deployer.answers import Answers
from services.deployer.blocks import Blocks
from services.deployer.boards import Boards, Clock, utc_now
from services.deployer.bundle import TrainerModels
from services.deployer.dynsec import Dynsec
from services.deployer.pairing import Pairings
from services.deployer.presence import Presence
from services.deployer.releases import Releases
from services.deployer.results import Results
from services.deployer.rollouts import Rollouts
from services.deployer.roster import Roster
from services.deployer.server import Rooms, add_services
from services.deployer.sessions import Sessions
from services.deployer.settings import DeployerSettings
from services.deployer.signing import open_signer
from services.deployer.uplink import KINDS, Uplink
from services.deployer.vault import Vault
from services.deployer.wire import Wire

__all__ = ["SERVICE", "Deployer"]

SERVICE = "deployer"
MIGRATIONS = Path(__file__).parent / "migrations"
SWEEP_SECONDS = 15.0

log = logger(__name__)


class Deployer:
    """`authenticate` works from construction on; boards and callers are served between `start` and `stop`."""

    def __init__(self, settings: DeployerSettings, mqtt_url: str | None = None, *, clock: Clock = utc_now) -> None:
        """`mqtt_url`: the embedded broker's, instead of settings.mqtt_url. Unavailable: tables cannot be migrated."""
        if mqtt_url:
            settings = settings.model_copy(update={"mqtt_url": mqtt_url})
        self.settings = settings
        self.port = 0
        self._vault = Vault(settings.service_key)
        self._signer = open_signer(settings)
        self._database = Database(database_url(settings, SERVICE), SERVICE)
        self._database.migrate(MIGRATIONS)
        self._store = open_object_store(settings)
        self._boards = Boards(self._database, self._vault, clock)
        self._accounts = Accounts(self._boards, settings.service_key)
        self._pairings = Pairings(self._database, self._boards, self._vault, settings.pairing_minutes)
        self._presence = Presence(clock)
        self._keeper: AccountKeeper | None = None
        self._ended = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="deployer-sweep", daemon=True)
        self._connect_rooms()

    def authenticate(self, username: str, password: str) -> bool:
        """For the embedded broker, from any thread."""
        return self._accounts.authenticate(username, password)

    def use_broker(self, disconnect: Callable[[str], None]) -> None:
        """`disconnect(username)` of the embedded broker: revoked boards and used codes are cut off at once."""
        self._keeper = OwnBroker(disconnect)

    def start(self) -> int:
        """The gRPC port. Unavailable: a mosquitto whose accounts are ours to keep does not answer; else a broker that
        is away is waited for."""
        password = self.settings.dynsec_password.get_secret_value()
        if self._keeper is None and password:
            dynsec = Dynsec(self.settings.mqtt_url, self.settings.dynsec_username, password, self._accounts)
            self._keeper = dynsec
            dynsec.start()
        if self._keeper is None:
            log.warning("broker_accounts_not_kept", fix="Set BOARDLOOP_DYNSEC_PASSWORD, or boards cannot log in.")
        for kind in KINDS:
            self._bus.subscribe(topics.up("+", kind), self._uplink.receive)
        self._bus.subscribe(topics.STATE, self._presence.receive)
        self._bus.on_connect(self._roster.publish_all)
        self._bus.on_connect(self._rollouts.publish_all)
        self._bus.start()
        self._sweeper.start()
        add_services(self._server, self._rooms)
        self.port = self._server.start()
        log.info("deployer_ready", grpc_port=self.port, boards=len(self._boards.ids()), signing=self.settings.signing)
        return self.port

    def wait_connected(self, timeout: float) -> None:
        """Returns once the broker is reached; Unavailable after `timeout` seconds."""
        self._bus.wait_connected(timeout)

    def stop(self) -> None:
        """First no more calls, then no more frames, then the connections."""
        self._ended.set()
        self._server.stop()
        if self._sweeper.is_alive():
            self._sweeper.join()
        self._bus.stop()
        if isinstance(self._keeper, Dynsec):
            self._keeper.stop()
        self._channel.close()
        self._database.close()
        log.info("deployer_stopped")

    def _connect_rooms(self) -> None:
        settings, key = self.settings, self.settings.service_key
        self._bus = service_bus(settings, SERVICE)
        self._channel = open_channel(settings.trainer_address, key, settings.rpc_deadline_seconds)
        self._server = RpcServer(SERVICE, settings.grpc_address, key)
        self._answers = Answers(self._bus)
        database, boards, vault, answers = self._database, self._boards, self._vault, self._answers
        self._roster = Roster(self._bus, database, boards, vault, record_fernet(key))
        self._rollouts = Rollouts(database, boards, vault, answers)
        results = Results(database, boards)
        sessions = Sessions(database, boards, vault, answers, self._signer.modulus)
        sessions.changed, sessions.paired, sessions.proven = (
            self._accounts_changed,
            self._paired,
            self._rollouts.said_hello,
        )
        self._uplink = Uplink(boards, sessions, answers, self._presence)
        blocks = Blocks(self._store, self._rollouts, answers, settings.block_cache_bytes)
        self._uplink.handlers |= {
            Kind.PULL: blocks.pull,
            Kind.REPORT: self._rollouts.report,
            Kind.RESULT: results.add,
        }
        trainer = TrainerModels(self._channel)
        self._rooms = Rooms(
            settings=settings,
            pairings=self._pairings,
            releases=Releases(database, self._store, boards, vault, self._signer, trainer, self._rollouts),
            results=results,
            wire=Wire(database, boards, self._presence, self._rollouts),
            accounts_changed=self._accounts_changed,
            revoke=self._revoke,
        )

    def _accounts_changed(self, board_id: str) -> None:
        if self._keeper is not None:
            self._keeper.update(board_id)

    def _paired(self, board_id: str) -> None:
        """The code is void: who still uses it is cut off; collector and board hear of the new keys."""
        if self._keeper is not None:
            self._keeper.kick(f"{board_id}.pair")
        self._roster.publish(board_id)
        self._rollouts.publish(board_id)

    def _revoke(self, board_id: str) -> None:
        self._boards.revoke(board_id)
        self._answers.show(board_id, AckReason.UNKNOWN_BOARD)
        self._accounts_changed(board_id)
        if self._keeper is not None:
            for username in (board_id, f"{board_id}.pair"):
                self._keeper.kick(username)
        self._rollouts.end(board_id)
        self._roster.publish(board_id)
        self._presence.gone(board_id)

    def _sweep(self) -> None:
        """Codes that expired without use stop being logins of a mosquitto too."""
        while not self._ended.wait(SWEEP_SECONDS):
            self.sweep()

    def sweep(self) -> None:
        """One round of it; what fails is tried again in the next, and at the next start."""
        try:
            for board_id in self._pairings.sweep():
                self._accounts_changed(board_id)
        except BoardloopError as error:
            log.warning("sweep_failed", detail=str(error))
