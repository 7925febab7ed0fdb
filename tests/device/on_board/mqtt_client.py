"""The MQTT client on links that behave as badly as the K210's."""

from boardloop import mqtt

clock = [0]


def now():
    return clock[0]


class Script:
    """A link that gives prepared pieces: each recv takes at most one of them; b"" is a silence of one second."""

    def __init__(self, *pieces):
        self.pieces = [bytes(piece) for piece in pieces]
        self.sent = []

    def send(self, data):
        self.sent.append(bytes(data))

    def recv(self, count):
        if not self.pieces or not self.pieces[0]:
            if self.pieces:
                self.pieces.pop(0)
            clock[0] += 1000
            return b""
        piece = self.pieces[0]
        self.pieces[0] = piece[count:]
        if not self.pieces[0]:
            self.pieces.pop(0)
        return piece[:count]

    def close(self):
        pass


def published(topic, payload):
    return mqtt.packet(0x30, mqtt._text(topic), payload)


def take(client, rounds):
    packets = []
    for _ in range(rounds):
        got = client.read()
        if got:
            packets.append((got[0], bytes(got[1])))
    return packets


def check_fragments():
    """Cut at every byte, with a silence in every cut: the packet comes out whole, and exactly once."""
    data = published("bl/x/down/ack", b"payload" * 30)
    for cut in range(1, len(data)):
        client = mqtt.Client(Script(data[:cut], b"", data[cut:]), now, 4096)
        [(kind, body)] = take(client, 3)
        assert kind == mqtt.PUBLISH
        topic, payload = mqtt.parse_publish(body)
        assert (topic, bytes(payload)) == ("bl/x/down/ack", b"payload" * 30)
        assert not client.mid_packet
    ones = [data[i : i + 1] for i in range(len(data))]
    assert len(take(mqtt.Client(Script(*ones), now, 4096), 2)) == 1


def check_exact_reads():
    """A K210 blocks until all bytes asked for came: nobody may ask for more than the packet has."""
    data = published("t", b"x" * 5000)

    class Strict(Script):
        def recv(self, count):
            assert count <= max(2, sum([len(piece) for piece in self.pieces])), count
            return Script.recv(self, count)

    client = mqtt.Client(Strict(data), now, 6000)
    assert len(take(client, 1)) == 1


def check_oversize():
    """A packet over the limit is read past; the next one is fine."""
    link = Script(published("t", b"x" * 5000) + published("t", b"small"))
    client = mqtt.Client(link, now, 1000)
    packets = take(client, 1)
    assert client.oversize == 1
    assert bytes(mqtt.parse_publish(packets[0][1])[1]) == b"small"


def refuses(*pieces):
    client = mqtt.Client(Script(*pieces), now, 1000)
    try:
        take(client, 20)
    except OSError:
        return True
    return False


def check_nonsense():
    assert refuses(b"\x10\x02ab")  # CONNECT from a broker
    assert refuses(b"\x00\x00")
    assert refuses(b"\x30\xff\xff\xff\xff\x01")  # a length of five bytes
    assert refuses(b"\x30\xff\xff\xff\x7f")  # 256 MiB
    assert refuses(b"\x30\x10abc")  # stops in the middle
    assert not refuses(b"\x30\x03", b"", b"\x00\x01t")
    for body in (b"", b"\x00", b"\x00\x09short"):
        try:
            mqtt.parse_publish(body)
        except ValueError:
            continue
        raise AssertionError(body)


def check_idle_and_ping():
    """Silence is no error. PINGREQ when quiet, three unanswered ones are the end; any packet stops that count."""
    link = Script()
    client = mqtt.Client(link, now, 1000)
    began = clock[0]
    ended = None
    for _ in range(100):
        assert client.read() is None
        try:
            client.keep()
        except OSError:
            ended = clock[0]
            break
    assert link.sent == [b"\xc0\x00"] * 3
    assert 35000 <= ended - began <= 45000, ended - began
    link = Script(*([b""] * 26 + [b"\xd0\x00"] + [b""] * 20))
    client = mqtt.Client(link, now, 1000)
    while link.pieces:
        client.read()
        client.keep()
    assert link.sent == [b"\xc0\x00"]


def check_one_send_per_packet():
    link = Script()
    client = mqtt.Client(link, now, 1000)
    client.connect("id", "user", "secret", "will/topic", b"gone")
    client.subscribe("a/#")
    client.publish("t", b"p" * 200, True)
    client.disconnect()
    assert [data[0] for data in link.sent] == [0x10, 0x82, 0x31, 0xE0]
    assert link.sent[0] == (
        b"\x10\x2e\x00\x04MQTT\x04\xe6\x00\x3c\x00\x02id\x00\x0awill/topic\x00\x04gone\x00\x04user\x00\x06secret"
    ), link.sent[0]
    assert link.sent[1] == b"\x82\x08\x00\x01\x00\x03a/#\x00"
    assert link.sent[2] == b"\x31\xcb\x01\x00\x01t" + b"p" * 200


check_fragments()
check_exact_reads()
check_oversize()
check_nonsense()
check_idle_and_ping()
check_one_send_per_packet()
print("mqtt client works")
