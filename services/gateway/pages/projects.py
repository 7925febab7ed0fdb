"""The projects chooser."""

from __future__ import annotations

import asyncio
from html import escape

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from services.gateway.pages.layout import Page, button, empty, html, mark, open_page
from services.gateway.pages.words import date, label_colour
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector

__all__: list[str] = []

STRIP = 4  # newest pictures on a project's card


@ui.page("/")
async def projects_page(request: Request) -> RedirectResponse | None:
    page = await open_page(request)
    if not isinstance(page, Page):
        return page
    t = page.t
    with page.frame(t("projects.title")):
        _, actions = page.head(t("projects.title"), t("projects.subtitle"))
        with actions:
            button(t("projects.new"), "primary", lambda: _dialog(page).open(), icon="add", test="new-project")
        tiles = ui.element("div").classes("full")

    async def show(answer: collector.ListProjectsResponse) -> None:
        cards = await asyncio.gather(*(_card(page, project) for project in answer.projects))
        tiles.clear()
        with tiles:
            if cards:
                html(f'<div class="tiles">{"".join(cards)}</div>')
                return
            with empty("category", t("projects.empty.title"), t("projects.empty.text")):
                button(t("projects.new"), "primary", lambda: _dialog(page).open(), icon="add")

    page.listen(page.context.live.projects(), show)
    return None


async def _card(page: Page, project: collector.Project) -> str:
    labels = list(project.labels)
    newest = collector.ListCapturesRequest(filter=collector.CaptureFilter(project_id=project.id), page_size=STRIP)
    captures = (await ask(page.upstream.captures.ListCaptures(newest))).captures
    counts = await ask(page.upstream.captures.CountCaptures(collector.CountCapturesRequest(project_id=project.id)))
    pictures = page.t("datasets.subtitle", total=counts.total)
    strip = "".join(f'<img alt="" src="/api/v1/captures/{one.id}/thumbnail?size=160">' for one in captures)
    strip += "<i></i>" * (STRIP - len(captures))
    tags = "".join(
        f'<span class="tag"><i class="dot" style="--c:{label_colour(label, labels)}"></i>{escape(label)}</span>'
        for label in labels
    )
    return (
        f'<a class="card" href="/projects/{project.id}/datasets" data-testid="project">'
        f'<div class="strip">{strip}</div><h2>{escape(project.name)}</h2><div class="labels">{tags}</div>'
        f'<span class="faint num">{escape(pictures)} · {date(project.created_at)}</span></a>'
    )


def _dialog(page: Page) -> ui.dialog:
    t = page.t
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        html(t("projects.new"), tag="h2")
        name = ui.input(t("common.name")).props("outlined autofocus maxlength=64 " + mark("project-name"))
        labels = ui.textarea(t("projects.labels")).props("outlined rows=4 " + mark("project-labels"))
        labels.props["hint"] = t("projects.labels_hint")

        async def create() -> None:
            wanted = [line.strip() for line in (labels.value or "").splitlines() if line.strip()]
            request = collector.CreateProjectRequest(name=(name.value or "").strip(), labels=wanted)
            answer = await ask(page.upstream.projects.CreateProject(request))
            ui.navigate.to(f"/projects/{answer.project.id}/datasets")

        with ui.element("div").classes("foot"):
            button(t("common.cancel"), "ghost", dialog.close)
            button(t("common.create"), "primary", page.action(create), test="project-create")
    return dialog
