"""Captures waiting for their proof of storage.

A press becomes a file (the capture record of docs/protocol.md section 4) before anything is sent; the file goes away
only on STORED or DUPLICATE, and is moved to rejected/ when the server will never take it. Nothing is ever deleted
otherwise: when the storage is full a new press is refused, with words, instead.

    outbox/00000017.blc                      waiting; the name is the capture's seq
    rejected/00000016-UNKNOWN_LABEL.blc      put aside, with the reason
    seq.json                                 {"next": 64}: every seq below may have been used
"""

try:
    import ujson as json
except ImportError:
    import json
try:
    import ustruct as struct
except ImportError:
    import struct

from boardloop import frames
from boardloop.crypto import hexlify, sha256_open

SEQ_NAME = "seq.json"
SEQ_STEP = 32  # sequence numbers reserved by one write of seq.json
RESERVE = 32768  # bytes of storage that stay free for boardloop.json and its kind
WINDOW = 64  # names of waiting captures held in memory
READ = 2048
ACK_MS = 5000
TRIES = 3  # unanswered last chunks before other work gets a turn
RUNS = 8
STRIKES = 5  # refusals of the frame, not of the capture, after which the wait grows no longer

DONE = ("STORED", "DUPLICATE")
ASIDE = ("MALFORMED", "TOO_LARGE", "NOT_JPEG", "UNKNOWN_LABEL")
LATER_MS = {"STORAGE_FULL": 30000, "BUSY": 5000, "UNAVAILABLE": 5000, "UNKNOWN_BOARD": 60000}


class Full(Exception):
    """The storage has no room for this capture; the press was not taken."""


def _number(name):
    """seq out of a file name, -1 for any other file."""
    head = name[:8]
    return int(head) if len(head) == 8 and head.isdigit() and name.endswith(".blc") else -1


class Transfer:
    """The one capture that is on its way."""

    def __init__(self, seq, name, capture_id, total, count, label):
        self.seq = seq
        self.name = name
        self.id = capture_id
        self.hex = hexlify(capture_id)
        self.total = total
        self.count = count
        self.label = label
        self.next = 0
        self.resend = []
        self.tries = 0
        self.strikes = 0
        self.session = 0
        self._runs = []  # [first, last] sequences of its frames in this session, the latest RUNS of them

    def sent(self, session, sequence):
        """Remember which frames carried it: an ACK without an id is tied to it by them."""
        if session != self.session:
            self.session, self._runs = session, []
        if self._runs and self._runs[-1][1] + 1 == sequence:
            self._runs[-1][1] = sequence
        else:
            self._runs = self._runs[1 - RUNS :] + [[sequence, sequence]]

    def is_mine(self, session, sequence):
        if session != self.session:
            return False
        for first, last in self._runs:
            if first <= sequence <= last:
                return True
        return False


class Outbox:
    """`tell(word, *values)`: what the display shows, a word of texts.py."""

    def __init__(self, port, storage, link, clock, tell):
        self._port = port
        self._storage = storage
        self._link = link
        self._clock = clock
        self._tell = tell
        self._heads = []
        self._transfer = None
        self._deadline = 0
        self._not_before = 0
        self.awaiting = False
        storage.folder("outbox")
        storage.folder("rejected")
        self._recover()

    def _recover(self):
        """Count what is there, remove what a power cut left unfinished, find the next seq."""
        highest = self._storage.load(SEQ_NAME).get("next", 1) - 1
        self.waiting = self.rejected = 0
        unfinished = []
        for folder in ("outbox", "rejected"):
            for name in self._storage.names(folder):
                seq = _number(name)
                if seq < 0:
                    if folder == "outbox" and name.endswith(".new"):
                        unfinished.append(name)
                    continue
                highest = max(highest, seq)
                if folder == "outbox":
                    self.waiting += 1
                else:
                    self.rejected += 1
        for name in unfinished:
            self._storage.remove("outbox/" + name)
        self._next_seq = self._reserved = highest + 1

    def _take_seq(self):
        if self._next_seq >= self._reserved:
            self._storage.save(SEQ_NAME, {"next": self._next_seq + SEQ_STEP})
            self._reserved = self._next_seq + SEQ_STEP
        seq = self._next_seq
        self._next_seq += 1
        return seq

    def add(self, label, jpeg, width, height, at):
        """Put a capture on storage -> its seq. When it returns, no power cut loses it. Raises Full."""
        if self._port.free() < len(jpeg) + RESERVE:
            raise Full()
        try:
            seq = self._take_seq()
            about = json.dumps({"seq": seq, "label": label, "at": at, "w": width, "h": height}).encode()
            self._storage.write("outbox/%08d.blc" % seq, (b"BLC1", struct.pack(">H", len(about)), about, jpeg))
        except OSError:
            raise Full()
        self.waiting += 1
        if len(self._heads) + 1 == self.waiting and self.waiting <= WINDOW:  # else a later look at the folder finds it
            self._heads.append(seq)
        return seq

    # --- sending

    def _head(self):
        """The lowest waiting seq, or -1. Looks at the folder when the window in memory is used up."""
        if not self._heads and self.waiting:
            for name in self._storage.names("outbox"):
                seq = _number(name)
                if seq >= 0:
                    self._heads.append(seq)
                    if len(self._heads) >= 2 * WINDOW:
                        self._heads.sort()
                        del self._heads[WINDOW:]
            self._heads.sort()
            if not self._heads:
                self.waiting = 0
        return self._heads[0] if self._heads else -1

    def _load(self, seq):
        """Hash the record in place, a block at a time -> Transfer, or None when the file is no record."""
        name = "outbox/%08d.blc" % seq
        total = self._storage.size(name)
        whole = sha256_open()
        try:
            with self._storage.open(name) as f:
                start = f.read(READ)
                size = struct.unpack(">H", start[4:6])[0] if start[:4] == b"BLC1" else 0
                block = start
                while block:
                    whole.update(block)
                    block = f.read(READ)
        finally:
            digest = whole.digest()
        try:
            label = json.loads(start[6 : 6 + size].decode())["label"]
        except (ValueError, KeyError, TypeError):
            return None
        chunk = self._port.chunk
        return Transfer(seq, name, digest[:16], total, (total + chunk - 1) // chunk, label)

    def step(self):
        """One unit of work -> True when a chunk was sent. `awaiting` says: now listen, send nothing else."""
        if self._clock.now() < self._not_before or not self._link.ready:
            self.awaiting = False
            return False
        if self._transfer is None:
            seq = self._head()
            if seq < 0:
                return False
            self._transfer = self._load(seq)
            if self._transfer is None:
                self._put_aside(seq, "DAMAGED")
                return False
        index = self._next_index(self._transfer)
        if index < 0:
            return False
        self._send(self._transfer, index)
        return True

    def _next_index(self, t):
        if t.resend:
            return t.resend.pop(0)
        if t.next < t.count:
            t.next += 1
            return t.next - 1
        if self.awaiting and self._clock.now() < self._deadline:
            return -1
        if self.awaiting:
            t.tries += 1
            if t.tries % TRIES == 0:  # nobody answers: let an update have a turn
                self.awaiting = False
                self._not_before = self._clock.now() + min(ACK_MS * (t.tries // TRIES), 30000)
                return -1
        return t.count - 1  # makes the server answer again

    def _send(self, t, index):
        chunk = self._port.chunk
        with self._storage.open(t.name) as f:
            f.seek(index * chunk)
            data = f.read(chunk)
        head = t.id + struct.pack(">IHH", t.total, index, t.count)
        sequence = self._link.send(frames.CAPTURE, head + data)
        if not sequence:
            self.awaiting = False
            return
        t.sent(self._link.session, sequence)
        self.awaiting = not t.resend and t.next >= t.count
        if self.awaiting:
            self._deadline = self._clock.now() + ACK_MS

    # --- answers

    def _is_mine(self, t, ack, session, sequence):
        if ack["for"]:
            return ack["for"] == t.hex
        return not sequence or t.is_mine(session, sequence)

    def on_ack(self, ack, session, sequence):
        """`ack`: the dict of an ACK. -> True when it was about a capture."""
        t = self._transfer
        if t is None or not self._is_mine(t, ack, session, sequence):
            return False
        reason = ack["reason"]
        self.awaiting = False
        if reason in ("REPLAYED", "BAD_MAC"):
            self._not_before = self._clock.now() + ACK_MS * min(t.strikes, STRIKES)
            t.strikes += 1
            self._link.rehello()
            return True
        self._link.accepted()
        if reason in DONE:
            if ack["for"]:
                self._finish(t)
        elif reason == "MISSING":
            t.tries = 0
            t.resend = self._indices(t, ack.get("missing"))
        elif reason in ASIDE and (ack["for"] or sequence):
            self._put_aside(t.seq, reason)
        else:
            self._not_before = self._clock.now() + LATER_MS.get(reason, 5000)
            t.resend = []
            t.next = t.count
            self._tell("unknown" if reason == "UNKNOWN_BOARD" else "kept", self.waiting, reason)
        return True

    def _indices(self, t, missing):
        found = []
        for index in missing if isinstance(missing, list) else ():
            if isinstance(index, int) and 0 <= index < t.count and index not in found:
                found.append(index)
        return found

    def _leave(self, seq):
        """The head has gone from outbox/."""
        self._heads.remove(seq)
        self._transfer = None
        self.waiting -= 1

    def _finish(self, t):
        self._storage.remove(t.name)
        self._leave(t.seq)
        self._tell("stored", t.seq, self.waiting)

    def _put_aside(self, seq, reason):
        label = self._transfer.label if self._transfer else ""
        self._storage.move("outbox/%08d.blc" % seq, "rejected/%08d-%s.blc" % (seq, reason))
        self._leave(seq)
        self.rejected += 1
        if reason == "UNKNOWN_LABEL":
            self._tell("no_such_label", seq, label)
        else:
            self._tell("put_aside", seq, reason)
