"""Settings of the gateway: environment variables with the prefix BOARDLOOP_."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, field_validator

from services.common.settings import CommonSettings

__all__ = ["GatewaySettings"]

MIB = 1024 * 1024


class GatewaySettings(CommonSettings):
    """Where the gateway listens, whom it asks, and how long a login lasts."""

    host: str = Field("127.0.0.1", description="Address the web page listens on; 0.0.0.0: all interfaces.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the web page; 0: a free one.")
    collector_address: str = Field("127.0.0.1:7001", description="host:port of the collector.")
    trainer_address: str = Field("127.0.0.1:7002", description="host:port of the trainer.")
    deployer_address: str = Field("127.0.0.1:7003", description="host:port of the deployer.")
    session_hours: float = Field(12.0, gt=0, le=24 * 90, description="A login ends this long after its last use.")
    upload_limit_bytes: int = Field(64 * MIB, ge=MIB, description="Largest body of one request to the web page.")
    archive_limit_bytes: int = Field(2048 * MIB, ge=MIB, description="Largest archive of pictures that is imported.")
    public_origin: str = Field("", description="https://boardloop.example behind a proxy; empty: the Host header.")

    @field_validator("public_origin")
    @classmethod
    def _origin_without_path(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @property
    def session_lifetime(self) -> timedelta:
        """How long a session lives after its last use."""
        return timedelta(hours=self.session_hours)

    @property
    def secure_cookies(self) -> bool:
        """Cookies go over TLS only once the public address says https."""
        return self.public_origin.startswith("https://")
