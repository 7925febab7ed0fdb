"""The golden bytes of docs/protocol.md, read by the board's code."""

from golden_files import index, read

from boardloop import frames, manifest, rsa, verify
from boardloop.codes import read_pairing, read_wifi
from boardloop.crypto import CbcReader, aes_cbc, hexlify, hkdf, sha256, unhex, unpad


class ServerKeys:
    """The same frame code sealing the other way, to check what the board opens."""

    def __init__(self, keys):
        self.down_enc, self.down_mac = keys.up_enc, keys.up_mac


def check_codes():
    for good in index["pairing_codes"]:
        assert read_pairing(good["code"]) == (good["host"], good["port"], good["board"], unhex(good["secret"], 16)), (
            good
        )
    for bad in index["bad_pairing_codes"]:
        assert read_pairing(bad) is None, bad
    for good in index["wifi_codes"]:
        assert read_wifi(good["code"]) == (good["ssid"], good["password"]), good
    for bad in index["bad_wifi_codes"]:
        assert read_wifi(bad) is None, bad


def check_keys():
    renew = index["renew"]
    nonces = unhex(renew["board_nonce"], 16), unhex(renew["server_nonce"], 16)
    secret = frames.renew_secret(unhex(renew["pairing_secret"], 16), nonces[0], nonces[1])
    assert hexlify(secret) == renew["secret"]
    for named in index["keys"].values():
        secret = unhex(named["secret"], 16)
        keys = frames.Keys(secret)
        assert keys.password == named["mqtt"]
        assert (hexlify(keys.up_enc), hexlify(keys.down_enc)) == (named["up-enc"], named["down-enc"])
        assert hexlify(keys.wrap_enc) == named["wrap-enc"]
        for mac, word in ((keys.up_mac, "up-mac"), (keys.up_iv, "up-iv"), (keys.down_mac, "down-mac")):
            assert mac.digest(b"x") == frames.Mac(unhex(named[word], 32)).digest(b"x"), word
        assert hexlify(hkdf(secret, b"boardloop/v1", b"wrap-mac")) == named["wrap-mac"]


def check_frames():
    """Uplink: the board makes exactly these bytes. Downlink: it opens them."""
    count = 0
    for golden in index["frames"].values():
        keys = frames.Keys(unhex(index["keys"][golden["keys"]]["secret"], 16))
        data = read(golden["file"])
        plaintext = unhex(golden["plaintext"], len(golden["plaintext"]) // 2)
        if golden["kind"] < 0x80:
            assert frames.seal(golden["kind"], golden["session"], golden["sequence"], plaintext, keys) == data
            keys = ServerKeys(keys)
        opened = frames.unseal(memoryview(data), keys)
        assert opened == (golden["kind"], golden["session"], golden["sequence"], plaintext), golden["file"]
        count += 1
    assert count >= 15


def check_bad_frames():
    keys = ServerKeys(frames.Keys(unhex(index["keys"]["paired"]["secret"], 16)))
    refused = 0
    for bad in index["bad_frames"].values():
        try:
            kind = frames.unseal(read(bad["file"]), keys)[0]
        except frames.FrameError:
            refused += 1
        else:  # its MAC is right, only its kind is not one for services
            assert kind not in frames.TOPIC_WORDS, bad
    assert refused >= 8


def check_captures():
    for capture in index["captures"].values():
        assert hexlify(sha256(read(capture["file"]))[:16]) == capture["id"]


def check_release():
    release = index["release"]
    data, signature = read(release["manifest"]), read(release["signature"])
    assert rsa.verify(release["signer"], data, signature)
    assert not rsa.verify(release["signer"], data + b" ", signature)
    assert not rsa.verify(release["signer"], data, signature[:-1])
    assert not rsa.verify(release["signer"], data, signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not rsa.verify(release["signer"], data, bytes(384))
    m = manifest.Manifest(data)
    keys = frames.Keys(unhex(index["keys"]["paired"]["secret"], 16))
    key = verify.content_key(keys, release["id"], release["wrapped"])
    assert hexlify(key) == release["content_key"]
    payload = read(release["payload"])
    assert sha256(payload) == m.payload_hash
    reader = CbcReader(key, m.iv)
    plain = b""
    for at in range(0, len(payload), 48):
        plain += reader.read(payload[at : at + 48])
    assert unpad(plain) == unhex(release["model"] + release["golden"], m.model_size + m.golden_size)


def check_truncated_manifests():
    data = read(index["release"]["manifest"])
    for size in range(len(data)):
        try:
            manifest.Manifest(data[:size])
        except ValueError:
            continue
        raise AssertionError(size)


def check_plain_aes():
    """FIPS 197 appendix C.3, and the plain code against what the interpreter has."""
    from boardloop.cbc_host import PlainAes, plain_cbc

    key = bytes(range(32))
    block = unhex("00112233445566778899aabbccddeeff", 16)
    assert hexlify(PlainAes(key).encrypt(block)) == "8ea2b7ca516745bfeafc49904b496089"
    data = bytes(range(96))
    secret = aes_cbc(key, block, data, True)
    assert plain_cbc(key, block, data, True) == secret
    assert plain_cbc(key, block, secret, False) == data == aes_cbc(key, block, secret, False)


check_codes()
check_keys()
check_frames()
check_bad_frames()
check_captures()
check_release()
check_truncated_manifests()
check_plain_aes()
print("golden bytes read")
