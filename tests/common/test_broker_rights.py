"""Which topics a board may use: embedded broker and mosquitto."""

from __future__ import annotations

import pytest

from services.common.keys import new_board_id
from tests.common.broker_world import World


def test_a_pairing_board_uses_the_topics_of_its_id(world: World) -> None:
    board, client = world.board(world.add_user(new_board_id() + ".pair"))
    _, inbox = world.service(f"bl/{board}/up/#")
    assert client.subscribe(f"bl/{board}/down/#")
    client.paho.publish(f"bl/{board}/up/hello", b"hello")
    assert inbox.wait() == [(f"bl/{board}/up/hello", b"hello")]


@pytest.mark.parametrize(
    "topic", ["bl/{other}/up/capture", "bl/{other}/state", "bl/{own}/down/ack", "boardloop/boards/{own}"]
)
def test_a_board_cannot_publish_elsewhere(world: World, topic: str) -> None:
    board, client = world.board()
    other = world.add_user(new_board_id())
    target = topic.format(other=other, own=board)
    _, inbox = world.service(target, f"bl/{board}/up/last")
    client.paho.publish(target, b"forged", qos=1)
    client.paho.publish(f"bl/{board}/up/last", b"allowed")
    assert inbox.wait() == [(f"bl/{board}/up/last", b"allowed")]


@pytest.mark.parametrize(
    "topic_filter", ["bl/{other}/down/#", "bl/+/down/#", "#", "bl/{own}/up/#", "boardloop/#", "+/{own}/down/#"]
)
def test_a_board_cannot_listen_elsewhere(world: World, topic_filter: str) -> None:
    board, client = world.board()
    other = world.add_user(new_board_id())
    bus, _ = world.service()
    assert not client.subscribe(topic_filter.format(other=other, own=board))
    assert client.subscribe(f"bl/{board}/down/#")
    for topic in (f"bl/{other}/down/desired", f"boardloop/boards/{other}", f"bl/{board}/up/capture"):
        bus.publish(topic, b"secret")
    bus.publish(f"bl/{board}/down/ack", b"mine")
    assert client.inbox.wait() == [(f"bl/{board}/down/ack", b"mine")]


def test_a_board_gets_no_retained_message_it_did_not_ask_for(world: World) -> None:
    bus, inbox = world.service("bl/+/state")
    other = world.add_user(new_board_id())
    bus.publish(f"bl/{other}/state", b"online", retain=True)
    inbox.wait()
    board, client = world.board()
    client.subscribe(f"bl/{board}/down/#")
    bus.publish(f"bl/{board}/down/ack", b"mine")
    assert client.inbox.wait() == [(f"bl/{board}/down/ack", b"mine")]
