"""The golden bytes of the bundle, opened by the code that makes bundles."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.common import cipher
from services.common.errors import InvalidInput
from services.common.keys import BoardKeys, unwrap_content_key
from services.deployer.qr import wifi_code
from services.deployer.results import ResultBody
from services.deployer.rollouts import Report
from services.deployer.sessions import Hello
from services.deployer.settings import DeployerSettings
from services.deployer.signing import open_signer, sign_manifest
from tests.deployer.board import open_bundle, unwrap
from tests.deployer.conftest import GOLDEN, RELEASE_KEY

INDEX: dict[str, Any] = json.loads((GOLDEN / "index.json").read_text())
RELEASE = INDEX["release"]


def part(name: str) -> bytes:
    return (GOLDEN / RELEASE[name]).read_bytes()


def keys(name: str) -> BoardKeys:
    return BoardKeys.derive(bytes.fromhex(INDEX["keys"][name]["secret"]))


def test_the_golden_signature_is_ours_and_checks() -> None:
    signer = open_signer(DeployerSettings(release_key=RELEASE_KEY))
    assert signer.modulus == RELEASE["signer"]
    assert sign_manifest(part("manifest"), RELEASE_KEY.read_bytes()) == part("signature")
    signer.check(part("manifest"), part("signature"))
    with pytest.raises(InvalidInput):
        signer.check(part("manifest") + b" ", part("signature"))


def test_the_golden_key_unwraps_and_opens_the_payload() -> None:
    key = unwrap_content_key(keys("paired"), bytes.fromhex(RELEASE["id"]), bytes.fromhex(RELEASE["wrapped"]))
    assert key.hex() == RELEASE["content_key"]
    manifest = json.loads(part("manifest"))
    plain = cipher.decrypt(key, bytes.fromhex(manifest["payload"]["iv"]), part("payload"))
    assert plain.hex() == RELEASE["model"] + RELEASE["golden"]
    with pytest.raises(InvalidInput):
        unwrap_content_key(keys("pairing"), bytes.fromhex(RELEASE["id"]), bytes.fromhex(RELEASE["wrapped"]))


def test_the_test_board_agrees_with_the_golden_bytes() -> None:
    key = unwrap(keys("paired"), RELEASE["id"], RELEASE["wrapped"])
    parts = (part("manifest"), part("signature"), part("payload"))
    got = open_bundle(*parts, signer=RELEASE["signer"], key=key)
    assert (got.model.hex(), got.golden.hex()) == (RELEASE["model"], RELEASE["golden"])
    with pytest.raises(AssertionError):
        open_bundle(parts[0] + b" ", *parts[1:], signer=RELEASE["signer"], key=key)


def test_golden_frames_of_boards_are_understood() -> None:
    def plaintext(name: str) -> bytes:
        return bytes.fromhex(INDEX["frames"][name]["plaintext"])

    assert Hello.model_validate_json(plaintext("hello")).type == "k210"
    assert Report.model_validate_json(plaintext("report")).state == "COMMITTED"
    assert ResultBody.model_validate_json(plaintext("result")).logits == [2.51, -0.11]


@pytest.mark.parametrize("number", [0, 2])
def test_wifi_codes_are_written_as_the_golden_ones(number: int) -> None:
    golden = INDEX["wifi_codes"][number]
    assert wifi_code(golden["ssid"], golden["password"]) == golden["code"]
