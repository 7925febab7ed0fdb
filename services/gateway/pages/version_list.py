"""The panel of data set versions beside the pictures."""

from __future__ import annotations

from html import escape

from nicegui import ui

from services.gateway.pages.layout import Page, button, html, mark
from services.gateway.pages.words import date, tag
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
    if version.task == collector.TASK_DETECTION:
        boxes = sum(one.count for one in version.label_counts)
        counts += f" · {t('versions.boxes', boxes=boxes, background=version.background_count)}"
    link = f"/projects/{version.project_id}/training?version={version.id}"
    return (
        '<div class="version line between" data-testid="version"><div class="grow">'
        f"<strong>v{version.number}</strong> {_task(page, version)}"
        f'<span class="faint mono" title="SHA-256 {version.sha256}">{version.sha256[:10]}</span><br>'
        f'<span class="num">{escape(counts)}</span><br>'
        f'<span class="faint num">{date(version.created_at)}</span>{_downloads(page, version)}</div>'
        f'<a href="{link}" data-testid="version-train">{escape(t("versions.train"))}</a></div>'
    )


def _task(page: Page, version: collector.DatasetVersion) -> str:
    return f"{tag(page.t('versions.tag'), 'accent')} " if version.task == collector.TASK_DETECTION else ""


def _downloads(page: Page, version: collector.DatasetVersion) -> str:
    forms = ("yolo", "coco", "voc") if version.task == collector.TASK_DETECTION else ("folders",)
    words = {"yolo": "YOLO", "coco": "COCO", "voc": "VOC", "folders": "zip"}
    address = f"/api/v1/versions/{version.id}/archive"
    links = " ".join(
        f'<a href="{address}?form={form}" download data-testid="version-{form}">{words[form]}</a>' for form in forms
    )
    return f'<br><span class="faint">{escape(page.t("versions.download"))}: {links}</span>'


def _dialog(page: Page, project: collector.Project) -> ui.dialog:
    t = page.t
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        html(t("versions.new"), tag="h2")
        html(t("versions.hint"), "muted")
        tasks = {
            collector.TASK_CLASSIFICATION: t("versions.classification"),
            collector.TASK_DETECTION: t("versions.detection"),
        }
        task = ui.select(tasks, value=collector.TASK_CLASSIFICATION, label=t("versions.task"))
        task.props("outlined " + mark("version-task"))
        share = ui.number(t("versions.share"), value=20, min=1, max=90).props("outlined " + mark("version-share"))
        seed = ui.number(t("versions.seed"), value=1, min=0, precision=0).props("outlined " + mark("version-seed"))

        async def create() -> None:
            request = collector.CreateVersionRequest(
                project_id=project.id,
                seed=int(seed.value or 0),
                validation_share=(share.value or 20) / 100,
                task=task.value,
            )
            answer = await ask(page.upstream.datasets.CreateVersion(request))
            page.context.live.versions(project.id).refresh()
            ui.notify(t("versions.made", number=answer.version.number), position="top")
            dialog.close()

        with ui.element("div").classes("foot"):
            button(t("common.cancel"), "ghost", dialog.close)
            button(t("common.create"), "primary", page.action(create), test="version-create")
    return dialog
