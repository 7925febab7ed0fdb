"""Uploads: chosen in a dialog or dropped anywhere on the page; static/boardloop.js sends the files to the API."""

from __future__ import annotations

from html import escape

from nicegui import ui
from nicegui.events import GenericEventArguments

from services.gateway.pages.layout import Page, button, html, mark
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector

__all__ = ["Uploads"]


class Uploads:
    """The zone is always there, so that files can be dropped; the dialog opens with the first step of an upload."""

    def __init__(self, page: Page, project: collector.Project) -> None:
        self._page = page
        t = page.t
        self._zone = ui.element("div").classes("hidden")
        self._zone.props(f'data-upload-zone data-project="{project.id}" data-label=""')
        self._zone.on("upload-step", self._step, args=["detail"])
        with self._zone:
            files = ui.element("input").props('type="file" multiple accept="image/jpeg" data-upload')
            files.props(mark("upload-files"))
        with ui.dialog() as self._dialog, ui.card().classes("dialog"):
            html(t("datasets.upload"), tag="h2")
            html(t("datasets.upload_hint"), "muted")
            choices = {"": t("datasets.unlabelled")} | {label: label for label in project.labels}
            label = ui.select(
                choices, value="", label=t("datasets.upload_as"), on_change=lambda e: self._label(e.value)
            )
            label.props("outlined " + mark("upload-label"))
            self._bar = html("", "full")
            self._state = html("", "muted num").props(mark("upload-state"))
            self._problem = html("", "error-box hidden").props(mark("upload-error"))
            with ui.element("div").classes("foot"):
                button(t("common.close"), "ghost", self._dialog.close, test="upload-close")
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
        self._problem.set_content(escape(detail["error"]))
        self._problem.classes(remove="hidden") if detail["error"] else self._problem.classes("hidden")
