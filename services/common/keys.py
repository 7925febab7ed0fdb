"""Keys of boards and services, and the pairing code that starts them (docs/protocol.md sections 1, 7 and 8)."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from services.common import cipher
from services.common.errors import InvalidInput

__all__ = [
    "BoardKeys",
    "PairingCode",
    "new_board_id",
    "new_secret",
    "record_fernet",
    "renew_secret",
    "service_password",
    "service_token",
    "unwrap_content_key",
    "wrap_content_key",
]

SALT = b"boardloop/v1"
SECRET_BYTES = 16
CODE_LIMIT = 64  # bytes: what a K210 decodes from one frame of its camera
DEFAULT_PORT = 1883
BOARD_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
BOARD_ID = re.compile(r"[a-z2-7]{10}")
SECRET_LETTERS = re.compile(r"[A-Z2-7]{26}")
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


def _hkdf(ikm: bytes, salt: bytes, info: str, length: int = 32) -> bytes:
    """RFC 5869 with SHA-256."""
    return HKDF(hashes.SHA256(), length, salt, info.encode()).derive(ikm)


@dataclass(frozen=True)
class BoardKeys:
    """All keys of one board, 32 bytes each; `mqtt_password` is 64 hex characters."""

    mqtt_password: str = field(repr=False)
    up_enc: bytes = field(repr=False)
    up_mac: bytes = field(repr=False)
    up_iv: bytes = field(repr=False)
    down_enc: bytes = field(repr=False)
    down_mac: bytes = field(repr=False)
    wrap_enc: bytes = field(repr=False)
    wrap_mac: bytes = field(repr=False)

    @classmethod
    def derive(cls, secret: bytes) -> Self:
        """From the 16 bytes of P (pairing) or S (paired)."""
        if len(secret) != SECRET_BYTES:
            raise InvalidInput("BAD_SECRET", f"A board's secret has {SECRET_BYTES} bytes, not {len(secret)}.")
        infos = ("up-enc", "up-mac", "up-iv", "down-enc", "down-mac", "wrap-enc", "wrap-mac")
        return cls(_hkdf(secret, SALT, "mqtt").hex(), *(_hkdf(secret, SALT, info) for info in infos))


def renew_secret(pairing_secret: bytes, board_nonce: bytes, server_nonce: bytes) -> bytes:
    """S, the board's own secret: 16 bytes from P and the nonces (16 bytes each) of HELLO and WELCOME."""
    return _hkdf(pairing_secret, board_nonce + server_nonce, "board-secret", SECRET_BYTES)


def new_board_id() -> str:
    """10 random characters of a-z2-7 (50 bits)."""
    return "".join(secrets.choice(BOARD_ALPHABET) for _ in range(10))


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


@dataclass(frozen=True)
class PairingCode:
    """`BL1:<host>[:port]:<board id>:<secret>`; host is a name or an IPv4 address, secret has 16 bytes."""

    host: str
    port: int
    board_id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not HOST.fullmatch(self.host):
            raise _bad_code(f"{self.host!r} is no host name or IPv4 address.")
        if not 1 <= self.port <= 65535:
            raise _bad_code(f"port {self.port} is not in 1 to 65535.")
        if not BOARD_ID.fullmatch(self.board_id):
            raise _bad_code(f"{self.board_id!r} is no board id (10 characters of a-z2-7).")
        if len(self.secret) != SECRET_BYTES:
            raise _bad_code(f"the secret has {len(self.secret)} bytes, not {SECRET_BYTES}.")
        if len(self.encode()) > CODE_LIMIT:
            message = (
                f"The pairing code for host {self.host!r} has {len(self.encode())} bytes; boards read {CODE_LIMIT}."
            )
            raise InvalidInput("PAIRING_CODE_TOO_LONG", message, fix="Use a shorter host name or an IPv4 address.")

    def encode(self) -> str:
        port = "" if self.port == DEFAULT_PORT else f":{self.port}"
        letters = base64.b32encode(self.secret).decode().rstrip("=")
        return f"BL1:{self.host}{port}:{self.board_id}:{letters}"

    @classmethod
    def decode(cls, code: str) -> Self:
        """Raises InvalidInput (BAD_PAIRING_CODE) for anything else than a pairing code."""
        parts = code.split(":")
        if len(parts) == 4:
            parts.insert(2, str(DEFAULT_PORT))
        if len(code.encode()) > CODE_LIMIT or len(parts) != 5 or parts[0] != "BL1":
            raise _bad_code("it does not read BL1:<host>[:port]:<board id>:<secret>.")
        _, host, port, board_id, letters = parts
        if not re.fullmatch("[0-9]{1,5}", port) or not SECRET_LETTERS.fullmatch(letters):
            raise _bad_code("the port is no number, or the secret is not 26 characters of A-Z2-7.")
        return cls(host, int(port), board_id, base64.b32decode(letters + "======"))


def _bad_code(why: str) -> InvalidInput:
    return InvalidInput("BAD_PAIRING_CODE", f"Not a pairing code: {why}", fix="Make a new code on the Boards page.")


def wrap_content_key(keys: BoardKeys, release_id: bytes, content_key: bytes) -> bytes:
    """The 32 bytes of a release's content key for one board: IV (16) || ciphertext (48) || HMAC (32) = 96 bytes."""
    if len(release_id) != 16 or len(content_key) != 32:
        raise InvalidInput("BAD_CONTENT_KEY", "A release id has 16 bytes and a content key has 32.")
    iv = secrets.token_bytes(16)
    locked = iv + cipher.encrypt(keys.wrap_enc, iv, content_key)
    return locked + hmac.digest(keys.wrap_mac, b"wrap" + release_id + locked, sha256)


def unwrap_content_key(keys: BoardKeys, release_id: bytes, wrapped: bytes) -> bytes:
    """The content key; InvalidInput (BAD_KEY) when it was wrapped for another board or release, or changed."""
    locked, mac = wrapped[:64], wrapped[64:]
    if len(wrapped) != 96 or not hmac.compare_digest(
        mac, hmac.digest(keys.wrap_mac, b"wrap" + release_id + locked, sha256)
    ):
        raise InvalidInput("BAD_KEY", f"The wrapped key of release {release_id.hex()} is not for this board.")
    return cipher.decrypt(keys.wrap_enc, locked[:16], locked[16:])


def _service_key_bytes(service_key: str | SecretStr) -> bytes:
    text = service_key.get_secret_value() if isinstance(service_key, SecretStr) else service_key
    try:
        data = base64.b64decode(text.strip(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != 32:
        fix = 'Make one: python -c "import base64,os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
        raise InvalidInput("BAD_SERVICE_KEY", "BOARDLOOP_SERVICE_KEY is not 32 bytes in URL-safe base64.", fix=fix)
    return data


def service_password(service_key: str | SecretStr, service: str) -> str:
    """MQTT password of the user `service.<service>`: 64 hex characters."""
    return _hkdf(_service_key_bytes(service_key), SALT, f"service-mqtt:{service}").hex()


def service_token(service_key: str | SecretStr) -> str:
    """What one service shows another in the gRPC metadata: 64 hex characters."""
    return _hkdf(_service_key_bytes(service_key), SALT, "service-token").hex()


def record_fernet(service_key: str | SecretStr) -> Fernet:
    """Seals the board records between services (section 8)."""
    return Fernet(base64.urlsafe_b64encode(_hkdf(_service_key_bytes(service_key), SALT, "board-record")))
