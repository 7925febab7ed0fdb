"""Seals secrets at rest: boards' secrets and releases' content keys never lie readable in the database."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from services.common.errors import FailedPrecondition
from services.common.keys import record_fernet

__all__ = ["Vault"]


class Vault:
    """Fernet (AES-128-CBC, HMAC-SHA256) under a key that comes from the service key by HKDF, info `deployer-vault`."""

    def __init__(self, service_key: SecretStr) -> None:
        """InvalidInput (BAD_SERVICE_KEY) unless the key is 32 bytes in URL-safe base64."""
        record_fernet(service_key)  # checks the key and says how to make one
        self._key = urlsafe_b64decode(service_key.get_secret_value().strip())
        self._fernet = Fernet(urlsafe_b64encode(self.derive("deployer-vault")))

    def derive(self, info: str) -> bytes:
        """32 bytes for the purpose `info`, the same each time."""
        return HKDF(hashes.SHA256(), 32, b"boardloop/v1", info.encode()).derive(self._key)

    def seal(self, secret: bytes) -> bytes:
        return self._fernet.encrypt(secret)

    def open(self, sealed: bytes) -> bytes:
        """FailedPrecondition (SERVICE_KEY_CHANGED) when it was sealed under another service key."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            message = "A stored secret does not open with this BOARDLOOP_SERVICE_KEY."
            fix = "Start with the service key the database was written with (data/service.key in the all-in-one)."
            raise FailedPrecondition("SERVICE_KEY_CHANGED", message, fix=fix) from error
