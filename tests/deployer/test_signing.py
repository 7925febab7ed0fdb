"""The release key: made once, kept private, refused when it is not what boards verify."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.common.errors import InvalidInput
from services.deployer.settings import DeployerSettings
from services.deployer.signing import open_signer, sign_manifest


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_the_key_is_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    settings = DeployerSettings(data_dir=tmp_path)
    first = open_signer(settings)
    file = tmp_path / "release_key.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["release_key.pem"]
    again = open_signer(settings)
    assert again.modulus == first.modulus and len(first.modulus) == 768
    again.check(b"manifest", first.sign(b"manifest"))


WRONG = {
    "not PEM": b"hello",
    "elliptic": pem(ec.generate_private_key(ec.SECP256R1())),
    "2048 bits": pem(rsa.generate_private_key(65537, 2048)),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_key_is_refused_with_the_file_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(WRONG[name])
    for settings in (
        DeployerSettings(release_key=file),
        DeployerSettings(signing="external", signer_public_key=file),
    ):
        with pytest.raises(InvalidInput) as caught:
            open_signer(settings)
        assert caught.value.reason == "BAD_RELEASE_KEY" and str(file) in caught.value.message
    with pytest.raises(InvalidInput) as caught:
        sign_manifest(b"{}", WRONG[name])
    assert caught.value.reason == "BAD_RELEASE_KEY"


def test_external_signing_needs_a_public_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_signer(DeployerSettings(signing="external"))
    assert caught.value.reason == "NO_SIGNER_KEY"
    with pytest.raises(InvalidInput) as caught:
        open_signer(DeployerSettings(signing="external", signer_public_key=tmp_path / "absent.pem"))
    assert "absent.pem" in caught.value.message
