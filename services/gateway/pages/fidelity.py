"""How faithfully a converted file answers: float beside converted, layer by layer, and the pictures that changed."""

from __future__ import annotations

import json
from html import escape

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from services.common import fidelity_view as view
from services.common.errors import BoardloopError
from services.common.fidelity import Fidelity
from services.gateway.pages.layout import Page, empty, find_project, html, mark, open_page
from services.gateway.rest.models import fidelity_of
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__: list[str] = []

THUMBNAIL = 192


@ui.page("/projects/{project_id}/models/{model_id}/fidelity/{target}")
async def fidelity_page(request: Request, project_id: str, model_id: str, target: str) -> RedirectResponse | None:
    page = await open_page(request)
    if not isinstance(page, Page):
        return page
    project = await find_project(page, project_id)
    if project is None:
        return None
    t = page.t
    back = f"/projects/{escape(project.id)}/models?model={escape(model_id)}"
    with page.frame(t("fidelity.title"), here="models", project=project):
        try:
            asked = trainer.GetModelRequest(model_id=model_id)
            model = (await ask(page.upstream.models.GetModel(asked))).model
            found = fidelity_of(model, target)
        except BoardloopError as error:
            page.head(t("fidelity.title"), target)
            with empty("troubleshoot", t("fidelity.missing.title"), str(error)):
                html(f'<a class="btn primary" href="{back}">{escape(t("fidelity.to_model"))}</a>')
            return None
        _, actions = page.head(f"{t('fidelity.title')} · {model.name}", t("fidelity.subtitle", target=target))
        with actions:
            html(f'<a class="btn plain" href="{back}" data-testid="to-model">{escape(t("fidelity.to_model"))}</a>')
        report = next(json.loads(one.report_json or "{}") for one in model.files if one.target == target)
        _show(page, found, report)
    return None


def _show(page: Page, found: Fidelity, report: dict[str, object]) -> None:
    t = page.t
    with ui.element("div").classes("stack fidelity").props(mark("fidelity")):
        _card(view.stats(found, t))
        with ui.element("div").classes("fidelity-halves"):
            _card(view.layers(found, t))
            with ui.element("div").classes("stack"):
                _card(view.confidence(found, t))
                _card(view.classes(found, t))
                _card(view.chip(report, t))
        _card(view.changed(found, t, _picture))


def _card(content: str) -> None:
    if content:
        html(content, "card stack", tag="section")


def _picture(capture_id: str) -> tuple[str, str]:
    """Thumbnail and whole picture of a capture."""
    address = f"/api/v1/captures/{capture_id}"
    return f"{address}/thumbnail?size={THUMBNAIL}", f"{address}/image"
