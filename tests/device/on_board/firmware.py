"""A K210's firmware for the modules it has: each trap of MaixPy-v1 and CanMV raises or misbehaves as it does there.

`install()` before the core is imported. MicroPython only.
"""

import sys

import cryptolib
import hashlib

MOST_BLOCKS = 65535


class Sha256:
    """One global hardware block: one hash at a time, `digest()` ends it and works once."""

    owner = None

    def __init__(self, data=b""):
        assert Sha256.owner is None, "a hash began before the last one was finished"
        Sha256.owner = self
        self.real = hashlib.sha256()
        self.size = 0
        self.update(data)

    def update(self, data):
        assert Sha256.owner is self, "two hashes at a time"
        self.size += len(data)
        assert self.size < MOST_BLOCKS * 64, "the block counter has 16 bits"
        self.real.update(data)

    def digest(self):
        assert Sha256.owner is self, "digest() twice"
        Sha256.owner = None
        return self.real.digest()


class Hash:
    sha256 = Sha256


class Aes:
    """`aes` of moducryptolib_maix.c: the number of MODE_CBC is its own, and every call starts from the first IV."""

    MODE_GCM, MODE_CBC, MODE_ECB = 11, 12, 13

    class aes:
        def __init__(self, key, mode, iv):
            assert mode == Aes.MODE_CBC, "the mode is to be taken by its name"
            assert len(iv) == 16 and len(key) == 32
            self.key, self.iv = key, iv

        def encrypt(self, data):
            return cryptolib.aes(self.key, 2, self.iv).encrypt(data)

        def decrypt(self, data):
            return cryptolib.aes(self.key, 2, self.iv).decrypt(data)


class Os:
    """`os.urandom` starts from the same seed at every boot."""

    def __init__(self, real):
        self.real = real

    def urandom(self, size):
        return b"\x5a" * size


def install():
    sys.modules["uhashlib"] = Hash
    sys.modules["ucryptolib"] = Aes
    from boardloop import crypto

    crypto.os = Os(crypto.os)
    assert crypto.hashlib is Hash and crypto.MODE_CBC == Aes.MODE_CBC
