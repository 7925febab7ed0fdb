"""RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2.2), modulus 3072 bits, exponent 65537: sixteen squarings."""

from boardloop.crypto import sha256

SIZE = 384
# DER of DigestInfo for SHA-256 (RFC 8017 section 9.2, note 1)
DIGEST_INFO = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def verify(modulus, message, signature):
    """`modulus`: 768 hex digits; `signature`: 384 bytes -> True only for the one right encoding, compared whole."""
    if len(signature) != SIZE or len(modulus) != 2 * SIZE:
        return False
    n = int(modulus, 16)
    s = int.from_bytes(signature, "big")
    if n >> (8 * SIZE - 1) != 1 or s >= n:
        return False
    power = s
    for _ in range(16):
        power = power * power % n
    power = power * s % n
    tail = DIGEST_INFO + sha256(message)
    expected = b"\x00\x01" + b"\xff" * (SIZE - 3 - len(tail)) + b"\x00" + tail
    return power.to_bytes(SIZE, "big") == expected
