"""The box editor: one picture after another; static/boxes.js draws and saves."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from services.gateway.pages.layout import ASSETS, Page, button, find_project, open_page
from services.gateway.pages.words import COLOURS
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector

__all__ = ["editor_address"]

TEXTS = (
    "previous", "next", "undo", "redo", "remove", "nothing", "hint", "new_label", "add", "none", "saving", "not_saved",
    "no_label", "not_boxed", "boxes", "background",
)  # fmt: skip
COUNT = {"count": "{count}"}  # filled in by boxes.js
FILTERS = ("label", "board_id", "boxed")


def editor_address(chosen: collector.CaptureFilter, capture_id: str = "") -> str:
    """The editor over the pictures of a filter, at one of them or at the newest."""
    query = {"label": chosen.label} if chosen.HasField("label") else {}
    query |= {"board_id": chosen.board_id} if chosen.board_id else {}
    query |= {"boxed": "true" if chosen.boxed else "false"} if chosen.HasField("boxed") else {}
    query |= {"capture": capture_id} if capture_id else {}
    return f"/projects/{chosen.project_id}/boxes?{urlencode(query)}"


@ui.page("/projects/{project_id}/boxes")
async def boxes_page(request: Request, project_id: str) -> RedirectResponse | None:
    page = await open_page(request)
    if not isinstance(page, Page):
        return page
    project = await find_project(page, project_id)
    if project is None:
        return None
    t = page.t
    ui.add_head_html(f'<script src="/static/boxes.js?{ASSETS}"></script>')
    with page.frame(t("boxes.title"), here="datasets", project=project):
        _, actions = page.head(t("boxes.title"), t("boxes.subtitle"))
        with actions:
            to_sets = f"/projects/{project.id}/datasets"
            button(t("boxes.back"), "plain", lambda: ui.navigate.to(to_sets), icon="photo_library", test="boxes-back")
        root = ui.element("section").classes("box-editor")
        query = {name: request.query_params[name] for name in FILTERS if name in request.query_params}
        # Props as they are: people's words must not be parsed as props.
        root.props["data-box-editor"] = ""
        root.props["data-project"] = project.id
        root.props["data-capture"] = request.query_params.get("capture", "")
        root.props["data-filter"] = urlencode(query)
        root.props["data-labels"] = json.dumps(list(project.labels))
        root.props["data-colours"] = json.dumps(COLOURS)
        root.props["data-texts"] = json.dumps({name: page.t(f"boxes.{name}", **COUNT) for name in TEXTS})
    return None
