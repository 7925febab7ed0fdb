"""MQTT client of the services: reconnects by itself, subscribes again, and hands messages to one thread in order."""

from __future__ import annotations

import queue
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from services.common import metrics
from services.common.errors import InvalidInput, Unavailable
from services.common.keys import service_password
from services.common.logs import logger
from services.common.settings import CommonSettings

__all__ = ["MqttBus", "MqttMessage", "service_bus"]

log = logger(__name__)

KEEPALIVE_SECONDS = 30
BACKOFF_FIRST, BACKOFF_MAX = 0.2, 10.0  # seconds between attempts to connect
GOODBYE_SECONDS = 2.0
QUEUE_MESSAGES = 4000  # waiting for the dispatch thread; the next ones are dropped and counted
PORTS = {"mqtt": 1883, "mqtts": 8883}

DROPPED = metrics.counter("mqtt_dropped", "Messages dropped because the handlers were too slow.", ("user",))
RECEIVED = metrics.counter("mqtt_received", "Messages received.", ("user",))


@dataclass(frozen=True)
class MqttMessage:
    """`retained`: the broker kept it from before the subscription."""

    topic: str
    payload: bytes = field(repr=False)
    retained: bool


Handler = Callable[[MqttMessage], None]


class MqttBus:
    """One connection to the broker.

    Handlers and on_connect callbacks run on one dispatch thread, in order; what one raises is logged, the next runs.
    Filters of one bus must not overlap: a broker may send a message once for each that matches.
    """

    def __init__(
        self, url: str, username: str, password: str, *, client_id: str | None = None, clean: bool = True
    ) -> None:
        """`url`: mqtt://host:port or mqtts://host:port. `clean=False`: the broker keeps QoS 1 messages while away."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise InvalidInput("BAD_MQTT_URL", f"{url!r} is no MQTT address.", fix="Write mqtt://host:port.")
        self.url, self.username = url, username
        self._address = (parts.hostname, parts.port or PORTS[parts.scheme])
        self._qos = 0 if clean else 1
        self._handlers: dict[str, list[Handler]] = {}
        self._on_connect: list[Callable[[], None]] = []
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(QUEUE_MESSAGES)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._listening = threading.Event()  # the broker has granted the subscriptions too
        self._refusal = ""
        self._threads: list[threading.Thread] = []
        self._awake, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self.dropped = 0
        self._client = self._make_client(client_id or f"{username}.{random.randbytes(4).hex()}", clean, parts.scheme)
        self._client.username_pw_set(username, password)

    def _make_client(self, client_id: str, clean: bool, scheme: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id, clean, reconnect_on_failure=False)
        client.max_queued_messages_set(QUEUE_MESSAGES)
        client.on_connect = self._connected_now
        client.on_subscribe = self._subscribed_now
        client.on_disconnect = self._disconnected_now
        client.on_message = self._arrived
        client.on_socket_register_write = lambda *_: self._wake()
        if scheme == "mqtts":
            client.tls_set()
        return client

    # ------------------------------------------------------------------ what services call

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Before or after start. Every handler whose filter matches gets the message once."""
        with self._lock:
            self._handlers.setdefault(topic_filter, []).append(handler)
            connected = self._connected.is_set()
        if connected:
            self._client.subscribe(topic_filter, self._qos)

    def on_connect(self, callback: Callable[[], None]) -> None:
        """Called on the dispatch thread after each connect, the subscriptions being under way."""
        self._on_connect.append(callback)

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, wait: float | None = None
    ) -> None:
        """Sends, from any thread. Without `wait` it does not block; QoS 1 is kept and sent later when not connected.

        Raises Unavailable: QoS 0 and not connected; not sent (QoS 1: not acknowledged) within `wait` seconds.
        """
        if qos == 0 and not self._connected.is_set():
            raise self._away(f"{topic} was not sent")
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE or (qos == 0 and info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS):
            raise self._away(f"{topic} was not sent")
        if wait is not None:
            try:
                info.wait_for_publish(wait)
            except (RuntimeError, ValueError) as error:
                raise self._away(f"{topic} was not sent") from error
            if not info.is_published():
                raise self._away(f"{topic} was not acknowledged in {wait} s")

    def start(self) -> None:
        """Begins to connect, and goes on trying until stop."""
        for target, name in ((self._network, "network"), (self._dispatch, "dispatch")):
            thread = threading.Thread(target=target, name=f"mqtt-{self.username}-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Says goodbye (no last will), lets the handler that runs finish, ends the threads. Again: does nothing."""
        self._stopping.set()
        self._wake()
        if self._threads:
            network, dispatch = self._threads
            self._threads = []
            network.join()
            self._drain()
            self._queue.put(None)
            if threading.current_thread() is not dispatch:
                dispatch.join()
        self._awake.close()
        self._waker.close()

    def wait_connected(self, timeout: float) -> None:
        """Returns once the broker has granted the subscriptions made so far: their messages come from then on.

        Unavailable with the broker's refusal after `timeout` seconds.
        """
        if not self._listening.wait(timeout):
            raise self._away("there is no connection")

    # ------------------------------------------------------------------ network thread

    def _network(self) -> None:
        backoff = BACKOFF_FIRST
        while not self._stopping.is_set():
            try:
                self._client.connect(*self._address, keepalive=KEEPALIVE_SECONDS)
                self._run_connection()
            except (OSError, ValueError) as error:
                self._refusal = str(error)
            if self._connected.is_set():
                self._connected.clear()
                self._listening.clear()
                backoff = BACKOFF_FIRST
            if not self._stopping.is_set():
                log.warning("mqtt_away", user=self.username, broker=self.url, reason=self._refusal)
                self._stopping.wait(backoff * random.uniform(0.7, 1.3))
                backoff = min(backoff * 2, BACKOFF_MAX)

    def _run_connection(self) -> None:
        """Reads and writes until the connection ends or, when stopping, the goodbye is sent.

        Not paho's own loop: it uses select(), which fails above 1,024 open files, and a fleet is that many.
        """
        connection: Any = self._client.socket()
        assert connection is not None  # connect() returned
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        goodbye = float("inf")
        with selectors.DefaultSelector() as selector:
            selector.register(self._awake, selectors.EVENT_READ)
            selector.register(connection, selectors.EVENT_READ)
            while self._client.socket() is not None and time.monotonic() < goodbye:
                writing = selectors.EVENT_WRITE if self._client.want_write() else 0
                selector.modify(connection, selectors.EVENT_READ | writing)
                self._serve(connection, selector.select(1.0))
                if self._stopping.is_set() and goodbye == float("inf"):
                    goodbye = time.monotonic() + GOODBYE_SECONDS
                    self._client.disconnect()

    def _serve(self, connection: Any, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, events in ready:
            if key.fileobj is self._awake:
                self._awake.recv(4096)
            elif events & selectors.EVENT_READ:
                self._client.loop_read()
                while self._client.socket() is not None and getattr(connection, "pending", lambda: 0)():
                    self._client.loop_read()  # TLS has decrypted more than one packet
            if self._client.socket() is not None and self._client.want_write():
                self._client.loop_write()
        self._client.loop_misc()

    def _wake(self) -> None:
        with suppress(OSError):  # full of wake-ups that were not read yet, or stopped
            self._waker.send(b"w")

    def _connected_now(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refusal = f"the broker refused {self.username}: {reason}"
            return
        with self._lock:
            filters = [(topic_filter, self._qos) for topic_filter in self._handlers]
            self._connected.set()
        if filters:
            client.subscribe(filters)
        else:
            self._listening.set()
        log.info("mqtt_connected", user=self.username, broker=self.url)
        for callback in list(self._on_connect):
            self._enqueue(callback)

    def _subscribed_now(self, client: paho.Client, data: Any, number: int, reasons: Any, properties: Any) -> None:
        """The first answer after a connect is to the subscriptions of _connected_now: answers come in order."""
        if any(reason.is_failure for reason in reasons):
            self._refusal = f"the broker refused {self.username} a subscription"
            log.error("mqtt_subscription_refused", user=self.username, broker=self.url)
        else:
            self._listening.set()

    def _disconnected_now(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._connected.is_set():
            self._refusal = str(reason)

    def _arrived(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        RECEIVED.labels(self.username).inc()
        ours = MqttMessage(message.topic, bytes(message.payload), bool(message.retain))
        with self._lock:
            handlers = [one for topic_filter, some in self._handlers.items() for one in some
                        if paho.topic_matches_sub(topic_filter, ours.topic)]  # fmt: skip
        for handler in handlers:
            self._enqueue(lambda handler=handler: handler(ours))  # type: ignore[misc]

    def _enqueue(self, work: Callable[[], None]) -> None:
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            self.dropped += 1
            DROPPED.labels(self.username).inc()
            if self.dropped.bit_count() == 1:  # 1, 2, 4, 8 …: a line now and then
                log.error("mqtt_dropped", user=self.username, dropped=self.dropped)

    # ------------------------------------------------------------------ dispatch thread

    def _dispatch(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
            except Exception as error:
                log.error("mqtt_handler_failed", user=self.username, exc_info=error)

    def _drain(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()

    def _away(self, what: str) -> Unavailable:
        why = f" ({self._refusal})" if self._refusal else ""
        message = f"The broker at {self.url} is away: {what}{why}."
        return Unavailable("BROKER_UNAVAILABLE", message, fix="See that it runs and BOARDLOOP_MQTT_URL is right.")


def service_bus(
    settings: CommonSettings, service: str, broker_port: int | None = None, *, clean: bool = True
) -> MqttBus:
    """The bus of a service, not started: user and client id `service.<service>`.

    `broker_port`: of the embedded broker on this machine, when `mqtt_url` is empty.
    """
    url = settings.mqtt_url
    if not url:
        if broker_port is None:
            fix = "Set BOARDLOOP_MQTT_URL=mqtt://host:port, or run `make up`, which has a broker inside."
            raise InvalidInput("NO_BROKER", "BOARDLOOP_MQTT_URL is empty and there is no embedded broker.", fix=fix)
        url = f"mqtt://127.0.0.1:{broker_port}"
    name = f"service.{service}"
    return MqttBus(url, name, service_password(settings.service_key, service), client_id=name, clean=clean)
