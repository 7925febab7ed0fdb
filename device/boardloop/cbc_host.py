"""AES-256-CBC where the interpreter has no `ucryptolib`: OpenSSL through ctypes, else plain Python (FIPS 197).

Used on Linux boards (V831, CPython); never imported on a K210.
"""


def _openssl():
    """-> function(key, iv, data, encrypt), or None without a usable libcrypto."""
    try:
        import ctypes
    except ImportError:
        return None
    for name in ("libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so.1.0.0", "libcrypto.so"):
        try:
            lib = ctypes.CDLL(name)
            lib.EVP_CIPHER_CTX_new.restype = ctypes.c_void_p
            lib.EVP_aes_256_cbc.restype = ctypes.c_void_p
            break
        except (OSError, AttributeError):
            continue
    else:
        return None
    pointer = ctypes.c_void_p

    def aes_cbc(key, iv, data, encrypt):
        data = bytes(data)
        out = ctypes.create_string_buffer(len(data) + 16)
        done = ctypes.c_int(0)
        context = pointer(lib.EVP_CIPHER_CTX_new())
        try:
            good = lib.EVP_CipherInit_ex(
                context, pointer(lib.EVP_aes_256_cbc()), None, bytes(key), bytes(iv), 1 if encrypt else 0
            )
            lib.EVP_CIPHER_CTX_set_padding(context, 0)
            good = good and lib.EVP_CipherUpdate(context, out, ctypes.byref(done), data, len(data))
        finally:
            lib.EVP_CIPHER_CTX_free(context)
        if not good or done.value != len(data):
            raise ValueError("AES-CBC wants whole blocks of 16 bytes")
        return out.raw[: len(data)]

    return aes_cbc


def _double(a):
    return ((a << 1) ^ 0x11B) & 0xFF if a & 0x80 else a << 1


def _times(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = _double(a)
        b >>= 1
    return product


def _sboxes():
    """FIPS 197 section 5.1.1: inverse in GF(2^8), then the affine map."""
    box = bytearray(256)
    p = q = 1
    while True:
        p = p ^ _double(p)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        x = q
        for turn in range(1, 5):
            x ^= ((q << turn) | (q >> (8 - turn))) & 0xFF
        box[p] = x ^ 0x63
        if p == 1:
            break
    box[0] = 0x63
    inverse = bytearray(256)
    for i in range(256):
        inverse[box[i]] = i
    return bytes(box), bytes(inverse)


class PlainAes:
    """AES-256 on single blocks, about 1 ms a block: for tests and for a Linux board without libcrypto."""

    SBOX, INVERSE = _sboxes()
    X2, X3, X9, XB, XD, XE = [bytes([_times(a, b) for a in range(256)]) for b in (2, 3, 9, 11, 13, 14)]

    def __init__(self, key):
        if len(key) != 32:
            raise ValueError("AES-256 wants a key of 32 bytes")
        box = self.SBOX
        words = [list(key[4 * i : 4 * i + 4]) for i in range(8)]
        rcon = 1
        for i in range(8, 60):
            word = words[i - 1]
            if i % 8 == 0:
                word = [box[word[1]] ^ rcon, box[word[2]], box[word[3]], box[word[0]]]
                rcon = _double(rcon)
            elif i % 8 == 4:
                word = [box[b] for b in word]
            words.append([a ^ b for a, b in zip(words[i - 8], word)])
        self._rounds = [sum(words[4 * r : 4 * r + 4], []) for r in range(15)]

    def encrypt(self, block):
        box, x2, x3 = self.SBOX, self.X2, self.X3
        s = [a ^ b for a, b in zip(block, self._rounds[0])]
        for r in range(1, 15):
            t = [box[s[(i + 4 * (i % 4)) % 16]] for i in range(16)]
            if r < 14:
                s = []
                for c in range(0, 16, 4):
                    a, b, d, e = t[c : c + 4]
                    s += [x2[a] ^ x3[b] ^ d ^ e, a ^ x2[b] ^ x3[d] ^ e, a ^ b ^ x2[d] ^ x3[e], x3[a] ^ b ^ d ^ x2[e]]
            else:
                s = t
            s = [a ^ b for a, b in zip(s, self._rounds[r])]
        return bytes(s)

    def decrypt(self, block):
        inverse, x9, xb, xd, xe = self.INVERSE, self.X9, self.XB, self.XD, self.XE
        s = [a ^ b for a, b in zip(block, self._rounds[14])]
        for r in range(13, -1, -1):
            s = [inverse[s[(i - 4 * (i % 4)) % 16]] for i in range(16)]
            s = [a ^ b for a, b in zip(s, self._rounds[r])]
            if r:
                t = []
                for c in range(0, 16, 4):
                    a, b, d, e = s[c : c + 4]
                    t += [
                        xe[a] ^ xb[b] ^ xd[d] ^ x9[e],
                        x9[a] ^ xe[b] ^ xb[d] ^ xd[e],
                        xd[a] ^ x9[b] ^ xe[d] ^ xb[e],
                        xb[a] ^ xd[b] ^ x9[d] ^ xe[e],
                    ]
                s = t
        return bytes(s)


def plain_cbc(key, iv, data, encrypt):
    """AES-256-CBC without padding, no library."""
    if len(data) % 16:
        raise ValueError("AES-CBC wants whole blocks of 16 bytes")
    aes = PlainAes(key)
    out = bytearray()
    last = bytes(iv)
    for at in range(0, len(data), 16):
        block = bytes(data[at : at + 16])
        if encrypt:
            last = aes.encrypt(bytes([a ^ b for a, b in zip(block, last)]))
            out += last
        else:
            out += bytes([a ^ b for a, b in zip(aes.decrypt(block), last)])
            last = block
    return bytes(out)


aes_cbc = _openssl() or plain_cbc
