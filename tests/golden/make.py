"""Writes the golden files of docs/protocol.md: `python tests/golden/make.py`. Same bytes on every run.

Independent of services/ and of device/ on purpose: only the page and the `cryptography` package, so that both sides are
checked against a third reading of it. `index.json` says what is in each file; every byte string in it is hex.
The inputs `picture.jpg` and `TEST_ONLY_release_key.pem` are committed and never rewritten. Nothing here is secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b32encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = Path(__file__).resolve().parent
INFOS = ("mqtt", "up-enc", "up-mac", "up-iv", "down-enc", "down-mac", "wrap-enc", "wrap-mac")

BOARD = "k7q2mzx4ab"
HOST = "192.168.4.20"
PAIRING_SECRET = bytes(range(16))
BOARD_NONCE = bytes(range(0x20, 0x30))
SERVER_NONCE = bytes(range(0x40, 0x50))
HARDWARE = hashlib.sha256(b"unique id of the chip").digest()[:8]
SESSION = 7
CHUNK = 1920
CONTENT_KEY = hashlib.sha256(b"content key").digest()
BLOCK = 512


def hkdf(ikm: bytes, salt: bytes, info: str, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info.encode()).derive(ikm)


def keys_of(secret: bytes) -> dict[str, bytes]:
    return {info: hkdf(secret, b"boardloop/v1", info, 32) for info in INFOS}


def cbc(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """AES-256-CBC with PKCS#7 padding."""
    pad = 16 - len(plaintext) % 16
    return cbc_raw(key, iv, plaintext + bytes([pad]) * pad)


def cbc_raw(key: bytes, iv: bytes, padded: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def text(value: Any) -> bytes:
    """JSON as both sides write it: `", "` and `": "`, UTF-8 unescaped, keys in the order of the page."""
    return json.dumps(value, ensure_ascii=False).encode()


def uplink(keys: dict[str, bytes], kind: int, session: int, sequence: int, plaintext: bytes) -> tuple[bytes, bytes]:
    """-> (frame, IV)."""
    header = b"BL\x01" + bytes([kind]) + u32(session) + u32(sequence)
    iv = mac(keys["up-iv"], header)[:16]
    body = header + iv + cbc(keys["up-enc"], iv, plaintext)
    return body + mac(keys["up-mac"], body), iv


def downlink(keys: dict[str, bytes], kind: int, session: int, sequence: int, plaintext: bytes, iv: bytes) -> bytes:
    body = b"BL\x01" + bytes([kind]) + u32(session) + u32(sequence) + iv + cbc(keys["down-enc"], iv, plaintext)
    return body + mac(keys["down-mac"], body)


class Writer:
    """Collects the index while it writes the files."""

    def __init__(self) -> None:
        self.index: dict[str, Any] = {}
        self.counter = 0

    def file(self, name: str, data: bytes) -> str:
        (HERE / name).write_bytes(data)
        return name

    def frame(self, name: str, keys_name: str, keys: dict[str, bytes], kind: int, session: int, sequence: int,
              plaintext: bytes) -> bytes:  # fmt: skip
        """One good frame: a file and its entry under "frames"."""
        if kind < 0x80:
            data, iv = uplink(keys, kind, session, sequence, plaintext)
        else:
            self.counter += 1
            iv = hashlib.sha256(b"downlink iv %d" % self.counter).digest()[:16]
            data = downlink(keys, kind, session, sequence, plaintext, iv)
        self.index.setdefault("frames", {})[name] = {
            "file": self.file("frame_" + name + ".bin", data), "keys": keys_name, "kind": kind, "session": session,
            "sequence": sequence, "iv": iv.hex(), "plaintext": plaintext.hex(),
        }  # fmt: skip
        return data

    def bad_frame(self, name: str, data: bytes, ack: str, why: str) -> None:
        """A CAPTURE frame under the paired keys that a service must refuse with the reason `ack`."""
        entry = {"file": self.file("bad_" + name + ".bin", data), "ack": ack, "why": why}
        self.index.setdefault("bad_frames", {})[name] = entry


def write_identity(out: Writer) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Pairing code, both secrets and all keys -> (keys while pairing, keys when paired)."""
    letters = b32encode(PAIRING_SECRET).decode().rstrip("=")
    fields = {"board": BOARD, "secret": PAIRING_SECRET.hex(), "host": HOST}
    out.index["pairing_codes"] = [
        {"code": f"BL1:{HOST}:{BOARD}:{letters}", "port": 1883, **fields},
        {"code": f"BL1:{HOST}:18831:{BOARD}:{letters}", "port": 18831, **fields},
    ]
    out.index["bad_pairing_codes"] = [
        "", "BL1", "BL2:192.168.4.20:k7q2mzx4ab:" + letters, f"BL1:{HOST}:{BOARD}:{letters[:-1]}",
        f"BL1:{HOST}:{BOARD.upper()}:{letters}", f"BL1:{HOST}:0:{BOARD}:{letters}",
        f"BL1:{HOST}:99999:{BOARD}:{letters}",
        f"BL1::{BOARD}:{letters}", f"BL1:{HOST}:{BOARD}:{letters.lower()}", f"BL1:{HOST}:1883:{BOARD}:{letters}:x",
        f"BL1:{'h' * 40}:{BOARD}:{letters}",
    ]  # fmt: skip
    paired_secret = hkdf(PAIRING_SECRET, BOARD_NONCE + SERVER_NONCE, "board-secret", 16)
    out.index["renew"] = {
        "pairing_secret": PAIRING_SECRET.hex(), "board_nonce": BOARD_NONCE.hex(), "server_nonce": SERVER_NONCE.hex(),
        "secret": paired_secret.hex(),
    }  # fmt: skip
    both = keys_of(PAIRING_SECRET), keys_of(paired_secret)
    for name, secret, keys in zip(("pairing", "paired"), (PAIRING_SECRET, paired_secret), both, strict=True):
        out.index.setdefault("keys", {})[name] = {"secret": secret.hex()} | {k: v.hex() for k, v in keys.items()}
    return both


def write_capture(out: Writer, keys: dict[str, bytes]) -> None:
    """A record of three chunks, its CAPTURE frames, a second record, and what the collector answers."""
    jpeg = (HERE / "picture.jpg").read_bytes()
    about = {"seq": 17, "label": "functional", "at": 1795000000, "w": 96, "h": 72}
    other = {"seq": 18, "label": "裂纹", "at": 0, "w": 96, "h": 72}
    for name, metadata in (("capture", about), ("capture_unicode", other)):
        encoded = text(metadata)
        record = b"BLC1" + u16(len(encoded)) + encoded + jpeg
        capture_id = hashlib.sha256(record).digest()[:16]
        out.index.setdefault("captures", {})[name] = {
            "file": out.file(name + ".record.bin", record), "id": capture_id.hex(), "metadata": metadata,
            "jpeg": "picture.jpg", "total": len(record), "chunk": CHUNK,
        }  # fmt: skip
        if name == "capture":
            pieces = [record[at : at + CHUNK] for at in range(0, len(record), CHUNK)]
            for index, piece in enumerate(pieces):
                plaintext = capture_id + u32(len(record)) + u16(index) + u16(len(pieces)) + piece
                out.frame(f"capture_{index}", "paired", keys, 0x02, SESSION, index + 1, plaintext)
            for_it = capture_id.hex()
    out.frame("ack_stored", "paired", keys, 0x82, SESSION, 3, text({"for": for_it, "reason": "STORED"}))
    out.frame("ack_missing", "paired", keys, 0x82, SESSION, 3,
              text({"for": for_it, "reason": "MISSING", "missing": [0, 1]}))  # fmt: skip
    out.frame("ack_bad_mac", "paired", keys, 0x82, 0, 0, text({"for": "", "reason": "BAD_MAC"}))


def write_bad_frames(out: Writer, keys: dict[str, bytes]) -> None:
    good, iv = uplink(keys, 0x02, SESSION, 9, b"\x00" * 40)

    def sealed(body: bytes) -> bytes:
        return body + mac(keys["up-mac"], body)

    def padded(tail: bytes) -> bytes:
        return sealed(good[:28] + cbc_raw(keys["up-enc"], iv, b"\x00" * 16 + tail))

    flipped = bytearray(good)
    flipped[40] ^= 1
    out.bad_frame("ciphertext", bytes(flipped), "BAD_MAC", "one bit of the ciphertext flipped")
    out.bad_frame("mac", good[:-1] + bytes([good[-1] ^ 0x80]), "BAD_MAC", "one bit of the MAC flipped")
    out.bad_frame("sequence", good[:11] + b"\x0a" + good[12:], "BAD_MAC", "sequence changed, MAC kept")
    out.bad_frame("padding_zero", padded(b"\x00" * 16), "BAD_MAC", "MAC right, last byte of the padding is 0")
    out.bad_frame("padding_17", padded(b"\x11" * 16), "BAD_MAC", "MAC right, last byte of the padding is 17")
    out.bad_frame("padding_uneven", padded(b"\x00" * 13 + b"\x03\x02\x03"), "BAD_MAC", "MAC right, padding not uniform")
    out.bad_frame("magic", sealed(b"LB" + good[2:-32]), "MALFORMED", "first two bytes are not BL")
    out.bad_frame("version", sealed(b"BL\x02" + good[3:-32]), "MALFORMED", "version 2")
    out.bad_frame("kind", sealed(b"BL\x01\x7f" + good[4:-32]), "MALFORMED", "MAC right, kind 0x7f does not exist")
    out.bad_frame("direction", sealed(b"BL\x01\x82" + good[4:-32]), "MALFORMED", "MAC right, a downlink kind")
    out.bad_frame("short", good[:75], "MALFORMED", "75 bytes, one less than the smallest frame")
    out.bad_frame("length", good[:-1], "MALFORMED", "cut by one byte: no whole number of cipher blocks")
    out.bad_frame("cut", good[:-16], "BAD_MAC", "cut by one cipher block: the length fits, the MAC does not")
    out.bad_frame("empty", b"", "MALFORMED", "no bytes at all")


def write_release(out: Writer, keys: dict[str, bytes]) -> None:
    """A tiny bundle (4x4 input, 300 byte "model"), its wrapped key, DESIRED, a PULL and its BLOCK for each part."""
    private = serialization.load_pem_private_key((HERE / "TEST_ONLY_release_key.pem").read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey) and private.key_size == 3072
    modulus = private.public_key().public_numbers().n.to_bytes(384, "big")
    release_id = hashlib.sha256(b"release").digest()[:16]
    iv = hashlib.sha256(b"payload iv").digest()[:16]
    model = bytes(i * 7 % 256 for i in range(300))
    golden = bytes(i * 5 % 256 for i in range(2 * 3 * 4 * 4))
    payload = cbc(CONTENT_KEY, iv, model + golden)
    manifest = text({
        "release": release_id.hex(), "name": "solar cells v1", "board_type": "k210", "format": "kmodel_v3",
        "counter": 4, "expires": 0, "labels": ["functional", "defective"], "head": "classifier", "anchors": [],
        "input": {"width": 4, "height": 4, "channels": 3},
        "payload": {"size": len(payload), "sha256": hashlib.sha256(payload).hexdigest(), "iv": iv.hex()},
        "model": {"size": len(model), "sha256": hashlib.sha256(model).hexdigest()},
        "golden": {"size": len(golden), "sha256": hashlib.sha256(golden).hexdigest(), "count": 2,
                   "outputs": [[2.51, -0.11], [-1.2, 1.4]], "tolerance": 0.001},
    })  # fmt: skip
    signature = private.sign(manifest, padding.PKCS1v15(), hashes.SHA256())
    wrap_iv = hashlib.sha256(b"wrap iv").digest()[:16]
    locked = cbc(keys["wrap-enc"], wrap_iv, CONTENT_KEY)
    wrapped = wrap_iv + locked + mac(keys["wrap-mac"], b"wrap" + release_id + wrap_iv + locked)
    parts = {"manifest": manifest, "signature": signature, "payload": payload}
    out.index["release"] = {
        "id": release_id.hex(), "signer": modulus.hex(), "content_key": CONTENT_KEY.hex(), "wrapped": wrapped.hex(),
        "wrap_iv": wrap_iv.hex(), "model": model.hex(), "golden": golden.hex(),
    } | {name: out.file("release_" + name + ".bin", data) for name, data in parts.items()}  # fmt: skip
    sizes = [len(data) for data in parts.values()]
    desired = {"release": release_id.hex(), "wrap": wrapped.hex(), "sizes": sizes}
    out.frame("desired", "paired", keys, 0x85, 0, 0, text(desired))
    out.frame("desired_none", "paired", keys, 0x85, 0, 0, text({"release": ""}))
    for part, (name, data) in enumerate(parts.items()):
        offset = len(data) - 100
        asked = release_id + bytes([part]) + u32(offset) + u32(BLOCK)
        out.frame("pull_" + name, "paired", keys, 0x03, SESSION, 10 + part, asked)
        out.frame("block_" + name, "paired", keys, 0x83, SESSION, 10 + part, asked[:21] + data[offset:])
    report = {
        "release": release_id.hex(),
        "state": "COMMITTED",
        "reason": "",
        "outbox": 3,
        "rejected": 0,
        "free": 123456,
    }
    out.frame("report", "paired", keys, 0x04, SESSION, 13, text(report))
    result = {"release": release_id.hex(), "scores": [[0, 0.93], [1, 0.07]], "logits": [2.51, -0.11],
              "frame": hashlib.sha256(golden[:48]).digest()[:8].hex(), "ms": 40}  # fmt: skip
    out.frame("result", "paired", keys, 0x05, SESSION, 14, text(result))


def write_greetings(out: Writer, pairing: dict[str, bytes], paired: dict[str, bytes], signer: str) -> None:
    hello = {"nonce": BOARD_NONCE.hex(), "hardware": HARDWARE.hex(), "type": "k210", "firmware": "MaixPy v0.6.3",
             "core": "0.1.0", "release": "", "counter": 0}  # fmt: skip
    welcome = {"nonce": BOARD_NONCE.hex(), "session": SESSION, "time": 1795000000, "block": 2048}
    out.frame("hello_pairing", "pairing", pairing, 0x01, 0, 0, text(hello))
    renewal = {"renew": SERVER_NONCE.hex(), "signer": signer}
    out.frame("welcome_pairing", "pairing", pairing, 0x81, 0, 0, text(welcome | renewal))
    out.frame("hello", "paired", paired, 0x01, 0, 0, text(hello))
    out.frame("welcome", "paired", paired, 0x81, 0, 0, text(welcome))
    project = {"project": "solar cells", "labels": ["functional", "defective"]}
    out.frame("project", "paired", paired, 0x84, 0, 0, text(project))


def write_wifi(out: Writer) -> None:
    out.index["wifi_codes"] = [
        {"code": "WIFI:T:WPA;S:workshop;P:correct horse;;", "ssid": "workshop", "password": "correct horse"},
        {"code": r"WIFI:S:a\;b\\c;T:WPA;P:p\:q\,r\"s;;", "ssid": "a;b\\c", "password": 'p:q,r"s'},
        {"code": "WIFI:T:nopass;S:guests;;", "ssid": "guests", "password": ""},
        {"code": "WIFI:T:WPA;S:车间;P:12345678;H:true;;", "ssid": "车间", "password": "12345678"},
        {"code": '{"s": "workshop", "p": "correct horse"}', "ssid": "workshop", "password": "correct horse"},
    ]
    out.index["bad_wifi_codes"] = ["", "WIFI:", "WIFI:T:WPA;P:12345678;;", '{"s": ""}', "{", "http://example.org"]


def main() -> None:
    out = Writer()
    pairing, paired = write_identity(out)
    write_capture(out, paired)
    write_bad_frames(out, paired)
    write_release(out, paired)
    write_greetings(out, pairing, paired, out.index["release"]["signer"])
    write_wifi(out)
    (HERE / "index.json").write_text(json.dumps(out.index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
