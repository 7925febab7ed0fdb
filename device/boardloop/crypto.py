"""SHA-256, HMAC, HKDF, AES-256-CBC and a random pool, out of what a board's firmware has.

The K210 has ONE global SHA-256 block: a hash must be finished (`digest()`, once) before the next begins, also inside
HMAC. Its AES object starts every call from the IV of its constructor, other MicroPythons go on from the last block:
so every call here makes its own object. Its `os.urandom` repeats at every boot (facts of the firmware).
"""

try:
    import uhashlib as hashlib
except ImportError:
    import hashlib
try:
    import ubinascii as binascii
except ImportError:
    import binascii
try:
    import uos as os
except ImportError:
    import os
try:
    import ucryptolib
except ImportError:
    ucryptolib = None

BLOCK = 16
SALT = b"boardloop/v1"


def hexlify(data):
    """bytes -> lower-case hex string."""
    return binascii.hexlify(data).decode()


def unhex(text, size):
    """Hex string -> bytes of exactly `size`. Raises ValueError."""
    if not isinstance(text, str) or len(text) != 2 * size:
        raise ValueError("not %d bytes of hex" % size)
    return binascii.unhexlify(text.encode())


def sha256(*parts):
    """SHA-256 of the joined parts, 32 bytes."""
    h = hashlib.sha256()
    for part in parts:
        h.update(part)
    return h.digest()


def sha256_open():
    """A hash with `update` and `digest`. Nothing else may hash until its `digest()`."""
    return hashlib.sha256()


def same(a, b):
    """Equality of two byte strings in a time that does not depend on where they differ."""
    if len(a) != len(b):
        return False
    difference = 0
    for i in range(len(a)):
        difference |= a[i] ^ b[i]
    return difference == 0


class Mac:
    """HMAC-SHA256 (RFC 2104) under one key; the two padded keys are made once."""

    def __init__(self, key):
        if len(key) > 64:
            key = sha256(key)
        key = bytes(key) + bytes(64 - len(key))
        self._inner = bytes([b ^ 0x36 for b in key])
        self._outer = bytes([b ^ 0x5C for b in key])

    def digest(self, *parts):
        inner = sha256(self._inner, *parts)
        return sha256(self._outer, inner)


def hkdf(secret, salt, info, size=32):
    """HKDF-SHA256 (RFC 5869) for at most one block, size <= 32."""
    return Mac(Mac(salt).digest(secret)).digest(info, b"\x01")[:size]


if ucryptolib is not None:
    # By name where the firmware names it: the numbers differ between firmwares. 2 is upstream MicroPython's CBC.
    MODE_CBC = getattr(ucryptolib, "MODE_CBC", 2)

    def aes_cbc(key, iv, data, encrypt):
        """AES-CBC without padding of `data` (a multiple of 16 bytes) -> bytes."""
        cipher = ucryptolib.aes(key, MODE_CBC, iv)
        return cipher.encrypt(data) if encrypt else cipher.decrypt(data)

else:
    from boardloop.cbc_host import aes_cbc


def pad(data):
    """PKCS#7 to a multiple of 16."""
    n = BLOCK - len(data) % BLOCK
    return data + bytes([n]) * n


def unpad(data):
    """Remove PKCS#7, every padding byte checked. Raises ValueError."""
    n = data[-1] if len(data) else 0
    if len(data) % BLOCK or n < 1 or n > BLOCK or data[-n:] != bytes([n]) * n:
        raise ValueError("padding")
    return data[:-n]


class CbcReader:
    """Decrypts one long CBC text piece by piece: the last cipher block of a piece is the IV of the next."""

    def __init__(self, key, iv):
        self._key = key
        self._iv = bytes(iv)

    def read(self, piece):
        """`piece`: a multiple of 16 bytes -> the plaintext of it, still padded at the very end."""
        plain = aes_cbc(self._key, self._iv, piece, False)
        self._iv = bytes(piece[-BLOCK:])
        return plain


class Pool:
    """Unique, hard to guess numbers although `os.urandom` may repeat at every boot.

    `seed` must hold something that no two boots share (the boot counter) and something that no two boards share.
    """

    def __init__(self, *seed):
        self._state = sha256(os.urandom(16), *seed)
        self._extra = b""

    def stir(self, data):
        """Keep up to 64 bytes for the next `read`. Does not hash, so it may be called at any time."""
        self._extra = bytes(data[-64:])

    def read(self, size):
        """`size` bytes, at most 32."""
        self._state = sha256(b"next", self._state, self._extra)
        self._extra = b""
        return sha256(b"out", self._state)[:size]
