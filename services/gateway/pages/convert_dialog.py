"""The dialog that converts a model for another chip: it waits for the trainer, and says in words what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from nicegui import ui

from services.common.errors import BoardloopError
from services.common.i18n import CATALOGUE
from services.gateway.pages.layout import Page, button, html, mark
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["convert_dialog"]

CONVERT_SECONDS = 900.0
DEFAULT_DROP = 3.0  # percent


def convert_dialog(
    page: Page, model: trainer.Model, done: Callable[[trainer.ConvertedFile], None]
) -> Callable[[], object]:
    """Returns what opens the dialog: it asks for the targets at that moment; `done` gets the converted file."""

    async def show() -> None:
        answer = await ask(page.upstream.models.ListTargets(trainer.ListTargetsRequest()))
        _Conversion(page, model, list(answer.targets), done).dialog.open()

    return page.action(show)


class _Conversion:
    """One opened dialog."""

    def __init__(
        self,
        page: Page,
        model: trainer.Model,
        targets: list[trainer.Target],
        done: Callable[[trainer.ConvertedFile], None],
    ) -> None:
        self._page = page
        self._model = model
        self._targets = {target.id: target for target in targets}
        self._done = done
        t = page.t
        have = {file.target for file in model.files}
        first = next((target.id for target in targets if target.id not in have), targets[0].id)
        with ui.dialog().props("persistent") as self.dialog, ui.card().classes("dialog"):
            html(escape(t("convert.title")), tag="h2")
            html(escape(t("convert.text")), "muted")
            names = {one.id: one.title + (f" · {t('convert.have')}" if one.id in have else "") for one in targets}
            self._target = ui.select(names, value=first, label=t("convert.target"), on_change=self._describe)
            self._target.props("outlined " + mark("convert-target"))
            self._about = html("", "faint").props(mark("convert-about"))
            self._drop = ui.number(t("convert.max_drop"), value=DEFAULT_DROP, min=0, max=100, step=0.5)
            self._drop.props["hint"] = t("convert.max_drop_help")
            self._drop.props("outlined " + mark("convert-drop"))
            self._oversize = ui.checkbox(t("convert.oversize")).props(mark("convert-oversize"))
            self._working = ui.element("div").classes("stack tight hidden")
            with self._working.props(mark("convert-working") + ' role="status"'):
                html(escape(t("convert.working")))
                ui.linear_progress(show_value=False, color=None).props("indeterminate rounded").classes("working")
            self._error = html("", "error-box hidden").props(mark("convert-error") + ' role="alert"')
            with ui.element("div").classes("foot"):
                self._cancel = button(t("common.cancel"), "ghost", self.dialog.close)
                self._submit = button(t("convert.submit"), "primary", page.action(self._convert), test="convert-submit")
        self._describe()

    def _describe(self) -> None:
        t = self._page.t
        target = self._targets[str(self._target.value)]
        key = f"convert.board.{target.board_type}"
        boards = t(key) if key in CATALOGUE else target.board_type
        self._about.set_content(f"{escape(target.description)}<br>{escape(target.format)} · {escape(boards)}")

    async def _convert(self) -> None:
        self._busy(True)
        drop = DEFAULT_DROP if self._drop.value is None else self._drop.value
        request = trainer.ConvertModelRequest(
            model_id=self._model.id,
            target=str(self._target.value),
            max_accuracy_drop=float(drop) / 100,
            allow_oversize=bool(self._oversize.value),
        )
        try:
            answer = await ask(self._page.upstream.models.ConvertModel(request, timeout=CONVERT_SECONDS))
        except BoardloopError as error:
            self._error.set_content(escape(str(error)))
            self._error.classes(remove="hidden")
            return
        finally:
            self._busy(False)
        self.dialog.close()
        ui.notify(self._page.t("convert.done", file=answer.file.file_name), position="top", type="positive")
        self._done(answer.file)

    def _busy(self, busy: bool) -> None:
        if busy:
            self._error.classes("hidden")
        self._working.classes(remove="hidden") if busy else self._working.classes("hidden")
        for one in (self._submit, self._target, self._drop, self._oversize, self._cancel):
            one.set_enabled(not busy)
