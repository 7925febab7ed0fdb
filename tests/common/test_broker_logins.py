"""Who may connect, and who is thrown out: embedded broker and mosquitto."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.errors import Unavailable
from services.common.keys import new_board_id
from services.common.mqtt import MqttBus
from tests.common.broker_world import WAIT, World


def refused(world: World, username: str | None, password: str | None, client_id: str, **options: Any) -> bool:
    client = world.connect(username, password, client_id, **options)
    assert client.connected.wait(WAIT) or client.gone.wait(WAIT)
    return client.refusal is not None or not client.paho.is_connected()


def test_a_wrong_password_is_refused(world: World) -> None:
    board = world.add_user(new_board_id())
    assert refused(world, board, "wrong", board)


def test_an_unknown_user_is_refused(world: World) -> None:
    board = new_board_id()
    assert refused(world, board, "right", board)


def test_an_anonymous_client_is_refused(world: World) -> None:
    assert refused(world, None, None, "anyone")


def test_a_board_cannot_log_in_with_the_client_id_of_another(world: World) -> None:
    victim, client = world.board()
    thief = world.add_user(new_board_id())
    assert refused(world, thief, "right", victim)
    assert client.paho.is_connected()


def test_a_failed_login_does_not_disturb_the_board(world: World) -> None:
    board, client = world.board()
    client.subscribe(f"bl/{board}/down/#")
    assert refused(world, board, "wrong", board)
    bus, _ = world.service()
    bus.publish(f"bl/{board}/down/ack", b"still here")
    assert client.inbox.wait() == [(f"bl/{board}/down/ack", b"still here")]


def test_the_newer_connection_of_a_board_wins(world: World) -> None:
    name = world.add_user(new_board_id())
    _, inbox = world.service(f"bl/{name}/state", f"bl/{name}/up/#")
    _, old = world.board(name, will=(f"bl/{name}/state", b"offline"))
    _, new = world.board(name)
    assert old.gone.wait(WAIT)
    new.paho.publish(f"bl/{name}/up/hello", b"hello")
    assert inbox.wait(2) == [(f"bl/{name}/state", b"offline"), (f"bl/{name}/up/hello", b"hello")]


def test_a_revoked_board_is_out_at_once_and_stays_out(world: World) -> None:
    name = world.add_user(new_board_id())
    _, client = world.board(name)
    world.broker.remove_user(name)
    assert client.gone.wait(2)
    assert refused(world, name, "right", name)


def test_revoking_one_board_leaves_the_others(world: World) -> None:
    board, client = world.board()
    other = world.add_user(new_board_id())
    world.board(other)
    world.broker.remove_user(other)
    _, inbox = world.service(f"bl/{board}/up/#")
    client.paho.publish(f"bl/{board}/up/capture", b"here")
    assert inbox.wait() == [(f"bl/{board}/up/capture", b"here")]


def test_a_bus_that_is_refused_says_so(world: World) -> None:
    bus = MqttBus(world.broker.url, "service.nobody", "wrong")
    bus.start()
    with pytest.raises(Unavailable, match=r"service\.nobody"):
        bus.wait_connected(1)
    bus.stop()
