"""The web pages: NiceGUI, mounted behind the API in the same ASGI app. Importing a page's module registers it."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import ui

from services.common.errors import FailedPrecondition
from services.gateway.pages import account as account
from services.gateway.pages import boards as boards
from services.gateway.pages import boxes as boxes
from services.gateway.pages import datasets as datasets
from services.gateway.pages import evaluation as evaluation
from services.gateway.pages import fidelity as fidelity
from services.gateway.pages import login as login
from services.gateway.pages import models as models
from services.gateway.pages import projects as projects
from services.gateway.pages import training as training

__all__ = ["mount_pages"]

FAVICON = Path(__file__).parent.parent / "static" / "favicon.svg"


def mount_pages(app: FastAPI) -> None:
    """Adds every page to `app`, below its own routes. FailedPrecondition: NiceGUI's state is one per process."""
    if nicegui_app.is_started:
        raise FailedPrecondition(
            "SECOND_GATEWAY",
            "Another gateway with pages runs in this process.",
            fix="Stop it first, or start this one with pages=False or in a process of its own.",
        )
    if nicegui_app.middleware_stack is not None:  # a gateway ran in this process before: NiceGUI's app is a global
        nicegui_app.middleware_stack = None
        nicegui_app.user_middleware.clear()
    ui.run_with(
        app,
        title="Boardloop",
        favicon=FAVICON,
        dark=None,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=10.0,
    )
