"""Settings of the trainer; each is read from BOARDLOOP_<NAME>."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from services.common.settings import CommonSettings

__all__ = ["TrainerSettings", "user_cache_dir"]


def user_cache_dir() -> Path:
    """`boardloop` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boardloop"


class TrainerSettings(CommonSettings):
    """What bounds the trainer and where its peers are."""

    grpc_address: str = Field("127.0.0.1:7002", description="Where the trainer listens; port 0 picks a free one.")
    collector_address: str = Field("127.0.0.1:7001", description="Where the collector listens.")
    cache_dir: Path = Field(
        default_factory=user_cache_dir,
        description="Folder of downloaded weights, shared by all runs.",
    )
    nncase_python: str = Field(
        "", description="The python3.10 that nncase runs on (kmodel V5); empty: looked for on PATH, in pyenv and in uv."
    )
    weights_allowed: str = Field(
        "",
        description="Folders, and beginnings of addresses, whose weights a job may name, separated by commas; files in "
        "<cache_dir>/weights always.",
    )
    concurrent_jobs: int = Field(1, ge=1, le=64, description="Jobs that run at the same time; the others wait.")
    training_threads: int = Field(0, ge=0, le=256, description="CPU threads of one training; 0: one per core.")
    ray_address: str = Field(
        "",
        pattern=r"^$|^(ray://)?[^/\s]+:\d{1,5}$",
        description="ray://host:10001 of a Ray cluster that jobs are sent to, or host:6379 on one of its machines; "
        "empty: a child process on this machine.",
    )
    ray_cpus: int = Field(
        2,
        ge=1,
        le=256,
        description="CPUs that a job's worker asks the cluster for; also its threads, unless set above.",
    )
    ray_gpus: float = Field(0.0, ge=0, le=1, description="GPUs, or which share of one, that a worker asks for.")
    dataset_max_bytes: int = Field(
        8 * 1024**3, ge=1024**2, description="Largest data set version that a job fetches, in bytes of JPEG."
    )
    fetch_deadline_seconds: float = Field(600.0, gt=0, description="Deadline for fetching a data set version.")
    keep_job_folders: bool = Field(
        False, description="Keep pictures and checkpoints of finished jobs, to look at them."
    )
