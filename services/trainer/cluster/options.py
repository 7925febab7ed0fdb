"""What the trainer tells a task's driver."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Options"]


class Options(BaseModel):
    """Where the cluster is and what a worker asks of it; travels as JSON on the driver's command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str  # host:port, or ray://host:port
    cpus: int = 2  # of a worker; its threads, where the configuration says 0
    gpus: float = 0.0
    workers: int = 1
    retries: int = 3  # in a row without a finished epoch
    lease: float = 60.0  # seconds without a question after which a worker ends itself
