"""The board: button, label wheel, captures, classification, reports. `App(port).run()` is all a board does.

The wheel has the project's labels, then "classify" when a model is committed. Short press: capture with that label, or
classify. Long press: next entry. Hold: scan a WiFi or pairing code again (any press leaves that).
The model is loaded only while the wheel stands on "classify": on a K210 it competes with the camera for memory.
"""

import gc

try:
    import ujson as json
except ImportError:
    import json
import math

from boardloop import VERSION, frames
from boardloop.clock import Clock
from boardloop.crypto import Pool
from boardloop.identity import Identity
from boardloop.link import Link

gc.collect()
from boardloop.outbox import Full, Outbox
from boardloop.slots import Slots
from boardloop.storage import Storage
from boardloop.texts import say
from boardloop.update import Update

gc.collect()

PROJECT_NAME = "project.json"
REPORT_MS = 60000
SCAN_MS = 120000  # a board that has a pairing goes back to it when nothing is shown for so long
SCAN_NAP_MS = 100
CLASSIFY = None  # the wheel's last entry; labels are strings
REHELLO_MS = 10000  # between two new sessions that nobody waits for
MESSAGE_MS = 5000  # then the display shows again where the wheel stands
TROUBLES = 20  # rounds in a row that failed before the board starts anew


class App:
    def __init__(self, port):
        self.port = port
        self._language = "en"
        self._shown = None
        self._shown_at = 0
        self.clock = Clock(port)
        self._storage = Storage(port.root, port.flat)
        self.identity = Identity(self._storage)
        self._language = self.identity.language
        self.tell("start", VERSION)
        ticks = str(port.ticks_ms()).encode()
        self._pool = Pool(port.unique_id(), str(self.identity.boots).encode(), ticks)
        self.link = Link(port, self.identity, self.clock, self._pool, self)
        self.outbox = Outbox(port, self._storage, self.link, self.clock, self.tell)
        self.slots = Slots(port, self._storage, self.identity)
        project = self._storage.load(PROJECT_NAME)
        self._labels = project.get("labels", [])
        self._entry = 0
        self._loaded = False
        self._trial = False
        self._report_at = 0
        self._reported = (0, 0)  # captures waiting and put aside, as the last REPORT said
        self._rehello_at = 0
        self._settling = False  # a new session: what the server has to say at once comes before anything is sent
        self._scanning = False
        self._scan_until = 0
        self._code = None
        self.update = Update(port, self._storage, self.link, self.clock, self.identity, self.slots, self)
        self._begin()

    def _begin(self):
        if self.identity.wifi:
            self._join_wifi()
        if not self.identity.known:
            self._start_scan()
        else:
            self._show_entry()

    # --- display

    def tell(self, word, *values):
        text = say(self._language, word, *values)
        if text != self._shown:
            self._shown = text
            self._shown_at = self.clock.now()
            self.port.show(text)

    def _show_entry(self):
        entry = self.entry
        if entry is CLASSIFY:
            self.tell("classify")
        elif entry:
            self.tell("label", entry)
        else:
            self.tell("no_label")

    # --- the wheel

    @property
    def wheel(self):
        """Labels (or "" while the project has none), then CLASSIFY when there is a model."""
        wheel = list(self._labels) or [""]
        if self.slots.release:
            wheel.append(CLASSIFY)
        return wheel

    @property
    def entry(self):
        wheel = self.wheel
        return wheel[self._entry % len(wheel)]

    def _turn(self):
        self._entry = (self._entry + 1) % len(self.wheel)
        if self.entry is not CLASSIFY:
            self._unload()
        self._show_entry()

    # --- one round

    def run(self):
        """Rounds for ever. A round that fails is shown; many in a row start the board anew."""
        troubles = 0
        while True:
            try:
                self.step()
                troubles = 0
            except Exception as error:  # whatever it is, nobody stands beside the board to start it again
                troubles += 1
                gc.collect()
                self.tell("trouble", error)
                if troubles >= TROUBLES:
                    self.port.reset()
                self.port.sleep_ms(500)

    def step(self):
        """One round: the button, then one piece of work or about one second of listening."""
        self.port.feed()
        self.clock.now()
        press = self.port.button()
        if press:
            self._shown = None  # what a press leads to is shown also when it is the text that stands there
            self._press(press)
        if self._scanning:
            self._scan()
            return
        if self.clock.now() - self._shown_at > MESSAGE_MS:
            self._show_entry()
        if self.update.exclusive:
            self.update.step()
        elif not self.link.ready:
            if self.identity.known:
                self.link.step()
            if not self.link.ready:
                self.update.step()
        else:
            self._work()

    def _work(self):
        """READY: hear what a new session brings, finish a packet that has begun, send a chunk, update, or listen."""
        if self._settling:
            self._settling = self.link.poll() or self.link.mid_packet
            return
        if self.link.mid_packet or self.outbox.awaiting or self.update.awaiting:
            self.link.poll()
            if self.link.mid_packet:
                return
        if self._report_due and not self.outbox.awaiting and not self.update.awaiting:
            self.report()
            return
        if not self.update.awaiting and (self.outbox.step() or self.outbox.awaiting):
            return
        if not self.update.step() and not self.update.awaiting:
            self.link.poll()

    @property
    def _report_due(self):
        """Every minute, and when the outbox that the server believes full is empty."""
        emptied = self._reported != (0, self.outbox.rejected) and not self.outbox.waiting
        return emptied or self.clock.now() >= self._report_at

    # --- button

    def _press(self, press):
        if self._scanning:
            if self.identity.known and press != "hold":
                self._end_scan()
        elif press == "hold":
            self._unload()
            self._start_scan()
        elif press == "long":
            self._turn()
        elif self.entry is CLASSIFY:
            self._classify()
        else:
            self._capture(self.entry)

    def _capture(self, label):
        gc.collect()
        try:
            jpeg, width, height = self.port.capture()
        except (OSError, MemoryError):
            self.tell("camera_failed")
            return
        self._pool.stir(jpeg)
        try:
            seq = self.outbox.add(label, jpeg, width, height, self.clock.time())
        except Full:
            self.tell("full", self.outbox.waiting)
            return
        jpeg = None
        gc.collect()
        self.tell("captured", seq, label)

    # --- classify

    def _unload(self):
        if self._loaded:
            self.port.unload_model()
            self._loaded = False
            gc.collect()

    def _load(self):
        """The committed model into the chip -> False (and says why) when that is not possible."""
        if not self.slots.check():
            self.tell("model_damaged")
            self.report()
            return False
        if not self._loaded:
            gc.collect()
            self.port.load_model(self.slots.path(self.slots.committed["slot"]))
            self._loaded = True
        return True

    def _classify(self):
        """One frame through the model: shown, and sent as RESULT when there is a connection."""
        if self._trial or self.update.exclusive:
            self.tell("busy")
            return
        try:
            if self._load():
                self._infer(self.slots.committed)
        except (OSError, ValueError, MemoryError, RuntimeError):
            self._unload()
            self.tell("model_failed")

    def _infer(self, model):
        frame = self.port.frame(model["width"], model["height"])
        frame_id = self.port.frame_id(frame)
        began = self.port.ticks_ms()
        logits = self.port.infer(frame)
        took = self.port.ticks_diff(self.port.ticks_ms(), began)
        frame = None
        scores = softmax(logits)
        best = scores[0]
        labels = model["labels"]
        name = labels[best[0]] if best[0] < len(labels) else str(best[0])
        self.tell("result", name, int(100 * best[1] + 0.5))
        result = {"release": model["release"], "scores": scores, "logits": list(logits), "frame": frame_id, "ms": took}
        self.link.send(frames.RESULT, json.dumps(result).encode())

    def begin_trial(self):
        """The update wants the chip: no model of ours in it until `end_trial`."""
        self._trial = True
        self._unload()

    def end_trial(self):
        self._trial = False

    # --- codes

    def _start_scan(self):
        self._scanning = True
        self._code = None
        self._scan_until = self.clock.now() + SCAN_MS
        self.tell("scan")

    def _end_scan(self):
        self._scanning = False
        self._show_entry()

    def _scan(self):
        """One look at the camera."""
        text = self.port.scan_qr()
        if text is None or text == self._code:  # the code just taken may stand there for a while
            if self.identity.known and self.clock.now() > self._scan_until:
                self._end_scan()
            self.port.sleep_ms(SCAN_NAP_MS)
            return
        self._code = text
        kind = self.identity.take(text)
        if kind is None:
            self.tell("not_a_code")
        elif kind == "wifi":
            self._scan_until = self.clock.now() + SCAN_MS
            self.link.drop()
            if self._join_wifi():
                self.tell("scan_pairing")
            else:
                self._code = None  # the network may come yet
        else:
            self.link.drop()
            self._end_scan()

    def _join_wifi(self):
        ssid, password = self.identity.wifi
        self.tell("wifi_joining", ssid)
        try:
            self.port.wifi(ssid, password)
        except OSError:
            self.tell("wifi_failed", ssid)
            return False
        self.tell("wifi_joined", ssid)
        return True

    # --- what the link brings

    def hello(self):
        return {"release": self.slots.release, "counter": self.slots.counter}

    def on_link(self, word, detail):
        self.tell(word, detail)
        if word == "online":
            self._settling = True
            self._report_at = 0

    def on_frame(self, kind, session, sequence, plaintext):
        """A frame of the server, its MAC checked. One that makes no sense is left alone."""
        if kind == frames.BLOCK:
            self.update.on_block(plaintext)
            return
        try:
            document = json.loads(plaintext.decode())
            if not isinstance(document, dict):
                return
            if kind == frames.ACK:
                self._on_ack(
                    {"for": document["for"], "reason": document["reason"], "missing": document.get("missing")},
                    session,
                    sequence,
                )
            elif kind == frames.PROJECT:
                self._on_project(document)
            elif kind == frames.DESIRED:
                self.update.on_desired(document)
        except (ValueError, KeyError, TypeError):
            self.link.bad_frames += 1

    def _on_ack(self, ack, session, sequence):
        if ack["reason"] == "UNKNOWN_BOARD":
            self.tell("unknown")
        if self.outbox.on_ack(ack, session, sequence) or self.update.on_ack(ack, session, sequence):
            return
        if ack["reason"] in ("REPLAYED", "BAD_MAC") and self.clock.now() >= self._rehello_at:
            self._rehello_at = self.clock.now() + REHELLO_MS  # a REPORT or RESULT: a restarted server wants a session
            self.link.rehello()

    def _on_project(self, project):
        labels = [label + "" for label in project["labels"]]
        self.link.project_seen = True
        if labels == self._labels:
            return
        before = self.entry
        self._storage.save(PROJECT_NAME, {"project": project.get("project", ""), "labels": labels})
        self._labels = labels
        wheel = self.wheel
        self._entry = wheel.index(before) if before in wheel else 0
        if self.entry is not CLASSIFY:
            self._unload()
        self._show_entry()

    def report(self):
        """Send REPORT: the release's state and what waits here; again when due, as nobody answers it."""
        if not self.link.ready:
            return
        self._report_at = self.clock.now() + REPORT_MS
        self._reported = (self.outbox.waiting, self.outbox.rejected)
        release, state, reason = self.update.status()
        report = {
            "release": release,
            "state": state,
            "reason": reason,
            "outbox": self.outbox.waiting,
            "rejected": self.outbox.rejected,
            "free": self.port.free(),
        }
        self.link.send(frames.REPORT, json.dumps(report).encode())


def softmax(logits):
    """Logits -> [[index, probability], ...], the most probable first."""
    highest = max(logits)
    powers = [math.exp(logit - highest) for logit in logits]
    total = sum(powers)
    scores = [[i, powers[i] / total] for i in range(len(powers))]
    scores.sort(key=lambda score: -score[1])
    return scores
