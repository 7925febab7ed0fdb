"""Signatures of manifests: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017), RSA-3072, exponent 65537.

The key lies on the server (`signing=server`), made at the first start, or anywhere else (`signing=external`): then the
server has the public key only, and a release waits until `boardloop sign` delivers the signature.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from services.common.errors import InvalidInput
from services.common.logs import logger
from services.deployer.settings import DeployerSettings

__all__ = ["SIGNATURE_BYTES", "Signer", "open_signer", "sign_manifest"]

log = logger(__name__)

KEY_BITS = 3072
EXPONENT = 65537
SIGNATURE_BYTES = KEY_BITS // 8


class Signer:
    """Verifies always; signs when it has the private key."""

    def __init__(self, public: rsa.RSAPublicKey, private_pem: bytes | None = None) -> None:
        self._public = public
        self._private_pem = private_pem

    @property
    def modulus(self) -> str:
        """768 hex characters: what a board is told at pairing and trusts from then on."""
        return self._public.public_numbers().n.to_bytes(SIGNATURE_BYTES, "big").hex()

    @property
    def can_sign(self) -> bool:
        return self._private_pem is not None

    def sign(self, manifest: bytes) -> bytes:
        """384 bytes. Only when can_sign."""
        assert self._private_pem is not None
        return sign_manifest(manifest, self._private_pem)

    def check(self, manifest: bytes, signature: bytes) -> None:
        """InvalidInput (BAD_SIGNATURE) unless `signature` was made of these very bytes by the release key."""
        try:
            if len(signature) != SIGNATURE_BYTES:
                raise InvalidSignature
            self._public.verify(signature, manifest, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as error:
            message = f"The signature ({len(signature)} bytes) is not the release key's over this manifest."
            fix = "Sign the exact manifest bytes with the private key that belongs to BOARDLOOP_SIGNER_PUBLIC_KEY."
            raise InvalidInput("BAD_SIGNATURE", message, fix=fix) from error


def sign_manifest(manifest: bytes, private_key_pem: bytes) -> bytes:
    """The 384 bytes of a release's signature. InvalidInput (BAD_RELEASE_KEY): not a PEM of an RSA-3072 private key."""
    try:
        key = serialization.load_pem_private_key(private_key_pem, None)
    except (ValueError, TypeError) as error:
        raise _bad_key("the private key", f"it cannot be read ({error})") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _bad_key("the private key", "it is no RSA key")
    _check_size(key.public_key(), "the private key")
    return key.sign(manifest, padding.PKCS1v15(), hashes.SHA256())


def open_signer(settings: DeployerSettings) -> Signer:
    """By `settings.signing`; makes the server's key at the first start. InvalidInput names the file that is wrong."""
    if settings.signing == "external":
        return Signer(_load_public(settings.signer_public_key))
    path = settings.release_key or settings.data_dir / "release_key.pem"
    if not path.exists():
        _make_key(path)
    pem = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise _bad_key(str(path), f"it cannot be read ({error})") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _bad_key(str(path), "it is no RSA key")
    _check_size(key.public_key(), str(path))
    return Signer(key.public_key(), pem)


def _load_public(path: Path | None) -> rsa.RSAPublicKey:
    if path is None:
        message = "BOARDLOOP_SIGNING is external and BOARDLOOP_SIGNER_PUBLIC_KEY is empty."
        fix = "openssl genrsa -out key.pem 3072; openssl rsa -in key.pem -pubout -out public.pem; name public.pem."
        raise InvalidInput("NO_SIGNER_KEY", message, fix=fix)
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise _bad_key(str(path), f"it cannot be read ({error})") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise _bad_key(str(path), "it is no RSA public key")
    _check_size(key, str(path))
    return key


def _check_size(key: rsa.RSAPublicKey, name: str) -> None:
    exponent = key.public_numbers().e
    if key.key_size != KEY_BITS or exponent != EXPONENT:
        raise _bad_key(name, f"it has {key.key_size} bits and exponent {exponent}; boards verify 3072 and 65537")


def _bad_key(name: str, why: str) -> InvalidInput:
    fix = "Make one with: openssl genrsa -out release_key.pem 3072"
    return InvalidInput("BAD_RELEASE_KEY", f"{name} is no release key: {why}.", fix=fix)


def _make_key(path: Path) -> None:
    """A new private key in `path`, mode 0600; another process that was faster keeps its own."""
    log.info("release_key_making", file=str(path))
    pem = rsa.generate_private_key(EXPONENT, KEY_BITS).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
