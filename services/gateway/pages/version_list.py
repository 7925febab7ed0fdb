"""The panel of data set versions beside the pictures."""

from __future__ import annotations

from html import escape

from nicegui import ui

from services.gateway.pages.layout import Page, button, html, mark
from services.gateway.pages.words import date
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector

__all__ = ["version_panel"]


def version_panel(page: Page, project: collector.Project) -> None:
    """Lists the versions and makes new ones."""
    t = page.t
    with ui.element("aside").classes("card stack"):
        with ui.element("div").classes("line between"):
            html(t("versions.title"), tag="h2").classes("section-title")
            button(t("versions.new"), "primary small", lambda: _dialog(page, project).open(), test="new-version")
        html(t("versions.hint"), "faint")
        rows = ui.element("div").classes("full").props(mark("versions"))

    async def show(answer: collector.ListVersionsResponse) -> None:
        rows.clear()
        with rows:
            html("".join(_row(page, version) for version in answer.versions) or _none(page))

    page.listen(page.context.live.versions(project.id), show)


def _none(page: Page) -> str:
    return f'<span class="muted">{escape(page.t("versions.empty"))}</span>'


def _row(page: Page, version: collector.DatasetVersion) -> str:
    t = page.t
    counts = t("versions.counts", train=version.train_count, validation=version.validation_count)
    link = f"/projects/{version.project_id}/training?version={version.id}"
    return (
        f'<div class="version line between" data-testid="version"><div class="grow"><strong>v{version.number}</strong> '
        f'<span class="faint mono" title="SHA-256 {version.sha256}">{version.sha256[:10]}</span><br>'
        f'<span class="num">{escape(counts)}</span><br><span class="faint num">{date(version.created_at)}</span></div>'
        f'<a href="{link}" data-testid="version-train">{escape(t("versions.train"))}</a></div>'
    )


def _dialog(page: Page, project: collector.Project) -> ui.dialog:
    t = page.t
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        html(t("versions.new"), tag="h2")
        html(t("versions.hint"), "muted")
        share = ui.number(t("versions.share"), value=20, min=1, max=90).props("outlined " + mark("version-share"))
        seed = ui.number(t("versions.seed"), value=1, min=0, precision=0).props("outlined " + mark("version-seed"))

        async def create() -> None:
            request = collector.CreateVersionRequest(
                project_id=project.id, seed=int(seed.value or 0), validation_share=(share.value or 20) / 100
            )
            answer = await ask(page.upstream.datasets.CreateVersion(request))
            page.context.live.versions(project.id).refresh()
            ui.notify(t("versions.made", number=answer.version.number), position="top")
            dialog.close()

        with ui.element("div").classes("foot"):
            button(t("common.cancel"), "ghost", dialog.close)
            button(t("common.create"), "primary", page.action(create), test="version-create")
    return dialog
