"""Boards and services as clients of a broker."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

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


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


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
