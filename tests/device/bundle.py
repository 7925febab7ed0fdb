"""Releases for the tests' board: signed, encrypted, and wrong in one chosen way."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services.common import cipher
from services.common.keys import wrap_content_key
from tests.device.fake_server import FakeServer

KEY_FILE = Path(__file__).resolve().parents[1] / "golden" / "TEST_ONLY_release_key.pem"


def release_key() -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(KEY_FILE.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


SIGNER = f"{release_key().public_key().public_numbers().n:0768x}"


def model_bytes(size: int, word: bytes, behaviour: bytes = b"good") -> bytes:
    """A "model" of the tests' chip: 8 bytes of name, 4 of behaviour (good, fail, hang), 1 of weight."""
    return (word.ljust(8, b".") + behaviour + b"\x28").ljust(16, b"\0") + hashlib.shake_128(word).digest(size - 16)


@dataclass
class Bundle:
    """`change`: fields of the manifest to overwrite before it is signed."""

    word: bytes = b"first"
    counter: int = 1
    model_size: int = 20000
    width: int = 16
    behaviour: bytes = b"good"
    outputs: list[list[float]] | None = None
    change: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.id = secrets.token_bytes(16)
        self.content_key = secrets.token_bytes(32)
        iv = secrets.token_bytes(16)
        model = model_bytes(self.model_size, self.word, self.behaviour)
        size = self.width * self.width * 3
        golden = b"\x08" * size + b"\x10" * size
        self.payload = cipher.encrypt(self.content_key, iv, model + golden)
        manifest = {
            "release": self.id.hex(),
            "name": self.word.decode(),
            "board_type": "k210",
            "format": "kmodel_v3",
            "counter": self.counter,
            "expires": 0,
            "labels": ["functional", "defective"],
            "head": "classifier",
            "anchors": [],
            "input": {"width": self.width, "height": self.width, "channels": 3},
            "payload": {"size": len(self.payload), "sha256": hashlib.sha256(self.payload).hexdigest(), "iv": iv.hex()},
            "model": {"size": len(model), "sha256": hashlib.sha256(model).hexdigest()},
            "golden": {
                "size": len(golden),
                "sha256": hashlib.sha256(golden).hexdigest(),
                "count": 2,
                "outputs": self.outputs or [[2.5, 0.0], [2.5, 1.0]],
                "tolerance": 0.001,
            },
        }
        self.manifest = json.dumps(manifest | self.change).encode()
        self.signature = release_key().sign(self.manifest, padding.PKCS1v15(), hashes.SHA256())

    def publish(self, server: FakeServer) -> None:
        """Offer it to the board: its bytes for PULL, and DESIRED with the key wrapped for this board."""
        server.releases[self.id] = (self.manifest, self.signature, self.payload)
        server.desire(self.desired(server))

    def desired(self, server: FakeServer) -> dict[str, object]:
        wrap = wrap_content_key(server.keys, self.id, self.content_key)
        sizes = [len(self.manifest), len(self.signature), len(self.payload)]
        return {"release": self.id.hex(), "wrap": wrap.hex(), "sizes": sizes}
