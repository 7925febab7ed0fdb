"""The board's connection: TCP, MQTT login, HELLO and WELCOME, frames up and down, back-off.

    DOWN -> LOGIN (CONNACK) -> SUBSCRIBE (SUBACK) -> SETTLE -> GREET (WELCOME) -> READY

One `step` or `poll` takes about one silence of the link (1 s) at most, so that the button stays alive. SETTLE lets the
retained messages in before anything is sent: a half-duplex ESP8285 throws away what comes while it sends.
"""

try:
    import ujson as json
except ImportError:
    import json

from boardloop import VERSION, frames, mqtt
from boardloop.crypto import hexlify, sha256, unhex

DOWN, LOGIN, SUBSCRIBE, SETTLE, GREET, READY = 0, 1, 2, 3, 4, 5

ANSWER_MS = 10000  # CONNACK, SUBACK
WELCOME_MS = 5000
HELLOS = 3
SETTLE_MS = 4000
BACK_OFF_MS = 1000
LONGEST_BACK_OFF_MS = 60000
REFUSALS = 3  # logins refused before an older pairing is tried again
REFRESH_MS = 120000  # retained messages may have been lost while sending: subscribe again
HURRY_MS = 20000  # the same while the project is not known yet
NAP_MS = 200
LONGEST_PROJECT = 14336  # bytes of a PROJECT packet: 100 labels of 32 characters, a name of 64, 4 bytes each
INSTANT_MS = 5  # a silence shorter than this is no time-out: a closed socket, or a press that woke the port
INSTANTS = 3


class Link:
    """`owner` gets: on_frame(kind, session, sequence, plaintext), on_link(word, detail) with a word of texts.py,
    and hello() -> the fields of HELLO that it knows (release, counter)."""

    def __init__(self, port, identity, clock, pool, owner):
        self._port = port
        self._identity = identity
        self._clock = clock
        self._pool = pool
        self._owner = owner
        self._client = None
        self._limit = max(LONGEST_PROJECT, port.block + 512)
        self._wait = BACK_OFF_MS
        self._next_try = 0
        self._deadline = 0
        self._hellos = 0
        self._all_hellos = 0
        self._refusals = 0
        self._strikes = 0
        self._nonce = b""
        self._refresh_at = 0
        self._instants = 0
        self.state = DOWN
        self.session = 0
        self.sequence = 0
        self.block = port.block
        self.project_seen = False
        self.bad_frames = 0
        self.error = ""

    @property
    def ready(self):
        return self.state == READY

    @property
    def mid_packet(self):
        return self._client is not None and self._client.mid_packet

    # --- connecting

    def step(self):
        """Bring the connection one step on (when not READY)."""
        try:
            if self.state == DOWN:
                self._dial()
            elif not self._listen():
                self._silence()
        except OSError as error:
            self.lost(error)

    def _dial(self):
        rest = self._next_try - self._clock.now()
        if rest > 0:
            self._port.sleep_ms(min(NAP_MS, rest))
            return
        identity = self._identity
        self._owner.on_link("connecting", identity.host)
        try:
            link = self._port.connect(identity.host, identity.port)
        except OSError as error:
            self._rejoin()
            raise error
        self._client = mqtt.Client(link, self._clock.now, self._limit)
        topic = "bl/" + identity.board + "/state"
        self._client.connect(identity.login, identity.login, identity.keys.password, topic, b'{"online": false}')
        self._go(LOGIN, ANSWER_MS)

    def _rejoin(self):
        """Join the WiFi again: without it no connection can be made."""
        if self._identity.wifi:
            try:
                self._port.wifi(*self._identity.wifi)
            except OSError:
                self._owner.on_link("wifi_failed", self._identity.wifi[0])

    def _go(self, state, wait_ms):
        self.state = state
        self._deadline = self._clock.now() + wait_ms

    def _silence(self):
        """Nothing came while waiting for an answer."""
        now = self._clock.now()
        if self.state == SETTLE:
            if not self.mid_packet or now > self._deadline:
                self._say_hello()
        elif now > self._deadline:
            if self.state == GREET and self._hellos < HELLOS:
                self._say_hello()
            else:
                raise OSError("no answer in state %d" % self.state)

    def _say_hello(self):
        """A new nonce and a new sequence each time: only the latest HELLO's answer counts, and no IV repeats."""
        identity = self._identity
        self._hellos += 1
        self._all_hellos += 1
        if self._all_hellos > 0xFFF:
            identity.count_boot()
            self._all_hellos = 1
        self._nonce = self._pool.read(16)
        hello = {
            "nonce": hexlify(self._nonce),
            "hardware": hexlify(sha256(self._port.unique_id())[:8]),
            "type": self._port.board_type,
            "firmware": self._port.firmware,
            "core": VERSION,
        }
        hello.update(self._owner.hello())
        sequence = (identity.boots << 12 | self._all_hellos) & 0xFFFFFFFF
        self._publish(frames.HELLO, 0, sequence, json.dumps(hello).encode())
        self._go(GREET, WELCOME_MS)

    def rehello(self):
        """The server wants a new session (REPLAYED) or could not read us (BAD_MAC)."""
        self._strikes += 1
        try:
            if self._strikes > HELLOS:
                raise OSError("every new session is refused")
            if self.state == READY:
                self._hellos = 0
                self._say_hello()
        except OSError as error:
            self.lost(error)

    def accepted(self):
        """The server took a frame of this session."""
        self._strikes = 0

    def lost(self, error):
        """Give the connection up and try again later."""
        self.drop()
        self._next_try = self._clock.now() + self._wait + self._pool.read(1)[0] * self._wait // 512
        self._owner.on_link("offline", self._wait // 1000)
        self._wait = min(2 * self._wait, LONGEST_BACK_OFF_MS)
        self.error = str(error)

    def drop(self):
        """Close now; the next step connects again at once."""
        if self._client:
            self._client.disconnect()
            self._client = None
        self.state = DOWN
        self._next_try = 0
        self._hellos = 0
        self._strikes = 0

    def slow(self):
        """The server does not know us: go on trying, slowly."""
        self._wait = LONGEST_BACK_OFF_MS
        self.lost("unknown board")

    # --- sending

    def _publish(self, kind, session, sequence, plaintext):
        data = frames.seal(kind, session, sequence, plaintext, self._identity.keys)
        self._client.publish("bl/" + self._identity.board + "/up/" + frames.TOPIC_WORDS[kind], data)

    def send(self, kind, plaintext):
        """Seal and publish in the present session -> the frame's sequence, or 0 when the link broke."""
        if self.state != READY:
            return 0
        self.sequence += 1
        try:
            self._publish(kind, self.session, self.sequence, plaintext)
        except OSError as error:
            self.lost(error)
            return 0
        return self.sequence

    # --- receiving

    def poll(self):
        """READY: wait for one silence at most for one packet, keep the connection alive -> True when a packet came."""
        if self.state != READY:
            return False
        try:
            if self._listen():
                return True
            now = self._clock.now()
            if now > self._refresh_at and not self.mid_packet:
                self._refresh(now)
            return False
        except OSError as error:
            self.lost(error)
            return False

    def _refresh(self, now):
        self._refresh_at = now + (REFRESH_MS if self.project_seen else HURRY_MS)
        self._client.subscribe("bl/" + self._identity.board + "/down/#")

    def _listen(self):
        """One read. -> True when a packet came and was handled."""
        client = self._client
        began = self._clock.now()
        got = client.read()
        if got:
            self._take(got[0], got[1])
            return True
        if self._clock.now() - began >= INSTANT_MS:
            self._instants = 0
        else:
            self._instants += 1
            if self._instants >= INSTANTS:
                self._port.sleep_ms(NAP_MS)
                client.probe()
        client.keep()
        return False

    def _take(self, kind, body):
        if kind == mqtt.PUBLISH:
            try:
                topic, payload = mqtt.parse_publish(body)
            except ValueError:
                raise OSError("broken PUBLISH")
            self._take_publish(topic, payload)
        elif kind == mqtt.CONNACK and self.state == LOGIN:
            self._take_connack(bytes(body))
        elif kind == mqtt.SUBACK:
            if len(body) > 2 and body[2] == 0x80:
                raise OSError("the broker refuses the subscription")
            if self.state == SUBSCRIBE:
                self._client.publish("bl/" + self._identity.board + "/state", b'{"online": true}', True)
                self._go(SETTLE, SETTLE_MS)

    def _take_connack(self, body):
        code = body[1] if len(body) == 2 else 255
        if code in (4, 5):  # bad user name or password; not authorised
            self._refusals += 1
            self._owner.on_link("refused", self._identity.login)
            if self._refusals >= REFUSALS and not self._identity.paired and self._identity.go_back():
                self._refusals = 0
        if code:
            raise OSError("CONNACK %d" % code)
        self._refusals = 0
        self._client.subscribe("bl/" + self._identity.board + "/down/#")
        self._go(SUBSCRIBE, ANSWER_MS)

    def _take_publish(self, topic, payload):
        if topic.endswith("/down/refused"):
            self._owner.on_link("unknown", self._identity.board)
            if self.state == GREET:
                self.slow()
            return
        try:
            kind, session, sequence, plaintext = frames.unseal(payload, self._identity.keys)
        except frames.FrameError:
            self.bad_frames += 1  # e.g. a retained frame of an older pairing
            return
        if kind == frames.WELCOME:
            self._welcome(plaintext)
        elif kind == frames.ACK and self.state == GREET:
            self._refused_hello(plaintext)
        else:
            self._owner.on_frame(kind, session, sequence, plaintext)

    def _refused_hello(self, plaintext):
        if b"UNKNOWN_BOARD" in plaintext:
            self._owner.on_link("unknown", self._identity.board)
            self.slow()

    def _welcome(self, plaintext):
        """Take the session, or finish the pairing. An answer to an older HELLO is ignored."""
        try:
            welcome = json.loads(plaintext.decode())
            if self.state != GREET or unhex(welcome["nonce"], 16) != self._nonce:
                return
            session, time, block = int(welcome["session"]), int(welcome["time"]), int(welcome["block"])
            renew = welcome.get("renew")
            if renew is not None:
                renew, signer = unhex(renew, 16), hexlify(unhex(welcome["signer"], 384))
        except (ValueError, KeyError, TypeError, AttributeError):
            self.bad_frames += 1
            return
        self._clock.set(time)
        self._wait = BACK_OFF_MS
        if renew is not None and not self._identity.paired:
            self._owner.on_link("pairing", self._identity.board)
            self._identity.finish(self._nonce, renew, signer)
            self.drop()
            return
        self.session, self.sequence = session, 0
        self.block = max(1, min(self._port.block, block))
        self.state = READY
        self._refresh_at = self._clock.now() + HURRY_MS
        self._owner.on_link("online", self._identity.board)
