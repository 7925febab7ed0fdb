"""AES-256-CBC with PKCS#7 padding (NIST SP 800-38A, RFC 5652 section 6.3), the one cipher of the protocol."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

__all__ = ["decrypt", "encrypt"]


def encrypt(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """Ciphertext of 16 m bytes, m >= 1, under a key of 32 bytes and an IV of 16."""
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()


def decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """The plaintext; ValueError when length or padding is wrong. Verify the MAC first."""
    decryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()
