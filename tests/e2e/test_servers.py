"""The loop on mosquitto, PostgreSQL and S3: first in one process, then as four, which go on with what the one left."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from services.allinone import AllInOne
from services.client import Client
from services.virtualboard import VirtualBoards
from tests.e2e.cluster import Cluster, processes
from tests.e2e.loop import PASSWORD, Person, Shot, Station, first_login, settings_in, uploaded
from tests.e2e.pictures import cell
from tests.servers import Mosquitto


@dataclass
class Servers:
    """Addresses of what a cluster has, and the key that its services share."""

    mqtt_url: str
    database_url: str
    object_store_url: str
    admin_password: str
    service_key: str

    @property
    def secret(self) -> dict[str, str]:
        """As the Kubernetes secret `boardloop` names them."""
        return {
            "service-key": self.service_key,
            "mqtt-admin-password": self.admin_password,
            "database-url": self.database_url,
            "object-store-url": self.object_store_url,
        }


@pytest.fixture(scope="module")
def servers(mosquitto: Mosquitto, postgres_url: str, s3_url: str) -> Iterator[Servers]:
    """A database and a bucket of our own on the session's servers."""
    name = f"loop_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
        database = f"{postgres_url.rpartition('/')[0]}/{name}"
        bucket = s3_url.replace("/boardloop?", f"/{name.replace('_', '-')}?")
        yield Servers(mosquitto.url, database, bucket, mosquitto.admin_password, key)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_loop_runs_on_real_servers_in_one_process_and_goes_on_in_four(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with VirtualBoards(tmp_path / "boards") as fleet:
        monkeypatch.setenv("BOARDLOOP_DYNSEC_PASSWORD", servers.admin_password)
        one = AllInOne(
            settings_in(
                tmp_path / "data",
                mqtt_url=servers.mqtt_url,
                database_url=servers.database_url,
                object_store_url=servers.object_store_url,
                service_key=SecretStr(servers.service_key),
            )
        )
        try:
            one.start()
            with first_login(one.url, one.first_password) as client:
                person, station, model, shots = whole_loop(client, one.url, fleet)
        finally:
            one.stop()
        assert not list((tmp_path / "data").glob("**/*.db")) and not (tmp_path / "data" / "objects").exists()
        four = Cluster(
            tmp_path,
            servers.secret,
            servers.mqtt_url,
            BOARDLOOP_RELEASE_KEY=str(
                tmp_path / "data" / "release_key.pem"
            ),  # boards trust the key they were paired with
            BOARDLOOP_BOARD_HOST="127.0.0.1",
        )
        with processes(four, tmp_path) as running:
            with Client.login(four.url, "admin", PASSWORD, "four") as client:
                goes_on(Person(client, person.project), station, model, shots, fleet)
            assert all(process.poll() is None for process in running.values())


def whole_loop(client: Client, url: str, fleet: VirtualBoards) -> tuple[Person, Station, dict[str, Any], Counter[Shot]]:
    person = Person.with_project(client)
    station = person.pair(fleet, "line 1")
    shots = person.press(station, "functional", [cell("functional", n) for n in range(3)])
    shots += person.press(station, "defective", [cell("defective", n) for n in range(3)])
    person.wait_outbox_empty(station)
    assert person.stored() == Counter(shots)
    uploaded(url, person.project, 24)
    model = person.train()
    release = person.release(model)
    assert person.wait_release(release) == {station.id: ("COMMITTED", "")}
    assert person.classify(station, cell("functional", 50))["release_id"] == release
    return person, station, model, person.stored()


def goes_on(
    person: Person, station: Station, model: dict[str, Any], before: Counter[Shot], fleet: VirtualBoards
) -> None:
    """The paired board comes back by itself, a new one joins, and the model in the registry is released to both."""
    shots = person.press(station, "defective", [cell("defective", n) for n in range(10, 13)])
    person.wait_outbox_empty(station)
    assert person.stored() - before == Counter(shots)
    new = person.pair(fleet, "line 2")
    release = person.release(model, name="from the cluster")
    assert person.wait_release(release) == {one.id: ("COMMITTED", "") for one in (station, new)}
    for one in (station, new):
        assert person.classify(one, cell("defective", 51))["release_id"] == release
