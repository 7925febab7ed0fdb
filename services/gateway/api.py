"""The REST API as one ASGI app, mounted at /api."""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI

from services.gateway import problems
from services.gateway.limits import BodyLimit, RequestMetrics
from services.gateway.rest import (
    account,
    archives,
    boards,
    captures,
    cards,
    evaluations,
    jobs,
    models,
    networks,
    predictions,
    preflight,
    previews,
    projects,
    releases,
    status,
    versions,
)
from services.gateway.security import SchemeDocs, current_user
from services.gateway.settings import GatewaySettings

__all__ = ["build_api"]

TAGS = [
    {"name": "account", "description": "Login, password, API tokens"},
    {"name": "projects", "description": "What a data set, its boards and its models belong to"},
    {"name": "captures", "description": "Pictures from boards and uploads, with their labels"},
    {"name": "versions", "description": "Frozen data sets with their split"},
    {"name": "jobs", "description": "Training"},
    {"name": "models", "description": "Figures, files, conversion, prediction"},
    {"name": "evaluations", "description": "A model on any data set version: figures, pictures right and wrong"},
    {"name": "boards", "description": "Pairing, state, results"},
    {"name": "releases", "description": "A signed, encrypted model on its way to boards"},
    {"name": "status", "description": "Which services answer"},
]
RESOURCES = (
    projects, captures, archives, versions, jobs, previews, preflight, networks, models, predictions, cards,
    evaluations, boards, releases, status,
)  # fmt: skip


def build_api(settings: GatewaySettings) -> FastAPI:
    """Every route but login wants a session cookie or a bearer token; every error has the one shape."""
    api = FastAPI(
        title="Boardloop",
        version="1",
        summary="From a button press on a camera board to a model running on that board.",
        openapi_url="/v1/openapi.json",
        docs_url=None,  # Swagger's page comes from a CDN
        redoc_url=None,
        openapi_tags=TAGS,
        responses=problems.ERRORS,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,
    )
    problems.install(api)
    limits = {"": ("UPLOAD", settings.upload_limit_bytes), "/archives": ("ARCHIVE", settings.archive_limit_bytes)}
    api.add_middleware(BodyLimit, limits=limits)
    api.add_middleware(RequestMetrics)
    api.include_router(account.open_router)
    api.include_router(account.router, dependencies=SchemeDocs)
    for resource in RESOURCES:
        api.include_router(_guarded(resource.router))
    return api


def _guarded(router: APIRouter) -> APIRouter:
    outer = APIRouter(dependencies=[*SchemeDocs, Depends(current_user)])
    outer.include_router(router)
    return outer
