"""Settings that every service has. Each comes from an environment variable: BOARDLOOP_ and the field's name."""

from __future__ import annotations

import os
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.errors import InvalidInput

__all__ = ["CommonSettings", "load_or_create_service_key"]


class CommonSettings(BaseSettings):
    """Base of each service's settings class. Explicit arguments win over the environment."""

    model_config = SettingsConfigDict(env_prefix="BOARDLOOP_", extra="ignore")

    def __init__(self, **given: Any) -> None:
        """InvalidInput (BAD_SETTING) names every variable that cannot be right, and why."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            faults = [f"BOARDLOOP_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
            raise InvalidInput("BAD_SETTING", f"{'; '.join(faults)}.", fix="docs/settings.md lists them all.") from None

    data_dir: Path = Field(Path("data"), description="Folder of everything this machine keeps.")
    service_key: SecretStr = Field(
        SecretStr(""),
        description="32 bytes in URL-safe base64, one for all services; the all-in-one makes <data_dir>/service.key.",
    )
    mqtt_url: str = Field("", description="mqtt://host:port or mqtts://host:port; empty: the embedded broker.")
    object_store_url: str = Field(
        "", description="s3://ACCESS:SECRET@host:port/bucket?secure=false; empty: the folder <data_dir>/objects."
    )
    database_url: str = Field(
        "",
        description="postgresql+psycopg://user:password@host:port/database; empty: <data_dir>/<service>.db (SQLite).",
    )
    log_format: Literal["console", "json"] = Field("console", description="Lines for people or for machines.")
    rpc_deadline_seconds: float = Field(30.0, gt=0, description="Deadline of a call to another service.")
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of the Prometheus page; 0: none.")


def load_or_create_service_key(data_dir: Path) -> str:
    """The key in `<data_dir>/service.key`, made on the first call (mode 600): 32 random bytes in URL-safe base64."""
    path = data_dir / "service.key"
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_suffix(f".{secrets.token_hex(8)}.tmp")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(urlsafe_b64encode(secrets.token_bytes(32)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename it never replaces the key of a process that was faster
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text().strip()
