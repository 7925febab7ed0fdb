"""Which services answer."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.gateway.context import Here

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["status"])


class StatusPublic(BaseModel):
    """The gateway's view of the system."""

    version: str
    services: dict[str, bool] = Field(description="collector, trainer, deployer: answers a health check")


@router.get("/status", summary="Which services answer")
async def status(context: Here) -> StatusPublic:
    return StatusPublic(version=_version(), services=await context.upstream.reachable())


def _version() -> str:
    try:
        return version("boardloop")
    except PackageNotFoundError:
        return "source"  # run from a checkout without installation
