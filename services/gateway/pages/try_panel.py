"""“Try it” on a model's page: static/try.js sends the picture to the API and draws what the networks say."""

from __future__ import annotations

import json
from html import escape

from nicegui import ui

from services.common.i18n import Translator
from services.gateway.pages.layout import ASSETS, html, mark
from services.gateway.pages.words import COLOURS
from services.gateway.rest.models import FLOAT
from services.gateway.rest.predictions import PICTURE_BYTES
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["load_script", "try_panel"]

TEXTS = (
    "choose", "photo", "invite", "more", "confidence", "asking", "input", "truth", "time", "time_help", "rest",
    "nothing", "PICTURE_BROKEN", "PICTURE_TOO_LARGE", "MODEL_NOT_FOUND", "FILE_NOT_FOUND", "LOGIN_REQUIRED",
    "SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED",
)  # fmt: skip
FIELDS = {name: f"{{{name}}}" for name in ("label", "ms", "count", "file")}  # filled in by try.js


def load_script() -> None:
    """Once for a page."""
    ui.add_head_html(f'<script src="/static/try.js?{ASSETS}"></script>')


def try_panel(t: Translator, model: trainer.Model) -> None:
    """Draws the section into the current place."""
    texts = {name: t(f"try.{name}", **FIELDS) for name in TEXTS}
    texts["REQUEST_TOO_LARGE"] = texts["PICTURE_TOO_LARGE"]
    texts["OFFLINE"] = t("error.OFFLINE")
    with ui.element("section").classes("card stack").props(mark("try")):
        title, text = escape(t("try.title")), escape(t("try.help"))
        html(f'<h2 class="section-title">{title}</h2><p class="faint">{text}</p>', "stack tight")
        root = ui.element("div").classes("stack trial full")
    # Props as they are: people's words must not be parsed as props.
    root.props["data-trial"] = ""
    root.props["data-model"] = model.id
    root.props["data-project"] = model.project_id
    root.props["data-task"] = model.task
    root.props["data-limit"] = PICTURE_BYTES
    root.props["data-targets"] = json.dumps(
        {FLOAT: t("models.float")} | {one.target: one.target for one in model.files}
    )
    root.props["data-labels"] = json.dumps(list(model.labels))
    root.props["data-colours"] = json.dumps(COLOURS)
    root.props["data-texts"] = json.dumps(texts)
