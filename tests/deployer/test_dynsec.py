"""mosquitto's accounts follow the deployer's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from services.common.errors import Unavailable
from services.deployer.dynsec import Dynsec
from services.deployer.service import Deployer
from tests.deployer.conftest import Site
from tests.servers import Mosquitto


@pytest.fixture
def dynsec(mosquitto_site: Site) -> Iterator[Dynsec]:
    keeper = mosquitto_site.deployer._keeper
    assert isinstance(keeper, Dynsec)
    yield keeper


def test_a_second_sync_changes_nothing_and_cuts_nobody_off(mosquitto_site: Site, dynsec: Dynsec) -> None:
    board = mosquitto_site.paired()
    mosquitto_site.board()
    assert dynsec.sync() == 0
    mosquitto_site.restart()
    board.hello()
    board.report(outbox=1)
    mosquitto_site.until(board, lambda b: b.outbox == 1, "the report over the old connection")
    assert not board.cut.is_set()


def test_what_was_lost_or_left_in_the_broker_is_put_right(
    mosquitto_site: Site, dynsec: Dynsec, own_mosquitto: Mosquitto
) -> None:
    mosquitto, board = own_mosquitto, mosquitto_site.paired()
    mosquitto.command("deleteClient", username=board.id)
    mosquitto.command("createClient", username="zzzzzzzzzz", password="left from another database")
    assert board.connect() != 0
    assert dynsec.sync() == 2
    assert board.connect() == 0
    assert dynsec.sync() == 0


def test_a_board_keeps_to_its_client_id(mosquitto_site: Site) -> None:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    board = mosquitto_site.paired()
    codes: list[int] = []
    thief = paho.Client(CallbackAPIVersion.VERSION2, "somebody-else", reconnect_on_failure=False)
    thief.username_pw_set(board.id, board.keys.mqtt_password)
    thief.on_connect = lambda *event: codes.append(event[3].value)
    thief.connect("127.0.0.1", board.port)
    while not codes:
        thief.loop(1)
    thief.disconnect()
    assert codes[0] != 0


def test_an_admin_with_a_wrong_password_is_said_at_the_start(
    mosquitto_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.deployer.dynsec.ANSWER_SECONDS", 1.0)
    settings = mosquitto_site.settings.model_copy(update={"dynsec_password": SecretStr("wrong")})
    deployer = Deployer(settings)
    with pytest.raises(Unavailable) as caught:
        deployer.start()
    assert "admin" in caught.value.message
    deployer.stop()


def test_a_broker_that_allows_by_default_is_closed(
    mosquitto_site: Site, dynsec: Dynsec, own_mosquitto: Mosquitto
) -> None:
    allowed = [{"acltype": kind, "allow": True} for kind in ("publishClientSend", "subscribe")]
    own_mosquitto.command("setDefaultACLAccess", acls=allowed)
    assert dynsec.sync() == 1
    assert dynsec.sync() == 0
    own_mosquitto.command("getDefaultACLAccess")
    assert not any(acl["allow"] for acl in own_mosquitto._answers[0]["data"]["acls"])
