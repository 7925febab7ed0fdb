"""Boardloop on one machine: broker, store, databases and the four services in one process, data in one folder.

    boards ── MQTT ──> broker ── collector, deployer
    people ── HTTP ──> gateway ── gRPC ──> collector, trainer, deployer

The services talk over gRPC on loopback exactly as they do in a cluster; only their addresses are picked here.
"""

from __future__ import annotations

import fcntl
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from services.collector.service import Collector
from services.collector.settings import CollectorSettings
from services.common.broker import EmbeddedBroker
from services.common.errors import FailedPrecondition
from services.common.keys import DEFAULT_PORT
from services.common.logs import logger
from services.common.settings import CommonSettings, load_or_create_service_key
from services.deployer.service import Deployer
from services.deployer.settings import DeployerSettings
from services.gateway.service import Gateway
from services.gateway.settings import GatewaySettings
from services.trainer.service import Trainer
from services.trainer.settings import TrainerSettings

__all__ = ["AllInOne", "AllInOneSettings"]

log = logger("allinone")
S = TypeVar("S", bound=CommonSettings)


class AllInOneSettings(CommonSettings):
    """Where this machine listens; all else is set by the variables of the services."""

    mqtt_host: str = Field("0.0.0.0", description="Address of the embedded broker; boards come over the WiFi.")
    mqtt_port: int = Field(1883, ge=0, le=65535, description="Port of the embedded broker; 0 picks a free one.")
    host: str = Field("127.0.0.1", description="Address of the web page; 0.0.0.0 lets other machines in.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the web page; 0 picks a free one.")
    board_host: str = Field("", description="Address that pairing codes give to boards; empty: this machine's own.")


class AllInOne:
    """Everything in one process. `start()` returns when every part answers; `stop()` ends them in reverse order."""

    def __init__(self, settings: AllInOneSettings) -> None:
        """FailedPrecondition (DATA_IN_USE): another Boardloop runs on this data folder."""
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # databases hold what only we may read
        self._lock = lock_folder(settings.data_dir)
        if not settings.service_key.get_secret_value():
            key = SecretStr(load_or_create_service_key(settings.data_dir))
            settings = settings.model_copy(update={"service_key": key})
        self.settings = settings
        self.mqtt_port = broker_address(settings.mqtt_url)[1] or settings.mqtt_port or free_port()
        self.addresses = free_addresses("collector", "trainer", "deployer")
        self.broker: EmbeddedBroker | None = None
        self.collector: Collector | None = None
        self.trainer: Trainer | None = None
        self.deployer: Deployer | None = None
        self.gateway: Gateway | None = None

    def start(self) -> None:
        """Unavailable: a port is taken, or a broker, store or database that a variable names does not answer."""
        self.deployer = Deployer(
            self._settings(
                DeployerSettings,
                "deployer",
                board_host=self.board_host,
                board_port=self.mqtt_port,
                **self._peer("trainer"),
            )
        )
        if not self.settings.mqtt_url:
            self.start_broker()
        self.start_collector()
        self.trainer = Trainer(self._settings(TrainerSettings, "trainer", **self._peer("collector")))
        self.trainer.start()
        self.deployer.start()
        self.gateway = Gateway(self._gateway_settings())
        self.gateway.start()
        log.info("boardloop_started", page=self.url, broker=self.mqtt_url, data=str(self.settings.data_dir))

    def stop(self) -> None:
        """Ends every part; safe after a start() that failed half-way."""
        for part in (self.gateway, self.deployer, self.trainer, self.collector, self.broker):
            if part is not None:
                part.stop()
        self._lock.close()

    def start_broker(self) -> None:
        """The embedded one; a new one has the port of the one before, and services and boards come back to it."""
        assert self.deployer is not None, "the deployer keeps the broker's accounts"
        self.broker = EmbeddedBroker(self.settings.mqtt_host, self.mqtt_port, self.deployer.authenticate)
        self.broker.start()
        self.deployer.use_broker(self.broker.disconnect)

    def stop_broker(self) -> None:
        """Cuts everybody off, as a crash would: nothing that it held outlives it."""
        if self.broker is not None:
            self.broker.stop()
            self.broker = None

    def start_collector(self) -> None:
        """The first one, or a new one at the address that the others know."""
        self.collector = Collector(self._settings(CollectorSettings, "collector"))
        self.collector.start()

    def stop_collector(self) -> None:
        """Takes the collector away as an upgrade would; boards keep what it does not answer."""
        if self.collector is not None:
            self.collector.stop()
            self.collector = None

    @property
    def url(self) -> str:
        """Address of the web page and the REST API."""
        return self.gateway.url if self.gateway else ""

    @property
    def first_password(self) -> str | None:
        """The admin's one-time password, on the first start only."""
        return self.gateway.first_password if self.gateway else None

    @property
    def mqtt_url(self) -> str:
        """Where the services find the broker."""
        return self.settings.mqtt_url or f"mqtt://127.0.0.1:{self.mqtt_port}"

    @property
    def board_host(self) -> str:
        """The broker's address that boards are told."""
        return self.settings.board_host or broker_address(self.settings.mqtt_url)[0] or own_address()

    def _peer(self, *names: str) -> dict[str, Any]:
        return {f"{name}_address": self.addresses[name] for name in names}

    def _gateway_settings(self) -> GatewaySettings:
        own: dict[str, Any] = {"host": self.settings.host, "port": self.settings.port}
        return GatewaySettings(**self._shared(), **own, **self._peer("collector", "trainer", "deployer"))

    def _settings(self, kind: type[S], service: str, **own: Any) -> S:
        """One service's settings: what all share and `own` are given, its other fields come from the environment."""
        return kind(**self._shared(), grpc_address=self.addresses[service], **own)

    def _shared(self) -> dict[str, Any]:
        shared = self.settings.model_dump(include=set(CommonSettings.model_fields) - {"metrics_port"})
        return {**shared, "mqtt_url": self.mqtt_url}


def lock_folder(folder: Path) -> IO[str]:
    """Holds `<folder>/lock` until closed or the process ends. FailedPrecondition (DATA_IN_USE): it is held."""
    file = (folder / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise FailedPrecondition(
            "DATA_IN_USE",
            f"Another Boardloop runs on {folder}.",
            fix="Stop it, or give this one a folder of its own in BOARDLOOP_DATA_DIR.",
        ) from error
    return file


def broker_address(mqtt_url: str) -> tuple[str, int]:
    """Host and port at which boards find a broker that is not ours; "" when it is on this machine, 0 without one."""
    if not mqtt_url:
        return "", 0
    parts = urlsplit(mqtt_url)
    host = parts.hostname or ""
    return "" if host in ("localhost", "127.0.0.1", "::1") else host, parts.port or DEFAULT_PORT


def own_address() -> str:
    """This machine's IPv4 address in its network; 127.0.0.1 without one. Nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737): only the route is looked up
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def free_addresses(*names: str) -> dict[str, str]:
    """host:port for each; the ports are held until all are chosen, so that no two are the same."""
    with ExitStack() as held:
        probes = {name: held.enter_context(socket.socket()) for name in names}
        for probe in probes.values():
            probe.bind(("127.0.0.1", 0))
        return {name: f"127.0.0.1:{probe.getsockname()[1]}" for name, probe in probes.items()}


def free_port(wanted: int = 0) -> int:
    """A loopback TCP port that nobody listens on: `wanted` if it is one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            if not wanted:
                raise
            return free_port()
        return int(probe.getsockname()[1])
