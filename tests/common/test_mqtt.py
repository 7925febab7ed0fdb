"""services/common/mqtt.py against the embedded broker; how it works with mosquitto is in test_broker_*.py."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from services.common import mqtt
from services.common.errors import InvalidInput, Unavailable
from services.common.keys import service_password
from services.common.mqtt import MqttBus, MqttMessage, service_bus
from services.common.settings import CommonSettings
from tests.servers import Embedded, free_port

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
WAIT = 10.0


@pytest.fixture
def bus(embedded_broker: Embedded) -> Iterator[MqttBus]:
    embedded_broker.add_user("service.bus", "right")
    made = MqttBus(embedded_broker.url, "service.bus", "right")
    made.start()
    made.wait_connected(WAIT)
    yield made
    made.stop()


def settle(bus: MqttBus) -> None:
    """Returns when everything published before was received and handled."""
    done = threading.Event()
    bus.subscribe("settle", lambda _: done.set())
    bus.publish("settle", b"", qos=1, wait=WAIT)
    assert done.wait(WAIT)


def test_each_message_goes_to_the_handlers_whose_filter_matches(bus: MqttBus) -> None:
    seen: list[tuple[str, str]] = []
    bus.subscribe("a/+", lambda message: seen.append(("a", message.topic)))
    bus.subscribe("b/#", lambda message: seen.append(("b", message.topic)))
    for topic in ("a/1", "b/2/3", "c/4"):
        bus.publish(topic, b"")
    settle(bus)
    assert seen == [("a", "a/1"), ("b", "b/2/3")]


def test_a_handler_that_raises_does_not_end_the_dispatch(bus: MqttBus) -> None:
    seen: list[bytes] = []

    def handle(message: MqttMessage) -> None:
        seen.append(message.payload)
        raise ValueError(message.payload.decode())

    bus.subscribe("x", handle)
    with capture_logs() as lines:
        for payload in (b"1", b"2"):
            bus.publish("x", payload)
        settle(bus)
    assert seen == [b"1", b"2"]
    assert [str(line["exc_info"]) for line in lines if line["event"] == "mqtt_handler_failed"] == ["1", "2"]


def test_handlers_of_one_bus_run_on_one_thread(bus: MqttBus) -> None:
    threads: set[str] = set()
    bus.subscribe("x/#", lambda _: threads.add(threading.current_thread().name))
    for index in range(20):
        bus.publish(f"x/{index}", b"")
    settle(bus)
    assert threads == {"mqtt-service.bus-dispatch"}


def test_a_handler_may_publish(bus: MqttBus) -> None:
    answered = threading.Event()
    bus.subscribe("ask", lambda message: bus.publish("answer", message.payload))
    bus.subscribe("answer", lambda _: answered.set())
    bus.publish("ask", b"1")
    assert answered.wait(WAIT)


def test_what_does_not_fit_the_queue_is_dropped_and_counted(
    embedded_broker: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "QUEUE_MESSAGES", 10)
    embedded_broker.add_user("service.slow", "right")
    bus, blocked, go = MqttBus(embedded_broker.url, "service.slow", "right"), threading.Event(), threading.Event()
    seen: list[bytes] = []

    def handle(message: MqttMessage) -> None:
        seen.append(message.payload)
        blocked.set()
        assert go.wait(WAIT)

    bus.subscribe("x", handle)
    bus.start()
    bus.wait_connected(WAIT)
    bus.publish("x", b"first", qos=1, wait=WAIT)
    assert blocked.wait(WAIT)
    for _ in range(30):
        bus.publish("x", b"more")
    bus.publish("end", b"", qos=1, wait=WAIT)  # the broker answers after it sent the 30
    go.set()
    settle_count = 11
    done = threading.Event()
    threading.Thread(target=lambda: (bus.stop(), done.set())).start()
    assert done.wait(WAIT)
    assert bus.dropped == 20 and len(seen) <= settle_count


def test_stop_waits_for_the_handler_that_runs(bus: MqttBus) -> None:
    running, go, ended = threading.Event(), threading.Event(), threading.Event()

    def handle(_: MqttMessage) -> None:
        running.set()
        assert go.wait(WAIT)
        ended.set()

    bus.subscribe("x", handle)
    bus.publish("x", b"")
    assert running.wait(WAIT)
    threading.Timer(0.2, go.set).start()
    bus.stop()
    assert ended.is_set()


def test_stop_leaves_no_thread_and_may_be_called_twice(bus: MqttBus) -> None:
    bus.stop()
    bus.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mqtt-service.bus")]


def test_a_bus_that_never_started_can_be_stopped() -> None:
    MqttBus("mqtt://127.0.0.1:1", "service.x", "y").stop()


def test_a_broker_that_is_away_is_unavailable_and_waited_for(embedded_broker: Embedded) -> None:
    bus = MqttBus(f"mqtt://127.0.0.1:{free_port()}", "service.x", "y")
    bus.start()
    with pytest.raises(Unavailable, match="refused"):
        bus.wait_connected(0.5)
    with pytest.raises(Unavailable):
        bus.publish("x", b"")
    with pytest.raises(Unavailable):
        bus.publish("x", b"", qos=1, wait=0.1)
    bus.stop()


def test_connected_is_who_has_its_subscriptions() -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        bus = MqttBus(f"mqtt://127.0.0.1:{broker.getsockname()[1]}", "service.x", "y")
        bus.subscribe("x", lambda _: None)
        bus.start()
        connection = broker.accept()[0]
        connection.sendall(bytes([0x20, 2, 0, 0]))  # CONNACK
        with pytest.raises(Unavailable, match="no connection"):
            bus.wait_connected(0.3)
        connection.sendall(bytes([0x90, 3, 0, 1, 0x80]))  # SUBACK of packet 1: refused
        with pytest.raises(Unavailable, match=r"refused service\.x a subscription"):
            bus.wait_connected(0.3)
        connection.sendall(bytes([0x90, 3, 0, 1, 0]))  # granted
        bus.wait_connected(WAIT)
        connection.close()
        bus.stop()


@pytest.mark.parametrize("url", ["", "http://x:1", "mqtt://", "host:1883"])
def test_an_address_of_no_broker_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        MqttBus(url, "service.x", "y")
    assert raised.value.reason == "BAD_MQTT_URL"


def test_the_bus_of_a_service_logs_in_with_the_service_key(embedded_broker: Embedded) -> None:
    embedded_broker.add_user("service.collector", service_password(KEY, "collector"))
    bus = service_bus(CommonSettings(service_key=KEY), "collector", embedded_broker.port)
    bus.start()
    bus.wait_connected(WAIT)
    bus.stop()


def test_a_service_without_a_broker_is_told_what_to_set() -> None:
    with pytest.raises(InvalidInput) as raised:
        service_bus(CommonSettings(service_key=KEY), "collector")
    assert raised.value.reason == "NO_BROKER" and "BOARDLOOP_MQTT_URL" in raised.value.fix
