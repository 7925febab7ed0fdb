"""A small MQTT 3.1.1 client (OASIS standard, section 3) for links that lose what arrives while they send.

* every packet is one bytearray and one `link.send`;
* `link.recv(n)` gives b'' for "no data yet" AND for "closed" (K210): b'' never means anything here, a dead link shows
  itself by a failing send, by an unanswered PINGREQ or by a packet that stops in the middle;
* `recv` of a K210 blocks until all n bytes are there: so exactly the missing bytes are asked for;
* QoS 0 only; an inbound packet over `limit` is read past and counted, not fatal.
"""

try:
    import ustruct as struct
except ImportError:
    import struct

CONNACK, PUBLISH, SUBACK, PINGRESP = 2, 3, 9, 13
KEEP_ALIVE_S = 60
QUIET_MS = 25000  # nothing sent or nothing heard for so long: PINGREQ
PING_MS = 5000  # wait for PINGRESP
PINGS = 3  # a half-duplex link may lose one
STALL_MS = 6000  # a packet that stops in the middle
NONSENSE = 262144  # no broker of ours lets such a packet through: the stream lost its place
SLICE = 2048  # one read of an ESP8285


def _text(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">H", len(data)) + data


def packet(head, *parts):
    """One whole MQTT packet: fixed header byte, length, parts."""
    size = 0
    for part in parts:
        size += len(part)
    out = bytearray([head])
    while True:
        byte = size & 0x7F
        size >>= 7
        out.append(byte | 0x80 if size else byte)
        if not size:
            break
    for part in parts:
        out.extend(part)
    return out


class Client:
    """One connection. `link`: send/recv/close of the port; `now`: function -> milliseconds, only ever counting up."""

    def __init__(self, link, now, limit):
        self._link = link
        self._now = now
        self._buffer = bytearray(limit)
        self._view = memoryview(self._buffer)
        self._packet_id = 0
        self._heard = self._sent = now()
        self._pings = 0
        self._pinged = 0
        self.oversize = 0
        self._begin()

    def _begin(self):
        self._head = 0
        self._size = -1  # -1: the length has not fully come
        self._shift = 0
        self._length = 0
        self._have = 0

    @property
    def mid_packet(self):
        """A packet has come in part. Whoever sends now on a half-duplex link cuts it."""
        return self._head != 0

    def _send(self, data):
        self._link.send(data)
        self._sent = self._now()

    def connect(self, client_id, user, password, will_topic, will):
        """Send CONNECT: clean session, retained last will."""
        flags = 0x80 | 0x40 | 0x20 | 0x04 | 0x02  # user, password, will retain, will, clean session
        start = struct.pack(">BBH", 4, flags, KEEP_ALIVE_S)
        self._send(
            packet(
                0x10,
                _text("MQTT"),
                start,
                _text(client_id),
                _text(will_topic),
                _text(will),
                _text(user),
                _text(password),
            )
        )

    def subscribe(self, topic):
        self._packet_id = self._packet_id % 65535 + 1
        self._send(packet(0x82, struct.pack(">H", self._packet_id), _text(topic), b"\x00"))

    def publish(self, topic, payload, retain=False):
        self._send(packet(0x31 if retain else 0x30, _text(topic), payload))

    def disconnect(self):
        """DISCONNECT and close; a dead link is closed all the same."""
        try:
            self._send(packet(0xE0))
        except OSError:
            pass
        self.close()

    def close(self):
        try:
            self._link.close()
        except OSError:
            pass

    def keep(self):
        """PINGREQ when it is due. Raises OSError when the broker has not answered the last ones."""
        now = self._now()
        if self._pings:
            if now - self._pinged < PING_MS:
                return
            if self._pings >= PINGS:
                raise OSError("the broker does not answer PINGREQ")
        elif now - self._heard < QUIET_MS and now - self._sent < QUIET_MS:
            return
        self.ping()

    def probe(self):
        """Ask now whether anybody is there, unless that has been asked already."""
        if not self._pings:
            self.ping()

    def ping(self):
        if not self.mid_packet:
            self._pings += 1
            self._pinged = self._now()
            self._send(packet(0xC0))

    def read(self):
        """Wait for at most one silence of the link (about 1 s) for one packet.

        -> (type, body as memoryview valid until the next read), or None: nothing whole has come yet.
        Raises OSError when the stream makes no sense any more.
        """
        while True:
            if self._size < 0:
                data = self._link.recv(1 if self._head else 2)
            else:
                data = self._link.recv(min(self._size - self._have, SLICE))
            if not data:
                if self.mid_packet and self._now() - self._heard > STALL_MS:
                    raise OSError("a packet stopped in the middle")
                return None
            self._heard = self._now()
            self._pings = 0
            if self._size < 0:
                self._take_header(data)
            else:
                self._take_body(data)
            if self._size >= 0 and self._have >= self._size:
                kind, size = self._head >> 4, self._size
                self._begin()
                if size > len(self._buffer):
                    self.oversize += 1
                    continue
                return kind, self._view[:size]

    def _take_header(self, data):
        for byte in data:
            if not self._head:
                if byte >> 4 not in (CONNACK, PUBLISH, SUBACK, PINGRESP):
                    raise OSError("MQTT packet type %d" % (byte >> 4))
                self._head = byte
                continue
            self._length |= (byte & 0x7F) << self._shift
            self._shift += 7
            if not byte & 0x80:
                self._size = self._length
            elif self._shift > 21:
                raise OSError("MQTT length")
        if self._size > NONSENSE:
            raise OSError("MQTT length %d" % self._size)

    def _take_body(self, data):
        if self._size <= len(self._buffer):
            self._view[self._have : self._have + len(data)] = data
        self._have += len(data)


def parse_publish(body):
    """Body of a QoS 0 PUBLISH -> (topic, payload as memoryview). Raises ValueError."""
    if len(body) < 2:
        raise ValueError("PUBLISH")
    size = struct.unpack(">H", body[:2])[0]
    if len(body) < 2 + size:
        raise ValueError("PUBLISH topic")
    return bytes(body[2 : 2 + size]).decode(), body[2 + size :]
