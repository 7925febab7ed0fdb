"""Settings of the deployer; each is read from BOARDLOOP_<NAME> and documented in docs/settings.md."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from services.common.settings import CommonSettings

__all__ = ["DeployerSettings"]

MIB = 1024 * 1024


class DeployerSettings(CommonSettings):
    """Where boards find the broker, how long a code is valid, who signs, and the broker's account keeper."""

    grpc_address: str = "127.0.0.1:7003"
    trainer_address: str = Field("127.0.0.1:7002", description="host:port of the trainer.")
    board_host: str = Field("", description="Broker's address in pairing codes: a name or an IPv4 address.")
    board_port: int = Field(0, ge=0, le=65535, description="Broker's port in pairing codes; 0: that of mqtt_url.")
    pairing_minutes: float = Field(10.0, gt=0, le=1440, description="How long a pairing code is valid.")
    signing: Literal["server", "external"] = Field("server", description="Who signs releases.")
    release_key: Path | None = Field(
        None, description="PEM of the RSA-3072 release key (signing=server); empty: <data_dir>/release_key.pem."
    )
    signer_public_key: Path | None = Field(
        None, description="PEM of the public release key (signing=external); the private one stays away."
    )
    dynsec_username: str = Field("admin", description="Admin of mosquitto's dynamic security.")
    dynsec_password: SecretStr = Field(
        SecretStr(""), description="Its password; empty: the broker's accounts are not ours to keep."
    )
    block_cache_bytes: int = Field(32 * MIB, ge=MIB, description="Memory for blocks that many boards pull.")
