"""When a last will is sent: embedded broker and mosquitto."""

from __future__ import annotations

from services.common.keys import new_board_id
from tests.common.broker_world import WAIT, World, silent_board


def test_the_last_will_comes_when_the_link_drops(world: World) -> None:
    name = world.add_user(new_board_id())
    _bus, inbox = world.service(f"bl/{name}/state")
    _, client = world.board(name, will=(f"bl/{name}/state", b'{"online": false}'))
    client.paho.publish(f"bl/{name}/state", b'{"online": true}', retain=True)
    inbox.wait(1)
    client.cut()
    assert inbox.wait(2)[1] == (f"bl/{name}/state", b'{"online": false}')
    _, late = world.service(f"bl/{name}/state")
    assert late.wait() == [(f"bl/{name}/state", b'{"online": false}')]


def test_the_last_will_comes_when_the_board_falls_silent(world: World) -> None:
    name = world.add_user(new_board_id())
    _, inbox = world.service(f"bl/{name}/state")
    with silent_board(world.broker, name, keepalive=1):
        assert inbox.wait() == [(f"bl/{name}/state", b"gone")]


def test_no_last_will_after_a_goodbye(world: World) -> None:
    name = world.add_user(new_board_id())
    bus, inbox = world.service(f"bl/{name}/state")
    _, client = world.board(name, will=(f"bl/{name}/state", b"gone"))
    client.close()
    bus.publish(f"bl/{name}/state", b"marker")
    assert inbox.wait() == [(f"bl/{name}/state", b"marker")]


def test_a_last_will_on_the_topic_of_another_board_is_never_sent(world: World) -> None:
    victim, name = world.add_user(new_board_id()), world.add_user(new_board_id())
    bus, inbox = world.service(f"bl/{victim}/state")
    client = world.connect(name, "right", name, will=(f"bl/{victim}/state", b"forged"))
    assert client.connected.wait(WAIT) or client.gone.wait(WAIT)
    if client.paho.is_connected():
        client.cut()
    world.settle(bus)
    bus.publish(f"bl/{victim}/state", b"marker")
    assert inbox.wait() == [(f"bl/{victim}/state", b"marker")]
