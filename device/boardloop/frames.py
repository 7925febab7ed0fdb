"""The frame of docs/protocol.md section 3: header, IV, AES-256-CBC, HMAC-SHA256; and the keys for it (section 1)."""

try:
    import ustruct as struct
except ImportError:
    import struct

from boardloop.crypto import SALT, Mac, aes_cbc, hexlify, hkdf, pad, same, unpad

HELLO, CAPTURE, PULL, REPORT, RESULT = 0x01, 0x02, 0x03, 0x04, 0x05
WELCOME, ACK, BLOCK, PROJECT, DESIRED = 0x81, 0x82, 0x83, 0x84, 0x85
TOPIC_WORDS = {HELLO: "hello", CAPTURE: "capture", PULL: "pull", REPORT: "report", RESULT: "result"}

HEADER = ">2sBBII"  # "BL", version, kind, session, sequence
HEADER_SIZE, IV_SIZE, MAC_SIZE = 12, 16, 32
SMALLEST = HEADER_SIZE + IV_SIZE + 16 + MAC_SIZE
LARGEST = 65536
OVERHEAD = HEADER_SIZE + IV_SIZE + 16 + MAC_SIZE


class FrameError(ValueError):
    """The bytes are not a frame that the server sealed for this board."""


class Keys:
    """What docs/protocol.md section 1 derives from a board's secret (16 bytes)."""

    def __init__(self, secret):
        def key(info):
            return hkdf(secret, SALT, info)

        self.password = hexlify(key(b"mqtt"))
        self.up_enc = key(b"up-enc")
        self.up_mac = Mac(key(b"up-mac"))
        self.up_iv = Mac(key(b"up-iv"))
        self.down_enc = key(b"down-enc")
        self.down_mac = Mac(key(b"down-mac"))
        self.wrap_enc = key(b"wrap-enc")
        self.wrap_mac = Mac(key(b"wrap-mac"))


def renew_secret(secret, board_nonce, server_nonce):
    """The board's own secret S from the pairing code's secret P and both nonces (16 bytes each)."""
    return hkdf(secret, board_nonce + server_nonce, b"board-secret", 16)


def seal(kind, session, sequence, plaintext, keys):
    """An uplink frame. The IV comes from (session, sequence), which never repeats under one key: no random number."""
    header = struct.pack(HEADER, b"BL", 1, kind, session, sequence)
    iv = keys.up_iv.digest(header)[:IV_SIZE]
    body = aes_cbc(keys.up_enc, iv, pad(plaintext), True)
    return b"".join((header, iv, body, keys.up_mac.digest(header, iv, body)))


def unseal(data, keys):
    """A downlink frame -> (kind, session, sequence, plaintext). Raises FrameError."""
    size = len(data)
    if size < SMALLEST or size > LARGEST or (size - SMALLEST) % 16:
        raise FrameError("length %d" % size)
    signed = memoryview(data)[: size - MAC_SIZE]
    if not same(keys.down_mac.digest(signed), data[size - MAC_SIZE :]):
        raise FrameError("MAC")
    magic, version, kind, session, sequence = struct.unpack(HEADER, data[:HEADER_SIZE])
    if magic != b"BL" or version != 1:
        raise FrameError("header")
    iv = bytes(data[HEADER_SIZE : HEADER_SIZE + IV_SIZE])
    body = bytes(data[HEADER_SIZE + IV_SIZE : size - MAC_SIZE])
    try:
        return kind, session, sequence, unpad(aes_cbc(keys.down_enc, iv, body, False))
    except ValueError:
        raise FrameError("padding")
