"""One suite for the embedded broker and for mosquitto: what docs/protocol.md section 2 promises."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from services.common.errors import Unavailable
from services.common.keys import new_board_id
from services.common.mqtt import MqttBus, MqttMessage
from tests.servers import BrokerServer

WAIT = 10.0


class Inbox:
    """Collects messages and waits for them."""

    def __init__(self) -> None:
        self.messages: list[MqttMessage] = []
        self._changed = threading.Condition()

    def __call__(self, message: MqttMessage) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait(self, count: int = 1, timeout: float = WAIT) -> list[tuple[str, bytes]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.messages) >= count, timeout), self.messages
            return [(message.topic, message.payload) for message in self.messages]


class Client:
    """A plain MQTT client as a board has one: blocking, no reconnect."""

    def __init__(
        self, broker: BrokerServer, username: str | None, password: str | None, client_id: str, **options: Any
    ):
        self.inbox = Inbox()
        self.refusal: Any = None
        self.granted: list[Any] = []
        self.connected, self.gone, self.subscribed = threading.Event(), threading.Event(), threading.Event()
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, client_id, reconnect_on_failure=False)
        if username is not None:
            self.paho.username_pw_set(username, password)
        if "will" in options:
            topic, payload = options["will"]
            self.paho.will_set(topic, payload, retain=True)
        self.paho.on_connect = self._on_connect
        self.paho.on_disconnect = lambda *_: self.gone.set()
        self.paho.on_message = lambda _c, _d, m: self.inbox(MqttMessage(m.topic, bytes(m.payload), m.retain))
        self.paho.on_subscribe = self._on_subscribe
        self.paho.connect(broker.host, broker.port, keepalive=options.get("keepalive", 60))
        self.paho.loop_start()

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.refusal = reason if reason.is_failure else None
        self.connected.set()

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        self.granted = reasons
        self.subscribed.set()

    def subscribe(self, topic_filter: str) -> bool:
        """True when the broker granted it."""
        self.subscribed.clear()
        self.paho.subscribe(topic_filter)
        assert self.subscribed.wait(WAIT)
        return not self.granted[0].is_failure

    def cut(self) -> None:
        """The link drops: a TCP reset, no DISCONNECT."""
        connection = self.paho.socket()
        assert connection is not None
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.paho.loop_stop()
        connection.close()

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


class World:
    """Boards and a service on one broker."""

    def __init__(self, broker: BrokerServer) -> None:
        self.broker = broker
        self.clients: list[Client | MqttBus] = []
        self.users: list[str] = []

    def add_user(self, username: str) -> str:
        self.broker.add_user(username, "right")
        self.users.append(username)
        return username

    def board(self, username: str | None = None, **options: Any) -> tuple[str, Client]:
        username = username or self.add_user(new_board_id())
        client = self.connect(username, "right", username, **options)
        assert client.connected.wait(WAIT) and client.refusal is None, client.refusal
        return username.removesuffix(".pair"), client

    def connect(self, username: str | None, password: str | None, client_id: str, **options: Any) -> Client:
        client = Client(self.broker, username, password, client_id, **options)
        self.clients.append(client)
        return client

    def service(self, *topic_filters: str, client_id: str | None = None, clean: bool = True) -> tuple[MqttBus, Inbox]:
        name = f"service.{new_board_id()[:5].translate(str.maketrans('234567', 'abcdef'))}"
        return self.service_named(self.add_user(name), *topic_filters, client_id=client_id, clean=clean)

    def service_named(
        self, name: str, *topic_filters: str, client_id: str | None = None, clean: bool = True
    ) -> tuple[MqttBus, Inbox]:
        bus, inbox = MqttBus(self.broker.url, name, "right", client_id=client_id, clean=clean), Inbox()
        self.clients.append(bus)
        for topic_filter in topic_filters:
            bus.subscribe(topic_filter, inbox)
        bus.start()
        bus.wait_connected(WAIT)
        self.settle(bus)
        return bus, inbox

    @staticmethod
    def settle(bus: MqttBus) -> None:
        """Returns when the broker has handled what the bus sent before."""
        bus.publish("settle", b"", qos=1, wait=WAIT)


@pytest.fixture
def world(any_broker: BrokerServer) -> Iterator[World]:
    made = World(any_broker)
    yield made
    for client in made.clients:
        client.stop() if isinstance(client, MqttBus) else client.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


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


def test_messages_pass_both_ways(world: World) -> None:
    board, client = world.board()
    bus, inbox = world.service(f"bl/{board}/up/#")
    assert client.subscribe(f"bl/{board}/down/#")
    client.paho.publish(f"bl/{board}/up/capture", b"up")
    assert inbox.wait() == [(f"bl/{board}/up/capture", b"up")]
    bus.publish(f"bl/{board}/down/ack", b"down")
    assert client.inbox.wait() == [(f"bl/{board}/down/ack", b"down")]


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


def test_retained_messages_wait_for_the_board_and_can_be_taken_back(world: World) -> None:
    bus, _ = world.service()
    name = world.add_user(new_board_id())
    bus.publish(f"bl/{name}/down/desired", b"old", retain=True)
    bus.publish(f"bl/{name}/down/desired", b"new", retain=True)
    world.settle(bus)
    _, client = world.board(name)
    client.subscribe(f"bl/{name}/down/#")
    assert client.inbox.wait() == [(f"bl/{name}/down/desired", b"new")] and client.inbox.messages[0].retained
    bus.publish(f"bl/{name}/down/desired", b"", retain=True)
    client.inbox.wait(2)
    client.close()
    _, again = world.board(name)
    again.subscribe(f"bl/{name}/down/#")
    bus.publish(f"bl/{name}/down/ack", b"only this")
    assert again.inbox.wait() == [(f"bl/{name}/down/ack", b"only this")]


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


def test_a_frame_of_the_largest_size_passes_and_larger_ones_do_not(world: World) -> None:
    board, client = world.board()
    _, inbox = world.service(f"bl/{board}/up/#")
    client.paho.publish(f"bl/{board}/up/capture", b"x" * 200_000)
    client.paho.publish(f"bl/{board}/up/capture", b"y" * 65_536)
    messages = inbox.wait()
    assert [len(payload) for _, payload in messages] == [65_536]


def test_a_goodbye_right_after_a_burst_loses_nothing(world: World) -> None:
    board, client = world.board()
    _, inbox = world.service(f"bl/{board}/up/#")
    for index in range(50):
        client.paho.publish(f"bl/{board}/up/capture", index.to_bytes(2, "big"))
    client.close()
    assert [int.from_bytes(payload, "big") for _, payload in inbox.wait(50)] == list(range(50))


def test_a_thousand_captures_arrive_in_order(world: World) -> None:
    board, client = world.board()
    _, inbox = world.service(f"bl/{board}/up/#")
    for index in range(0, 1000, 100):  # mosquitto drops QoS 0 beyond 1,000 waiting messages, so wait now and then
        for number in range(index, index + 100):
            client.paho.publish(f"bl/{board}/up/capture", number.to_bytes(2, "big") + bytes(30_000))
        inbox.wait(index + 100, timeout=60)
    assert [int.from_bytes(payload[:2], "big") for _, payload in inbox.wait(1000)] == list(range(1000))


def test_a_service_gets_qos_1_messages_that_came_while_it_was_away(world: World) -> None:
    name = world.add_user("service.away")
    topic = f"boardloop/boards/{new_board_id()}"
    bus, _ = world.service_named(name, topic, client_id=name, clean=False)
    bus.stop()
    sender, _ = world.service()
    for payload in (b"one", b"two"):
        sender.publish(topic, payload, qos=1, wait=WAIT)
    _, inbox = world.service_named(name, topic, client_id=name, clean=False)
    assert inbox.wait(2) == [(topic, b"one"), (topic, b"two")]
    world.broker.remove_user(name)


def test_a_bus_subscribes_again_after_the_broker_threw_it_out(world: World) -> None:
    name = world.add_user("service.thrown")
    connects: list[int] = []
    bus, inbox = world.service_named(name, "thrown/#")
    bus.on_connect(lambda: connects.append(1))
    world.broker.remove_user(name)
    world.broker.add_user(name, "right")
    until(lambda: len(connects) == 1)
    world.settle(bus)
    bus.publish("thrown/out", b"back")
    assert inbox.wait() == [("thrown/out", b"back")]
    world.broker.remove_user(name)


def test_a_bus_that_is_refused_says_so(world: World) -> None:
    bus = MqttBus(world.broker.url, "service.nobody", "wrong")
    bus.start()
    with pytest.raises(Unavailable, match=r"service\.nobody"):
        bus.wait_connected(1)
    bus.stop()


class silent_board:
    """A connection that logs in with a last will and then never sends a byte, as after a power cut."""

    def __init__(self, broker: BrokerServer, name: str, keepalive: int) -> None:
        def text(value: bytes) -> bytes:
            return struct.pack(">H", len(value)) + value

        who = name.encode()
        body = (
            text(b"MQTT") + bytes([4, 0b11100110]) + struct.pack(">H", keepalive)
        )  # user, password, will retained, clean
        body += text(who) + text(b"bl/%s/state" % who) + text(b"gone") + text(who) + text(b"right")
        self.socket = socket.create_connection((broker.host, broker.port), timeout=WAIT)
        self.socket.sendall(bytes([0x10, len(body)]) + body)
        assert self.socket.recv(4) == b"\x20\x02\x00\x00"

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self.socket.close()
