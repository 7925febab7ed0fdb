"""Releases: download, verify, try, commit or go back (docs/protocol.md section 7).

    update.json  {"release": "<id>", "state": "DOWNLOADING", "reason": "", "slot": "b", "resumed": false,
                  "wrap": "<192 hex>"}

The file says how far the release came; a restart goes on from it: DOWNLOADING at the byte reached, VERIFYING again from
its start, TRYING never (the new model may be what stopped the board): that is FAILED LOAD_FAILED.
"""

try:
    import ustruct as struct
except ImportError:
    import struct
import gc

from boardloop import frames, rsa, verify
from boardloop.crypto import hexlify, unhex
from boardloop.manifest import LARGEST_MANIFEST
from boardloop.slots import PARTS, PAYLOAD
from boardloop.verify import Refused

NAME = "update.json"
DOWNLOADING, VERIFYING, TRYING, COMMITTED, FAILED = "DOWNLOADING", "VERIFYING", "TRYING", "COMMITTED", "FAILED"
PULL_MS = 5000
PULLS = 4  # unanswered ones in a row before the connection is made anew
RECONNECT_MS = 300000
SPARE = 32768  # bytes of storage that stay free beside a release
STEP_PERCENT = 10  # the display counts the download in such steps


class Update:
    """`owner` gets: tell(word, *values) for the display, report() to send a REPORT, and for the golden run
    begin_trial() (the camera's model is to be unloaded, the KPU left alone) and end_trial()."""

    def __init__(self, port, storage, link, clock, identity, slots, owner):
        self._port = port
        self._storage = storage
        self._link = link
        self._clock = clock
        self._identity = identity
        self._slots = slots
        self._owner = owner
        self._sizes = None
        self._work = None
        self._manifest = None
        self._pulled = 0
        self._asked = None  # (part, offset) of the PULL on its way
        self._deadline = 0
        self._sequence = 0
        self._document = {}
        self._recover()

    def _recover(self):
        document = self._storage.load(NAME)
        if document.get("release", "") == self._slots.release:
            document = {}  # power went between the commit and the tidying up
            self._slots.tidy()
            self._storage.remove(NAME)
        self._document = document
        if not document:
            return
        self._document["resumed"] = True
        if self.state == TRYING:
            self._fail("LOAD_FAILED")
        elif self.state == FAILED:
            self._slots.clear(document["slot"])

    # --- what others ask

    @property
    def state(self):
        return self._document.get("state", "")

    @property
    def exclusive(self):
        """A long hash runs: nothing else may hash, so neither link nor camera model may work."""
        return self._work is not None and self.state == VERIFYING

    @property
    def awaiting(self):
        """A PULL is on its way: listen, send nothing."""
        return self._asked is not None

    def status(self):
        """-> (release, state, reason) for REPORT."""
        if self.state:
            return self._document["release"], self.state, self._document["reason"]
        return self._slots.release, COMMITTED if self._slots.release else "", ""

    # --- DESIRED

    def on_desired(self, desired):
        """A DESIRED came (also the same one again, after each subscription)."""
        release = desired.get("release")
        if release == "" or release == self._slots.release:
            self._abandon()
            return
        try:
            unhex(release, 16)
            wrap = hexlify(unhex(desired["wrap"], 96))
            sizes = [int(size) for size in desired["sizes"]]
        except (ValueError, KeyError, TypeError):
            return
        if len(sizes) != 3 or min(sizes) < 1:
            return
        if release != self._document.get("release"):
            self._start(release, wrap)
        elif self.state == FAILED and self._document["reason"] == "BAD_KEY" and wrap != self._document["wrap"]:
            self._start(release, wrap)  # wrapped anew for this board: DESIRED has changed
        elif wrap != self._document["wrap"] and self.state == DOWNLOADING:
            self._document["wrap"] = wrap
            self._storage.save(NAME, self._document)
        self._sizes = sizes

    def _abandon(self):
        if self._document:
            self._stop()
            if self.state != FAILED:
                self._slots.clear(self._document["slot"])
            self._document = {}
            self._storage.remove(NAME)

    def _stop(self):
        self._work = None
        self._asked = None
        self._manifest = None
        self._owner.end_trial()

    def _start(self, release, wrap):
        self._stop()
        slot = self._slots.idle()
        # First the note, then the deletion: a power cut between them only costs what was there of an older release.
        self._document = {"release": release, "slot": slot, "wrap": wrap, "resumed": False}
        self._slots.clear(slot)
        self._enter(DOWNLOADING)

    def _enter(self, state, reason=""):
        self._document["state"] = state
        self._document["reason"] = reason
        self._storage.save(NAME, self._document)
        self._owner.tell("update_failed" if reason else "update", reason or state)
        self._owner.report()

    def _fail(self, reason):
        """The old model runs on; the same release is not tried again until DESIRED changes."""
        self._work = None
        self._asked = None
        self._document["state"] = FAILED  # kept even if the storage below fails
        self._document["reason"] = reason
        self._owner.end_trial()
        self._enter(FAILED, reason)
        self._slots.clear(self._document["slot"])

    # --- one step

    def step(self):
        """One unit of work -> True when there was something to do."""
        if self._sizes is None or self.state in ("", FAILED) or not self._clock.time():
            return False
        try:
            if self._work is None and self.state == DOWNLOADING:
                return self._download()
            if self._work is None:
                self._work = self._verify_and_try()
            return next(self._work)
        except Refused as refused:
            self._refused(refused.args[0])
        except OSError:  # the storage gave up: nothing else raises it here
            self._fail("LOAD_FAILED" if self.state == TRYING else "NO_SPACE")
        gc.collect()
        return True

    def _refused(self, reason):
        """A download that went over a restart may hold rubbish of the storage: fetch it once more, whole."""
        if reason not in ("BAD_SIGNATURE", "BAD_HASH") or not self._document["resumed"]:
            self._fail(reason)
            return
        self._work = self._manifest = None
        self._document["resumed"] = False
        self._slots.clear(self._document["slot"])
        self._enter(DOWNLOADING)

    # --- download

    def _name(self, part):
        return self._slots.name(self._document["slot"], part)

    def _download(self):
        """Ask for the next block, or go on when all is there. The files' sizes say how far the download is."""
        if not self._link.ready:
            self._asked = None
            return False
        if self._asked:
            if self._clock.now() < self._deadline:
                return False
            self._asked = None
            self._pulled += 1
            if self._pulled >= PULLS:
                self._pulled = 0
                self._link.lost("no answer to PULL")
                return True
        for number in range(3):
            size = max(0, self._storage.size(self._name(PARTS[number])))
            if size < self._sizes[number]:
                self._pull(number, size)
                return True
            if size > self._sizes[number]:
                self._storage.remove(self._name(PARTS[number]))
                return True
            if number == 1 and self._manifest is None:
                self._judge_manifest()
                self._check_space()
        self._enter(VERIFYING)
        return True

    def _judge_manifest(self):
        """Everything that can be known before the payload is fetched. Raises Refused."""
        m = verify.read_manifest(self._storage, self._name, self._identity.signer)
        document = self._document
        reason = m.refusal(self._port, document["release"], self._sizes[2], self._slots.counter, self._clock.time())
        if reason:
            raise Refused(reason)
        verify.content_key(self._identity.keys, m.release, document["wrap"])
        self._manifest = m

    def _check_space(self):
        m = self._manifest
        there = max(0, self._storage.size(self._name(PAYLOAD)))
        if self._port.free() < m.payload_size - there + m.model_size + m.golden_size + SPARE:
            raise Refused("NO_SPACE")

    def _pull(self, number, offset):
        if number == 0 and self._sizes[0] > LARGEST_MANIFEST or number == 1 and self._sizes[1] != rsa.SIZE:
            raise Refused("BAD_MANIFEST")
        length = min(self._link.block, self._sizes[number] - offset)
        request = unhex(self._document["release"], 16) + struct.pack(">BII", number, offset, length)
        self._sequence = self._link.send(frames.PULL, request)
        if self._sequence:
            self._asked = (number, offset, length)
            self._deadline = self._clock.now() + PULL_MS

    def on_block(self, plaintext):
        """BLOCK: written at once if it is the one asked for; anything else is an answer that came twice."""
        if self._asked is None or len(plaintext) < 22:
            return
        number, offset, length = self._asked
        head = unhex(self._document["release"], 16) + struct.pack(">BI", number, offset)
        if plaintext[:21] != head or len(plaintext) > 21 + length:
            return
        self._asked = None
        self._pulled = 0
        self._link.accepted()
        try:
            name = self._name(PARTS[number])
            if max(0, self._storage.size(name)) == offset:
                self._storage.append(name, plaintext[21:])
            self._show_progress(number, offset, len(plaintext) - 21)
        except OSError:
            self._fail("NO_SPACE")

    def on_ack(self, ack, session, sequence):
        """An ACK that no capture claimed -> True when it was about the PULL on its way."""
        if self._asked is None or ack["for"] or (sequence and sequence != self._sequence):
            return False
        reason = ack["reason"]
        self._deadline = self._clock.now() + PULL_MS
        if reason in ("REPLAYED", "BAD_MAC"):
            self._asked = None
            self._link.rehello()
        elif reason == "MALFORMED":
            self._deadline += 5 * PULL_MS  # not desired any more: the new DESIRED must be on its way
        return True

    def _show_progress(self, number, offset, length):
        size = self._sizes[number]
        before, after = 100 * offset // size // STEP_PERCENT, 100 * (offset + length) // size // STEP_PERCENT
        if number == 2 and after > before:
            self._owner.tell("downloaded", after * STEP_PERCENT)

    # --- verify, try, commit

    def _verify_and_try(self):
        """Generator: yields True after a piece of work, False while it only waits. Raises Refused, OSError."""
        self._judge_manifest()
        m = self._manifest
        key = verify.content_key(self._identity.keys, m.release, self._document["wrap"])
        work = verify.unpack(self._storage, self._name, self._slots.model, m, key)
        for _ in work:
            self._port.feed()
            yield True
        self._enter(TRYING)  # on storage before the chip sees the model
        yield True
        self._owner.begin_trial()
        path = self._slots.path(self._document["slot"])
        for _ in verify.golden_run(self._port, self._storage, self._name, path, m):
            self._port.feed()
            yield True
        self._owner.end_trial()
        self._link.drop()
        since = self._clock.now()
        while not self._link.ready:
            if self._clock.now() - since > RECONNECT_MS:
                raise Refused("NOT_RECONNECTED")
            yield False
        self._commit()
        yield True

    def _commit(self):
        self._slots.commit(self._document["slot"], self._manifest)
        self._work = self._manifest = None
        self._document = {}
        self._storage.remove(NAME)
        self._owner.tell("update", COMMITTED)
        self._owner.report()
