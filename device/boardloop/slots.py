"""The two model slots and the pointer to the committed one.

    release.json     {"slot": "a", "release": "<id>", "counter": 4, "trust": "<signer>", "size": …, "sha256": "<hex>",
                      "labels": […], "head": "classifier", "width": 128, "height": 128}
    slot-a/          manifest.bin  signature.bin  model.kmodel
                     payload.bin (encrypted) and golden.bin until the commit
    slot-b/          the same

One write of release.json commits: everything else can be repeated or thrown away.
"""

from boardloop.crypto import hexlify, sha256_open

POINTER = "release.json"
MANIFEST, SIGNATURE, PAYLOAD, GOLDEN = "manifest.bin", "signature.bin", "payload.bin", "golden.bin"
PARTS = (MANIFEST, SIGNATURE, PAYLOAD)
# kpu.load of MaixPy-v1 wants one of its extensions in the path
MODEL_NAMES = {"kmodel_v3": "model.kmodel"}
READ = 4096


class Slots:
    def __init__(self, port, storage, identity):
        self._port = port
        self._storage = storage
        self._identity = identity
        self._checked = False
        self.model = MODEL_NAMES.get(port.model_format, "model.bin")
        for slot in ("a", "b"):
            storage.folder("slot-" + slot)
        self.committed = storage.load(POINTER)

    @property
    def release(self):
        """Id of the committed release, "" for none."""
        return self.committed.get("release", "")

    @property
    def counter(self):
        """Security counter of the committed release. It counts per signer: another server starts again from 0."""
        return self.committed.get("counter", 0) if self.committed.get("trust") == self._identity.trust else 0

    def idle(self):
        """The slot that the committed release does not use."""
        return "b" if self.committed.get("slot") == "a" else "a"

    def name(self, slot, part):
        return "slot-" + slot + "/" + part

    def path(self, slot):
        """Where the port finds the model of `slot`."""
        return self._storage.path(self.name(slot, self.model))

    def clear(self, slot, keep=()):
        for part in PARTS + (GOLDEN, self.model):
            if part not in keep:
                self._storage.remove(self.name(slot, part))

    def commit(self, slot, manifest):
        """Make `slot` the one that runs. One atomic write; the other slot and the encrypted payload go afterwards."""
        self.committed = {
            "slot": slot,
            "release": manifest.release,
            "counter": manifest.counter,
            "trust": self._identity.trust,
            "size": manifest.model_size,
            "sha256": hexlify(manifest.model_hash),
            "labels": manifest.labels,
            "head": manifest.head,
            "width": manifest.width,
            "height": manifest.height,
        }
        self._storage.save(POINTER, self.committed)
        self._checked = True
        self.tidy()

    def tidy(self):
        """Remove what the committed release does not need."""
        if self.release:
            self.clear(self.committed["slot"], keep=(self.model, MANIFEST, SIGNATURE))
            self.clear(self.idle())

    def check(self):
        """Is the committed model still, byte for byte, the one that was verified? Asked once in a run of the board."""
        if self._checked or not self.release:
            return self._checked
        name = self.name(self.committed["slot"], self.model)
        if self._storage.size(name) == self.committed["size"]:
            whole = sha256_open()
            with self._storage.open(name) as f:
                block = f.read(READ)
                while block:
                    whole.update(block)
                    block = f.read(READ)
            self._checked = hexlify(whole.digest()) == self.committed["sha256"]
        if not self._checked:
            self._lose()
        return self._checked

    def _lose(self):
        """The committed model is damaged: it never runs again, but its release may be fetched again."""
        self.committed["release"] = ""
        self.committed["counter"] = max(0, self.committed["counter"] - 1)
        self._storage.save(POINTER, self.committed)
