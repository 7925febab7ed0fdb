"""From downloaded bytes to a model that may be loaded: signature, key, hashes, decryption, golden run (section 7).

Generators yield between pieces of work, so that the button and the watchdog live. While `unpack` runs, its hash is the
only one there may be (the K210 has one SHA-256 block).
"""

import gc

from boardloop import rsa
from boardloop.crypto import CbcReader, aes_cbc, same, sha256_open, unhex, unpad
from boardloop.manifest import LARGEST_MANIFEST, Manifest
from boardloop.slots import GOLDEN, MANIFEST, PAYLOAD, SIGNATURE

READ = 4096
READS = 16  # blocks between two yields


class Refused(Exception):
    """The release fails; args[0] is the reason of section 7."""


def read_manifest(storage, name, signer):
    """The downloaded manifest, its signature checked first -> Manifest. `name(part)`: storage name in the slot."""
    with storage.open(name(MANIFEST)) as f:
        data = f.read(LARGEST_MANIFEST + 1)
    with storage.open(name(SIGNATURE)) as f:
        signature = f.read(rsa.SIZE + 1)
    if not rsa.verify(signer, data, signature):
        raise Refused("BAD_SIGNATURE")
    try:
        return Manifest(data)
    except ValueError:
        raise Refused("BAD_MANIFEST")


def content_key(keys, release, wrap):
    """Unwrap the release's content key (`wrap`: 192 hex digits) -> 32 bytes."""
    wrapped = unhex(wrap, 96)
    mac = keys.wrap_mac.digest(b"wrap", unhex(release, 16), wrapped[:64])
    if not same(mac, wrapped[64:]):
        raise Refused("BAD_KEY")
    try:
        key = unpad(aes_cbc(keys.wrap_enc, wrapped[:16], wrapped[16:64], False))
    except ValueError:
        raise Refused("BAD_KEY")
    if len(key) != 32:
        raise Refused("BAD_KEY")
    return key


def _hash_payload(storage, name, expected):
    """Generator: SHA-256 of the encrypted payload must be the signed one."""
    whole = sha256_open()
    count = 0
    try:
        with storage.open(name(PAYLOAD)) as f:
            block = f.read(READ)
            while block:
                whole.update(block)
                block = f.read(READ)
                count += 1
                if count % READS == 0:
                    yield
    finally:
        digest = whole.digest()
    if digest != expected:
        raise Refused("BAD_HASH")


class _Writer:
    """Writes plaintext into the model file, then into the golden file, and hashes one after the other."""

    def __init__(self, storage, targets):
        self._storage = storage
        self._targets = targets  # [(storage name, bytes left, expected SHA-256)]
        self._file = None
        self._hash = None

    def write(self, data):
        """Raises Refused when there is more plaintext than the manifest says, or a finished file hashes wrong."""
        while data:
            if not self._targets:
                raise Refused("BAD_HASH")
            name, left, expected = self._targets[0]
            if self._file is None:
                self._file = self._storage.open(name, "wb")
                self._hash = sha256_open()
            piece = data[:left]
            self._file.write(piece)
            self._hash.update(piece)
            data = data[len(piece) :]
            self._targets[0] = (name, left - len(piece), expected)
            if left == len(piece):
                self._targets.pop(0)
                if self._finish(name) != expected:
                    raise Refused("BAD_HASH")

    def _finish(self, name):
        """The file is whole: durable from here on, as the commit that comes later relies on it -> its SHA-256."""
        f, self._file = self._file, None
        try:
            self._storage.finish(name, f)
        finally:
            digest = self._hash.digest()
        return digest

    def close(self):
        """Give up the file that is open, if any."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._hash.digest()

    @property
    def complete(self):
        return not self._targets


def _decrypt(storage, name, model, m, key):
    """Generator: payload -> model and golden files, block by block."""
    reader = CbcReader(key, m.iv)
    writer = _Writer(storage, [(name(model), m.model_size, m.model_hash), (name(GOLDEN), m.golden_size, m.golden_hash)])
    left = m.payload_size
    count = 0
    try:
        with storage.open(name(PAYLOAD)) as f:
            while left:
                plain = reader.read(f.read(min(READ, left)))
                left -= len(plain)
                if not left:
                    try:
                        plain = unpad(plain)
                    except ValueError:
                        raise Refused("BAD_HASH")
                writer.write(plain)
                count += 1
                if count % READS == 0:
                    yield
    finally:
        writer.close()
    if not writer.complete:
        raise Refused("BAD_HASH")


def unpack(storage, name, model, m, key):
    """Generator: check the payload's hash, decrypt it into the slot, check both hashes. Raises Refused, OSError."""
    if storage.size(name(PAYLOAD)) != m.payload_size:
        raise Refused("BAD_HASH")
    for _ in _hash_payload(storage, name, m.payload_hash):
        yield
    for _ in _decrypt(storage, name, model, m, key):
        yield


def golden_run(port, storage, name, path, m):
    """Generator: load the model, run every golden input, compare. Leaves the chip without a model.

    Raises Refused: LOAD_FAILED (the chip does not take it or fails on it), GOLDEN_MISMATCH.
    """
    gc.collect()
    try:
        try:
            port.load_model(path)
            yield
            for number in range(m.golden_count):
                with storage.open(name(GOLDEN)) as f:
                    f.seek(number * m.input_size)
                    data = f.read(m.input_size)
                frame = port.golden_frame(data, m.width, m.height)
                data = None
                output = port.infer(frame)
                frame = None
                gc.collect()
                if not m.fits(number, output):
                    raise Refused("GOLDEN_MISMATCH")
                yield
        finally:
            port.unload_model()
    except Refused:
        raise
    except Exception:  # a firmware raises OSError, ValueError, MemoryError or its own for a model it cannot take
        raise Refused("LOAD_FAILED")
