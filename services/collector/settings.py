"""Settings of the collector; each is read from BOARDLOOP_<NAME> and documented in docs/collect.md."""

from __future__ import annotations

from pydantic import Field

from services.common.settings import CommonSettings

MIB = 1024 * 1024


class CollectorSettings(CommonSettings):
    """What bounds the collector: every limit here has an ack or an error that names it."""

    grpc_address: str = "127.0.0.1:7001"
    capture_max_bytes: int = Field(4 * MIB, ge=1024, le=64 * MIB, description="largest capture record of a board")
    capture_max_pixels: int = Field(50_000_000, ge=1, description="largest picture, width x height")
    upload_max_bytes: int = Field(16 * MIB, ge=1024, le=30 * MIB, description="largest JPEG of UploadCapture")
    unfinished_per_board: int = Field(4, ge=1, description="captures of one board that may be half received")
    unfinished_max_bytes: int = Field(256 * MIB, ge=MIB, description="memory for all half received captures")
    unfinished_seconds: float = Field(120.0, gt=0, description="a half received capture without news is dropped")
    ingest_workers: int = Field(16, ge=1, le=64, description="threads that verify and store; a board keeps to one")
    ingest_queue: int = Field(256, ge=1, description="frames that wait for one worker before boards are told BUSY")
    thumbnail_cache_bytes: int = Field(64 * MIB, ge=0, description="memory for thumbnails; 0 = make each anew")
