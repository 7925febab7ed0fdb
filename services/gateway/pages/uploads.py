"""Uploads: chosen in a dialog or dropped anywhere on the page; static/boardloop.js sends the files to the API."""

from __future__ import annotations

from html import escape
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from services.gateway.pages.layout import Page, button, html, mark
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector

__all__ = ["Uploads"]

LINES = 300  # of a report on the page; the API gives them all
FIGURES = ("form", "imported", "boxes", "duplicates", "refused")


class Uploads:
    """The zone is always there, so that files can be dropped; the dialog opens with the first step of an upload."""

    def __init__(self, page: Page, project: collector.Project) -> None:
        self._page = page
        t = page.t
        self._zone = ui.element("div").classes("hidden")
        self._zone.props(f'data-upload-zone data-project="{project.id}" data-label=""')
        self._zone.on("upload-step", self._step, args=["detail"])
        self._zone.on("archive-step", self._archive, args=["detail"])
        with self._zone:
            files = ui.element("input").props('type="file" multiple accept="image/jpeg" data-upload')
            files.props(mark("upload-files"))
            zips = ui.element("input").props('type="file" accept=".zip,application/zip" data-upload')
            zips.props(mark("upload-archive"))
        with ui.dialog() as self._dialog, ui.card().classes("dialog"):
            html(t("datasets.upload"), tag="h2")
            html(t("datasets.upload_hint"), "muted")
            html(t("archives.hint"), "muted")
            choices = {"": t("datasets.unlabelled")} | {label: label for label in project.labels}
            label = ui.select(
                choices, value="", label=t("datasets.upload_as"), on_change=lambda e: self._label(e.value)
            )
            label.props("outlined " + mark("upload-label"))
            self._bar = html("", "full")
            self._state = html("", "muted num").props(mark("upload-state"))
            self._lines = html("", "lines hidden").props(mark("upload-lines"))
            self._problem = html("", "error-box hidden").props(mark("upload-error"))
            with ui.element("div").classes("foot"):
                button(t("common.close"), "ghost", self._dialog.close, test="upload-close")
                pack = button(t("archives.choose"), "plain", lambda: None, icon="folder_zip")
                pack.on("click", js_handler=f'() => document.getElementById("{zips.html_id}").click()')
                choose = button(t("datasets.choose_files"), "primary", lambda: None, icon="add_photo_alternate")
                choose.on("click", js_handler=f'() => document.getElementById("{files.html_id}").click()')

    def open(self) -> None:
        """Shows the dialog."""
        self._dialog.open()

    def _label(self, label: str) -> None:
        self._zone.props["data-label"] = label
        self._zone.update()

    def _step(self, event: GenericEventArguments) -> None:
        detail = event.args["detail"]
        self._dialog.open()
        key = "datasets.uploaded" if detail["done"] == detail["total"] else "datasets.uploading"
        fields = {name: detail[name] for name in ("done", "total", "stored", "known")}
        self._state.set_content(escape(self._page.t(key, **fields)))
        share = detail["done"] / max(1, detail["total"])
        self._bar.set_content(f'<div class="bar"><div style="width:{share:.0%}"></div></div>')
        self._lines.classes("hidden")
        self._complain(detail["error"])

    def _archive(self, event: GenericEventArguments) -> None:
        """detail: file, error, and `report` (rest/archives.py ImportReport) once it is there."""
        detail = event.args["detail"]
        self._dialog.open()
        report = detail.get("report")
        self._bar.set_content("")
        if report is None:
            self._state.set_content(
                "" if detail["error"] else escape(self._page.t("archives.importing", file=detail["file"]))
            )
            self._lines.classes("hidden")
            return self._complain(detail["error"])
        self._state.set_content(escape(self._page.t("archives.done", **{name: report[name] for name in FIGURES})))
        self._lines.set_content("".join(map(_line, report["lines"][:LINES])) + self._rest(report))
        self._lines.classes(remove="hidden") if report["lines"] else self._lines.classes("hidden")
        self._complain(report["stopped"])

    def _rest(self, report: dict[str, Any]) -> str:
        count = len(report["lines"][LINES:]) + report["more_lines"]
        return f"<div>{escape(self._page.t('archives.more', count=count))}</div>" if count else ""

    def _complain(self, error: str) -> None:
        self._problem.set_content(escape(error))
        self._problem.classes(remove="hidden") if error else self._problem.classes("hidden")


def _line(line: dict[str, str]) -> str:
    where = f"<strong>{escape(line['file'])}</strong> " if line["file"] else ""
    return f"<div>{where}{escape(line['text'])}</div>"
