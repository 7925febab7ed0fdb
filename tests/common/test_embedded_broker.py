"""What only the embedded broker promises: bounded memory, a clean end, and no harm from bytes that are no MQTT."""

from __future__ import annotations

import logging
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from services.common.broker import EmbeddedBroker
from services.common.errors import Unavailable
from services.common.mqtt import MqttBus

BOARD = "k7q2mzx4ab"
WAIT = 10.0
FRAME = 65_000


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    def authenticate(user: str, password: str) -> bool:
        if password == "raise":
            raise RuntimeError("the database is away")
        return password == "right"

    made = EmbeddedBroker("127.0.0.1", 0, authenticate)
    made.start()
    yield made
    made.stop()


def bus_of(broker: EmbeddedBroker, name: str = "service.test") -> MqttBus:
    bus = MqttBus(f"mqtt://127.0.0.1:{broker.port}", name, "right", client_id=name)
    bus.start()
    bus.wait_connected(WAIT)
    return bus


def text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def packet(first: int, body: bytes) -> bytes:
    length, encoded = len(body), bytearray()
    while True:
        length, low = divmod(length, 128)
        encoded.append(low | (0x80 if length else 0))
        if not length:
            return bytes([first]) + bytes(encoded) + body


def connect_packet(user: bytes, password: bytes = b"right", level: int = 4, client_id: bytes | None = None) -> bytes:
    body = text(b"MQTT") + bytes([level, 0b11000010, 0, 60]) + text(user if client_id is None else client_id)
    return packet(0x10, body + text(user) + text(password))


def publish_packet(topic: bytes, payload: bytes) -> bytes:
    return packet(0x30, text(topic) + payload)


def logged_in(broker: EmbeddedBroker, user: str = BOARD) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT)
    connection.sendall(connect_packet(user.encode()))
    assert exactly(connection, 4) == b"\x20\x02\x00\x00"
    return connection


def answer_to(broker: EmbeddedBroker, sent: bytes) -> bytes:
    """All bytes the broker sends before it closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        try:
            while part := connection.recv(4096):
                received += part
        except ConnectionResetError:
            pass
    return received


def works(broker: EmbeddedBroker) -> bool:
    bus, arrived = bus_of(broker, "service.probe"), threading.Event()
    bus.subscribe("probe", lambda _: arrived.set())
    bus.publish("probe", b"")
    handled = arrived.wait(WAIT)
    bus.stop()
    return handled


def test_start_and_stop_leave_no_thread_and_free_the_port() -> None:
    before = set(threading.enumerate())
    broker = EmbeddedBroker("127.0.0.1", 0, lambda *_: True)
    for _ in range(3):
        broker.start()
        with socket.create_connection(("127.0.0.1", broker.port)):
            pass
        broker.stop()
        assert set(threading.enumerate()) == before
    broker.stop()


def test_stop_ends_the_connections(broker: EmbeddedBroker) -> None:
    connection = logged_in(broker)
    broker.stop()
    with connection, suppress(ConnectionResetError):
        assert connection.recv(1) == b""


def test_a_bus_finds_the_broker_again_after_a_restart(broker: EmbeddedBroker) -> None:
    bus, arrived, again = bus_of(broker), threading.Event(), threading.Event()
    bus.subscribe("x", lambda _: arrived.set())
    broker.stop()
    bus.on_connect(again.set)
    broker.start()
    assert again.wait(WAIT)
    bus.publish("x", b"1", qos=1, wait=WAIT)
    assert arrived.wait(WAIT)
    bus.stop()


def test_a_taken_port_is_named(broker: EmbeddedBroker) -> None:
    second = EmbeddedBroker("127.0.0.1", broker.port, lambda *_: True)
    with pytest.raises(Unavailable, match=str(broker.port)):
        second.start()
    second.stop()


def test_a_login_that_cannot_be_checked_is_refused(broker: EmbeddedBroker) -> None:
    assert answer_to(broker, connect_packet(BOARD.encode(), b"raise")) == b"\x20\x02\x00\x05"
    assert works(broker)


def test_a_client_of_mqtt_5_is_told_the_version(broker: EmbeddedBroker) -> None:
    assert answer_to(broker, connect_packet(b"service.new", level=5)) == b"\x20\x02\x00\x01"


@pytest.mark.parametrize("client_id", [b"", b"abcdefghij", b"k7q2mzx4a"])
def test_a_board_needs_its_own_client_id(broker: EmbeddedBroker, client_id: bytes) -> None:
    assert answer_to(broker, connect_packet(BOARD.encode(), client_id=client_id)) == b"\x20\x02\x00\x05"


def test_a_board_that_does_not_read_costs_bounded_memory_and_stops_nobody(broker: EmbeddedBroker) -> None:
    bus, arrived = bus_of(broker), threading.Event()
    with logged_in(broker) as sleeper:
        sleeper.sendall(packet(0x82, b"\x00\x01" + text(b"bl/%s/down/#" % BOARD.encode()) + b"\x00"))
        assert exactly(sleeper, 5) == b"\x90\x03\x00\x01\x00"
        for _ in range(2000):  # 130 MB
            bus.publish(f"bl/{BOARD}/down/block", bytes(FRAME))
        bus.subscribe("after", lambda _: arrived.set())
        bus.publish("after", b"", qos=1, wait=30)
        assert arrived.wait(WAIT)
        assert 1_000_000 < bytes_waiting(sleeper) < 40_000_000  # 16 MiB in the broker, the rest in the kernel's buffers
    bus.stop()


def bytes_waiting(connection: socket.socket) -> int:
    """Reads until nothing comes for a second."""
    connection.settimeout(1)
    count = 0
    with suppress(TimeoutError):
        while part := connection.recv(1 << 20):
            count += len(part)
    return count


def test_a_slow_service_slows_its_publishers_and_loses_nothing(broker: EmbeddedBroker) -> None:
    topic, all_sent = b"bl/%s/up/capture" % BOARD.encode(), threading.Event()

    def send() -> None:
        with logged_in(broker) as board:
            for index in range(600):  # 39 MB: more than the broker keeps for one client
                board.sendall(publish_packet(topic, index.to_bytes(2, "big") + bytes(FRAME)))
            all_sent.set()
            board.recv(1)  # until the broker stops

    with logged_in(broker, "service.slow") as service:
        service.sendall(packet(0x82, b"\x00\x01" + text(topic) + b"\x00"))
        assert exactly(service, 5) == b"\x90\x03\x00\x01\x00"
        sender = threading.Thread(target=send)
        sender.start()
        assert not all_sent.wait(1), "the board was not slowed"
        size = len(publish_packet(topic, bytes(FRAME + 2)))
        start = size - FRAME - 2
        numbers = [int.from_bytes(exactly(service, size)[start : start + 2], "big") for _ in range(600)]
        assert numbers == list(range(600)) and all_sent.wait(WAIT)
    broker.stop()
    sender.join(WAIT)


def exactly(connection: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        part = connection.recv(length - len(received))
        assert part, f"closed after {len(received)} of {length} bytes"
        received += part
    return bytes(received)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x10",
        b"\x10\xff\xff\xff\xff\xff",
        b"\x10\xff\xff\xff\x7f",
        b"GET / HTTP/1.1\r\n\r\n",
        packet(0x30, text(b"bl/x/up/capture") + b"before any login"),
        packet(0x10, b""),
        packet(0x10, text(b"MQTT") + b"\x04"),
        packet(0x10, text(b"HTTP") + bytes([4, 2, 0, 60]) + text(b"x")),
        packet(0x10, text(b"MQTT") + bytes([4, 0b11000010, 0, 60]) + text(b"\xff\xfe") + text(b"\xff") + text(b"x")),
    ],
)
def test_bytes_that_are_no_login_only_end_their_connection(broker: EmbeddedBroker, sent: bytes) -> None:
    assert answer_to(broker, sent) in (b"", b"\x20\x02\x00\x05")
    assert works(broker)


@pytest.mark.parametrize(
    "sent",
    [
        packet(0x30, b""),
        packet(0x30, text(b"")),
        packet(0x30, text(b"bl/+/up/x") + b"1"),
        packet(0x30, text(b"$SYS/x") + b"1"),
        packet(0x36, text(b"bl/%s/up/x" % BOARD.encode()) + b"\x00\x011"),
        packet(0x82, b"\x00\x01"),
        packet(0x82, b"\x00\x01" + text(b"x")),
        packet(0x82, b"\x00"),
        packet(0x20, b"\x00\x00"),
        packet(0xF0, b""),
        packet(0x00, b""),
        connect_packet(BOARD.encode()),
        b"\x30\x80\x80\x80\x80",
    ],
)
def test_bytes_that_are_no_mqtt_only_end_their_connection(broker: EmbeddedBroker, sent: bytes) -> None:
    assert answer_to(broker, connect_packet(BOARD.encode()) + sent).startswith(b"\x20\x02\x00\x00")
    assert works(broker)


def test_random_bytes_after_a_login_never_stop_the_broker(
    broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(1)
    with caplog.at_level(logging.ERROR, "asyncio"):
        for _ in range(200):
            answer_to(broker, connect_packet(BOARD.encode()) + chance.randbytes(chance.randrange(1, 200)))
    assert works(broker) and not caplog.records


def test_a_refused_subscription_is_told(broker: EmbeddedBroker) -> None:
    filters = [b"bl/%s/down/#" % BOARD.encode(), b"#", b"bl/%s/#/x" % BOARD.encode()]
    with logged_in(broker) as board:
        board.sendall(packet(0x82, b"\x00\x07" + b"".join(text(one) + b"\x00" for one in filters)))
        assert exactly(board, 7) == b"\x90\x05\x00\x07\x00\x80\x80"


def test_a_board_subscribes_to_a_few_filters_only(broker: EmbeddedBroker) -> None:
    filters = [b"bl/%s/down/%d" % (BOARD.encode(), number) for number in range(40)]
    with logged_in(broker) as board:
        board.sendall(packet(0x82, b"\x00\x07" + b"".join(text(one) + b"\x00" for one in filters)))
        assert exactly(board, 44) == b"\x90\x2a\x00\x07" + bytes(16) + b"\x80" * 24


def test_a_board_has_its_state_kept_and_nothing_else(broker: EmbeddedBroker) -> None:
    own = f"bl/{BOARD}"
    with logged_in(broker) as board:
        for topic in (f"{own}/up/1", f"{own}/up/2/state", f"{own}/state"):
            board.sendall(packet(0x31, text(topic.encode()) + b"kept?"))
        board.sendall(b"\xc0\x00")
        assert exactly(board, 2) == b"\xd0\x00"
    bus, kept, marker = bus_of(broker), [], threading.Event()
    bus.subscribe("bl/#", lambda message: kept.append(message.topic))
    bus.subscribe("marker", lambda _: marker.set())
    bus.publish("settle", b"", qos=1, wait=WAIT)
    bus.publish("marker", b"")
    assert marker.wait(WAIT) and kept == [f"{own}/state"]
    bus.stop()


def test_a_message_of_qos_2_arrives_once(broker: EmbeddedBroker) -> None:
    bus, seen, marker = bus_of(broker), [], threading.Event()
    bus.subscribe(f"bl/{BOARD}/up/#", lambda message: seen.append(message.payload))
    bus.subscribe("marker", lambda _: marker.set())
    bus.publish("settle", b"", qos=1, wait=WAIT)
    with logged_in(broker) as board:
        publish = text(b"bl/%s/up/x" % BOARD.encode()) + b"\x00\x09once"
        board.sendall(packet(0x34, publish) + packet(0x3C, publish) + packet(0x62, b"\x00\x09"))
        answer = exactly(board, 12)
    assert answer == b"\x50\x02\x00\x09" * 2 + b"\x70\x02\x00\x09"
    bus.publish("marker", b"")
    assert marker.wait(WAIT) and seen == [b"once"]
    bus.stop()


def test_unsubscribe_ends_the_messages(broker: EmbeddedBroker) -> None:
    bus, topic = bus_of(broker), b"bl/%s/down/#" % BOARD.encode()
    with logged_in(broker) as board:
        board.sendall(packet(0x82, b"\x00\x01" + text(topic) + b"\x00") + packet(0xA2, b"\x00\x02" + text(topic)))
        assert exactly(board, 9) == b"\x90\x03\x00\x01\x00\xb0\x02\x00\x02"
        bus.publish(f"bl/{BOARD}/down/ack", b"x", qos=1, wait=WAIT)
        board.sendall(b"\xc0\x00")
        assert exactly(board, 2) == b"\xd0\x00"
    bus.stop()


def test_a_fleet_of_300_connects_and_each_gets_its_own(broker: EmbeddedBroker) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [f"fleet{letters[i // 26]}{letters[i % 26]}aaa" for i in range(300)]
    bus = bus_of(broker)
    with ExitStack() as stack:
        boards = [stack.enter_context(logged_in(broker, name)) for name in names]
        for name, board in zip(names, boards, strict=True):
            board.sendall(packet(0x82, b"\x00\x01" + text(f"bl/{name}/down/#".encode()) + b"\x00"))
            assert exactly(board, 5) == b"\x90\x03\x00\x01\x00"
        for name in names:
            bus.publish(f"bl/{name}/down/ack", name.encode())
        for name, board in zip(names, boards, strict=True):
            wanted = publish_packet(f"bl/{name}/down/ack".encode(), name.encode())
            assert exactly(board, len(wanted)) == wanted
    bus.stop()
