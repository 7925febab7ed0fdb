"""The serving half of the embedded broker, on the packet codec of amqtt.

amqtt 0.12.1's own Broker is not used, for what its source does:
* a connection that never logs in ends the session of the client id it names (`_initialize_client_session`);
* after each login it sends the retained messages that match any client's filter (`_handle_client_session`);
* a silent connection never ends (`BrokerProtocolHandler.handle_read_timeout`), so a power cut gives no last will;
* the last will is published without asking topic plugins (`_handle_disconnect`);
* what a client sends just before it disconnects can be lost (`_reader_loop` cancels what it has begun);
* no limit on the size of a message, nor on what waits for a slow subscriber.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from amqtt.adapters import BufferReader
from amqtt.mqtt import packet_class
from amqtt.mqtt.connack import CONNECTION_ACCEPTED, NOT_AUTHORIZED, UNACCEPTABLE_PROTOCOL_VERSION, ConnackPacket
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.disconnect import DisconnectPacket
from amqtt.mqtt.packet import PUBLISH, MQTTFixedHeader
from amqtt.mqtt.pingreq import PingReqPacket
from amqtt.mqtt.pingresp import PingRespPacket
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.pubcomp import PubcompPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.pubrec import PubrecPacket
from amqtt.mqtt.pubrel import PubrelPacket
from amqtt.mqtt.suback import SubackPacket
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsuback import UnsubackPacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket

from services.common import metrics
from services.common.broker_sessions import Connection, Message, Session
from services.common.logs import logger
from services.common.mqtt_filters import is_filter, is_topic, literal_start, matches

__all__ = ["BrokerCore"]

log = logger(__name__)

CONNECT_SECONDS = 10.0  # from the TCP connection to CONNECT
KEEPALIVE_FACTOR = 1.5  # MQTT 3.1.1 section 3.1.2.10
DRAIN_SECONDS = 5.0  # how long a publisher waits for a service that reads too slowly
BUFFER_HIGH = 4 * 1024 * 1024  # bytes waiting for one client before its publishers wait (services only)
BUFFER_MAX = 16 * 1024 * 1024  # and before QoS 0 messages to it are dropped
SUBSCRIPTIONS_MAX = 16  # filters of one board: it needs one, and each costs time at every message of anybody
INFLIGHT_MAX = 2000  # QoS 1 messages waiting for one client
READ_AHEAD = 128 * 1024
PACKETS_PER_TURN = 16
REFUSED = 0x80
SERVICES = "service."  # how their user names begin
PROTOCOL_LEVEL = 4  # MQTT 3.1.1

DROPPED = metrics.counter("broker_dropped", "Messages dropped because a subscriber was too slow.")
DELIVERED = metrics.counter("broker_delivered", "Messages sent to subscribers.")


class ProtocolError(Exception):
    """The client broke MQTT's rules; its connection ends."""


class BrokerCore:
    """Sessions, subscriptions and retained messages; lives on one event loop."""

    def __init__(
        self,
        authenticate: Callable[[str, str], bool],
        may_access: Callable[[str, str, Any], bool],
        client_id_fits: Callable[[str, str], bool],
        message_limit: int,
    ) -> None:
        self.stopping = asyncio.Event()
        self._authenticate = authenticate
        self._may_access = may_access
        self._client_id_fits = client_id_fits
        self._limit = message_limit
        self._sessions: dict[str, Session] = {}
        self._filters: dict[str, dict[Session, int]] = {}
        self._retained: dict[str, Message] = {}
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._endings = 0
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="embedded-broker-login")

    async def listen(self, host: str, port: int) -> int:
        """Returns the port; OSError when it is taken."""
        try:
            self._server = await asyncio.start_server(self._connected, host, port, limit=READ_AHEAD, backlog=512)
        except OSError:
            self._pool.shutdown()
            raise
        return int(self._server.sockets[0].getsockname()[1])

    async def run(self) -> None:
        """Serves until `stopping` is set, then ends every connection and thread."""
        assert self._server is not None  # listen() comes first
        await self.stopping.wait()
        loop = asyncio.get_running_loop()
        for listening in self._server.sockets:  # not close() yet: asyncio would leak what it is just accepting
            loop.remove_reader(listening.fileno())
        await asyncio.sleep(0)
        while rest := asyncio.all_tasks() - {asyncio.current_task()}:
            for connection in self._connections:
                connection.abort()
            await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
        self._server.close()
        await self._server.wait_closed()
        self._pool.shutdown()

    async def end(self, username: str) -> None:
        """Ends the connections of a user and forgets its sessions."""
        self._endings += 1
        for session in [one for one in self._sessions.values() if one.username == username]:
            await self._close(session)
            self._forget(session)

    # ------------------------------------------------------------------ one connection

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self._connections.add(connection)
        writer.transport.set_write_buffer_limits(high=BUFFER_HIGH)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connect = await self._first_packet(connection)
                session = await self._login(connect, connection)
            if session is not None:
                await self._serve(session, connection, connect)
        except (OSError, EOFError, TimeoutError, ProtocolError) as error:
            log.debug("mqtt_connection_ended", error=repr(error))
        except Exception as error:  # amqtt's codec raises nearly anything on bytes that are no MQTT
            log.info("mqtt_connection_failed", error=repr(error))
        finally:
            if connection.waiting:
                connection.abort()  # close() would wait for a client that may never read
            else:
                writer.close()
            connection.closed.set()
            with suppress(Exception):  # what ended the connection was told above
                await writer.wait_closed()
            self._connections.discard(connection)

    async def _first_packet(self, connection: Connection) -> ConnectPacket:
        packet = await self._read(connection)
        if not isinstance(packet, ConnectPacket) or packet.proto_name != "MQTT":
            raise ProtocolError("the first packet is no CONNECT of MQTT 3.1.1")
        if packet.proto_level != PROTOCOL_LEVEL:
            connection.send(ConnackPacket.build(0, UNACCEPTABLE_PROTOCOL_VERSION))
            raise ProtocolError(f"protocol level {packet.proto_level}")
        return packet

    async def _read(self, connection: Connection) -> Any:
        """The next packet, or None for a PUBLISH over the limit, whose bytes are read and forgotten."""
        first = (await connection.reader.readexactly(1))[0]
        length = await self._remaining_length(connection.reader)
        if length > self._limit:
            if first >> 4 != PUBLISH:
                raise ProtocolError(f"a packet of {length} bytes")
            while length:
                length -= len(await connection.reader.readexactly(min(length, READ_AHEAD)))
            return None
        body = BufferReader(await connection.reader.readexactly(length))
        header = MQTTFixedHeader(first >> 4, first & 0x0F, length)
        return await packet_class(header).from_stream(body, fixed_header=header)

    @staticmethod
    async def _remaining_length(reader: asyncio.StreamReader) -> int:
        """MQTT 3.1.1 section 2.2.3: 7 bits a byte, lowest first, at most 4 bytes."""
        length = 0
        for shift in (0, 7, 14, 21):
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return length
        raise ProtocolError("a remaining length of more than 4 bytes")

    async def _login(self, connect: ConnectPacket, connection: Connection) -> Session | None:
        """The session, CONNACK being sent; or None, the refusal being sent."""
        username, client_id = connect.username or "", connect.client_id or ""
        why = await self._why_not(connect, username, client_id)
        if why:
            peer = connection.writer.get_extra_info("peername")
            log.warning("mqtt_refused", user=username[:80], client_id=client_id[:80], peer=peer and peer[0], why=why)
            connection.send(ConnackPacket.build(0, NOT_AUTHORIZED))
            return None
        while (old := self._sessions.get(client_id)) is not None and old.connection is not None:
            await self._close(old)  # the newer connection wins, MQTT 3.1.1 section 3.1.4
        clean = bool(connect.clean_session_flag)
        if old is not None and (clean or old.clean or old.username != username):
            self._forget(old)
            old = None
        session = old or Session(client_id, username, clean)
        session.connection = connection
        self._sessions[client_id] = session
        connection.send(ConnackPacket.build(int(old is not None), CONNECTION_ACCEPTED))
        for packet in session.inflight.values():
            packet.dup_flag = True
            connection.send(packet)
        return session

    async def _why_not(self, connect: ConnectPacket, username: str, client_id: str) -> str:
        """Empty, or why the login is refused."""
        if not username or connect.password is None:
            return "no user name or password"
        if (
            connect.payload is None
            or connect.payload.client_id_is_random
            or not self._client_id_fits(username, client_id)
        ):
            return "the client id is not the user name"
        will = connect.will_topic or ""
        if connect.will_flag and not (is_topic(will) and self._may_access(username, will, "publish")):
            return "the last will is on a topic of somebody else"
        loop, known, endings = asyncio.get_running_loop(), True, -1
        while known and endings != self._endings:  # asked again when end() ran meanwhile: the answer may be of before
            endings = self._endings
            try:
                known = await loop.run_in_executor(self._pool, self._authenticate, username, connect.password)
            except Exception as error:
                log.error("mqtt_login_failed", user=username[:80], exc_info=error)
                return "the login could not be checked"
        return "" if known else "user name or password are wrong"

    async def _serve(self, session: Session, connection: Connection, connect: ConnectPacket) -> None:
        """Handles packets until the connection ends; without a DISCONNECT the last will is published."""
        patience = connect.keep_alive * KEEPALIVE_FACTOR if connect.keep_alive else None
        graceful = False
        try:
            while not graceful:
                for _ in range(PACKETS_PER_TURN):
                    async with asyncio.timeout(patience):
                        packet = await self._read(connection)
                    graceful = isinstance(packet, DisconnectPacket)
                    if graceful:
                        break
                    await self._handle(session, connection, packet)
                await asyncio.sleep(0)  # a reader whose buffer is never empty never yields
        finally:
            session.connection = None
            if session.clean:
                self._forget(session)
            if not graceful and connect.will_flag and connect.will_topic is not None and not self.stopping.is_set():
                will = Message(connect.will_topic, bytes(connect.will_message or b""), connect.will_qos or 0)
                self._publish(will, bool(connect.will_retain_flag) and _may_retain(session, will.topic))

    async def _close(self, session: Session) -> None:
        if session.connection is not None:
            connection = session.connection
            connection.abort()
            await connection.closed.wait()

    def _forget(self, session: Session) -> None:
        for topic_filter in list(session.subscriptions):
            self._unsubscribe(session, topic_filter)
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]

    # ------------------------------------------------------------------ packets

    async def _handle(self, session: Session, connection: Connection, packet: Any) -> None:
        match packet:
            case None:
                log.warning("mqtt_too_large", user=session.username, limit=self._limit)
            case PublishPacket():
                await self._handle_publish(session, connection, packet)
            case PubackPacket():
                session.inflight.pop(packet.packet_id, None)
            case PubrelPacket():
                session.received.discard(packet.packet_id)
                connection.send(PubcompPacket.build(packet.packet_id))
            case SubscribePacket():
                self._handle_subscribe(session, connection, packet)
            case UnsubscribePacket():
                for topic_filter in packet.payload.topics:
                    self._unsubscribe(session, topic_filter)
                connection.send(UnsubackPacket.build(packet.variable_header.packet_id))
            case PingReqPacket():
                connection.send(PingRespPacket.build())
            case _:
                raise ProtocolError(f"a {type(packet).__name__} from a client")

    async def _handle_publish(self, session: Session, connection: Connection, packet: PublishPacket) -> None:
        topic, qos, number = packet.topic_name or "", packet.qos or 0, packet.packet_id or 0
        if not is_topic(topic) or qos > 2:
            raise ProtocolError(f"PUBLISH to {topic!r} with QoS {qos}")
        allowed = self._may_access(session.username, topic, "publish")
        if not allowed:
            log.warning("mqtt_denied", user=session.username, action="publish", topic=topic)
        elif not (qos == 2 and number in session.received):
            message = Message(topic, bytes(packet.data or b""), qos)
            slow = self._publish(message, packet.retain_flag and _may_retain(session, topic))
            if slow:
                await asyncio.wait([asyncio.create_task(_drained(one)) for one in slow], timeout=DRAIN_SECONDS)
        if qos == 1:
            connection.send(PubackPacket.build(number))
        elif qos == 2:
            session.received.add(number)
            connection.send(PubrecPacket.build(number))

    def _handle_subscribe(self, session: Session, connection: Connection, packet: SubscribePacket) -> None:
        granted: list[int] = []
        for topic_filter, qos in packet.payload.topics:
            allowed = is_filter(topic_filter) and self._may_access(session.username, topic_filter, "subscribe")
            if not allowed or (topic_filter not in session.subscriptions and self._has_enough(session)):
                log.warning("mqtt_denied", user=session.username, action="subscribe", topic=topic_filter)
                granted.append(REFUSED)
                continue
            granted.append(min(qos, 1))
            session.subscriptions[topic_filter] = granted[-1]
            self._filters.setdefault(topic_filter, {})[session] = granted[-1]
        connection.send(SubackPacket.build(packet.variable_header.packet_id, granted))
        for (topic_filter, _), qos in zip(packet.payload.topics, granted, strict=True):
            if qos != REFUSED:
                for message in [one for one in self._retained.values() if matches(one.topic, topic_filter)]:
                    self._send(session, message, min(qos, message.qos), retain=True)

    @staticmethod
    def _has_enough(session: Session) -> bool:
        return not session.username.startswith(SERVICES) and len(session.subscriptions) >= SUBSCRIPTIONS_MAX

    def _unsubscribe(self, session: Session, topic_filter: str) -> None:
        session.subscriptions.pop(topic_filter, None)
        subscribers = self._filters.get(topic_filter, {})
        subscribers.pop(session, None)
        if not subscribers:
            self._filters.pop(topic_filter, None)

    # ------------------------------------------------------------------ messages

    def _publish(self, message: Message, retain: bool) -> list[Connection]:
        """Sends to every subscriber once; returns the services' connections that have too much waiting."""
        if retain and message.data:
            self._retained[message.topic] = message
        elif retain:
            self._retained.pop(message.topic, None)
        targets: dict[Session, int] = {}
        for topic_filter, subscribers in self._filters.items():
            if message.topic.startswith(literal_start(topic_filter)) and matches(message.topic, topic_filter):
                for session, qos in subscribers.items():
                    targets[session] = max(qos, targets.get(session, 0))
        for session, qos in targets.items():
            self._send(session, message, min(qos, message.qos), retain=False)
        connections = [session.connection for session in targets if session.username.startswith(SERVICES)]
        return [one for one in connections if one is not None and one.waiting > BUFFER_HIGH]

    def _send(self, session: Session, message: Message, qos: int, *, retain: bool) -> None:
        connection = session.connection
        if qos == 0:
            if connection is None:
                return
            if connection.waiting > BUFFER_MAX:
                DROPPED.inc()
                log.warning("mqtt_dropped", user=session.username, topic=message.topic, waiting=connection.waiting)
                return
            connection.send(PublishPacket.build(message.topic, message.data, None, False, 0, retain))
        else:
            if len(session.inflight) >= INFLIGHT_MAX:
                DROPPED.inc()
                log.warning("mqtt_dropped", user=session.username, topic=message.topic, waiting=len(session.inflight))
                return
            number = session.next_id()
            packet = PublishPacket.build(message.topic, message.data, number, False, qos, retain)
            session.inflight[number] = packet
            if connection is not None:
                connection.send(packet)
        DELIVERED.inc()


def _may_retain(session: Session, topic: str) -> bool:
    """A board has one message kept, its state (docs/protocol.md section 2): others would fill this process's memory."""
    return session.username.startswith(SERVICES) or (topic.endswith("/state") and topic.count("/") == 2)


async def _drained(connection: Connection) -> None:
    with suppress(OSError):  # it is gone, and waits for nothing any more
        await connection.writer.drain()
