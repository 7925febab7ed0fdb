"""services/common/keys.py against the golden keys and RFC 5869, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import InvalidToken
from pydantic import SecretStr

from services.common import keys
from services.common.errors import InvalidInput
from services.common.keys import BoardKeys, PairingCode

INDEX: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "index.json").read_text(encoding="utf-8"))
SERVICE_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
OTHER_KEY = "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
PAIRED = BoardKeys.derive(bytes.fromhex(INDEX["keys"]["paired"]["secret"]))


@pytest.mark.parametrize("state", ["pairing", "paired"])
def test_the_golden_keys(state: str) -> None:
    golden = INDEX["keys"][state]
    derived = BoardKeys.derive(bytes.fromhex(golden["secret"]))
    assert derived.mqtt_password == golden["mqtt"]
    for info in ("up-enc", "up-mac", "up-iv", "down-enc", "down-mac", "wrap-enc", "wrap-mac"):
        assert getattr(derived, info.replace("-", "_")).hex() == golden[info]


def test_the_golden_renewal() -> None:
    names = ("pairing_secret", "board_nonce", "server_nonce")
    parts = [bytes.fromhex(INDEX["renew"][name]) for name in names]
    assert keys.renew_secret(*parts).hex() == INDEX["renew"]["secret"]


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidInput):
        BoardKeys.derive(bytes(32))


def test_keys_stay_out_of_logs() -> None:
    assert PAIRED.up_enc.hex() not in repr(PAIRED) and PAIRED.mqtt_password not in repr(PAIRED)
    assert repr(PairingCode("host", 1883, "a" * 10, b"s" * 16)).count("secret") == 0


@pytest.mark.parametrize("golden", INDEX["pairing_codes"], ids=lambda golden: str(golden["port"]))
def test_the_golden_pairing_codes(golden: dict[str, Any]) -> None:
    code = PairingCode.decode(golden["code"])
    assert (code.host, code.port, code.board_id) == (golden["host"], golden["port"], golden["board"])
    assert code.secret.hex() == golden["secret"] and code.encode() == golden["code"]


@pytest.mark.parametrize("text", [*INDEX["bad_pairing_codes"], "BL1:ä:k7q2mzx4ab:AAAQEAYEAUDAOCAJBIFQYDIOB4"])
def test_a_text_that_is_no_pairing_code_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        PairingCode.decode(text)
    assert raised.value.reason == "BAD_PAIRING_CODE"


@pytest.mark.parametrize("host", ["", "a b", "::1", "host:1", "-x", "h/x"])
def test_a_host_that_does_not_fit_a_code_is_refused(host: str) -> None:
    with pytest.raises(InvalidInput):
        PairingCode(host, 1883, "a" * 10, bytes(16))


def test_a_host_too_long_for_a_code_is_named() -> None:
    with pytest.raises(InvalidInput) as raised:
        PairingCode("h" * 23, 1883, "a" * 10, bytes(16))
    assert raised.value.reason == "PAIRING_CODE_TOO_LONG" and "h" * 23 in raised.value.message
    assert len(PairingCode("h" * 22, 1883, "a" * 10, bytes(16)).encode()) == 64


def test_new_ids_and_secrets_differ() -> None:
    ids = {keys.new_board_id() for _ in range(100)}
    assert len(ids) == 100 and all(re.fullmatch("[a-z2-7]{10}", one) for one in ids)
    assert len({keys.new_secret() for _ in range(100)}) == 100 and len(keys.new_secret()) == 16


def test_the_golden_wrapped_key_opens() -> None:
    release = INDEX["release"]
    opened = keys.unwrap_content_key(PAIRED, bytes.fromhex(release["id"]), bytes.fromhex(release["wrapped"]))
    assert opened.hex() == release["content_key"]


def test_a_wrapped_key_has_96_bytes_and_comes_back() -> None:
    wrapped = keys.wrap_content_key(PAIRED, b"r" * 16, b"k" * 32)
    assert len(wrapped) == 96 and keys.unwrap_content_key(PAIRED, b"r" * 16, wrapped) == b"k" * 32
    assert keys.wrap_content_key(PAIRED, b"r" * 16, b"k" * 32) != wrapped


def test_a_wrapped_key_opens_only_for_its_board_and_release() -> None:
    wrapped = keys.wrap_content_key(PAIRED, b"r" * 16, b"k" * 32)
    flipped = wrapped[:20] + bytes([wrapped[20] ^ 1]) + wrapped[21:]
    attempts = [(BoardKeys.derive(bytes(16)), b"r" * 16, wrapped), (PAIRED, b"s" * 16, wrapped)]
    attempts += [(PAIRED, b"r" * 16, data) for data in (flipped, wrapped[:-1], b"")]
    for who, release, data in attempts:
        with pytest.raises(InvalidInput) as raised:
            keys.unwrap_content_key(who, release, data)
        assert raised.value.reason == "BAD_KEY"


def test_each_service_has_its_own_password() -> None:
    passwords = {
        keys.service_password(key, name) for key in (SERVICE_KEY, OTHER_KEY) for name in ("collector", "deployer")
    }
    assert len(passwords) == 4 and all(re.fullmatch("[0-9a-f]{64}", one) for one in passwords)
    assert keys.service_password(SecretStr(SERVICE_KEY), "collector") == keys.service_password(SERVICE_KEY, "collector")


def test_the_service_token_follows_from_the_key() -> None:
    assert keys.service_token(SERVICE_KEY) == keys.service_token(SERVICE_KEY) != keys.service_token(OTHER_KEY)


def test_a_board_record_opens_under_its_key_only() -> None:
    token = keys.record_fernet(SERVICE_KEY).encrypt(b"record")
    assert keys.record_fernet(SERVICE_KEY).decrypt(token) == b"record"
    with pytest.raises(InvalidToken):
        keys.record_fernet(OTHER_KEY).decrypt(token)


@pytest.mark.parametrize("key", ["", "short", "!" * 44, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MA=="])
def test_a_bad_service_key_is_named_without_being_shown(key: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        keys.service_token(key)
    assert raised.value.reason == "BAD_SERVICE_KEY" and (not key or key not in raised.value.message)
