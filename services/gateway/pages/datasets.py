"""Data sets: the grid of pictures, their labels, uploads and versions."""

from __future__ import annotations

from html import escape

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from services.gateway.pages.boxes import editor_address
from services.gateway.pages.capture_grid import CaptureGrid
from services.gateway.pages.layout import Page, button, find_project, html, mark, open_page
from services.gateway.pages.uploads import Uploads
from services.gateway.pages.version_list import version_panel
from services.gateway.pages.words import UNLABELLED, label_colour
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector

__all__: list[str] = []


@ui.page("/projects/{project_id}/datasets")
async def datasets_page(request: Request, project_id: str) -> RedirectResponse | None:
    page = await open_page(request)
    if not isinstance(page, Page):
        return page
    project = await find_project(page, project_id)
    if project is None:
        return None
    t = page.t
    with page.frame(t("datasets.title"), here="datasets", project=project):
        subtitle, actions = page.head(t("datasets.title"), t("common.loading"))
        with actions:
            button(t("boxes.open"), "plain", lambda: draw_boxes(), icon="crop_free", test="draw-boxes")
            button(t("datasets.upload"), "plain", Uploads(page, project).open, icon="upload", test="upload")
        with ui.element("div").classes("with-aside full"):
            with ui.element("section").classes("stack"):
                filters = Filters(page, project)
                grid = CaptureGrid(page, project, filters.chosen)
                filters.on_change(grid.reload)
            version_panel(page, project)
        html(t("datasets.upload_hint"), "drop")

    def draw_boxes() -> None:
        ui.navigate.to(editor_address(filters.chosen))

    async def show(counts: collector.CountCapturesResponse) -> None:
        subtitle.set_content(escape(t("datasets.subtitle", total=counts.total)))
        filters.show(counts)
        await grid.reload()

    page.listen(page.context.live.counts(project_id), show)
    return None


class Filters:
    """Chips with a count per label, a choice of board, and of boxes drawn or not."""

    def __init__(self, page: Page, project: collector.Project) -> None:
        self._page = page
        self._labels = list(project.labels)
        self.chosen = collector.CaptureFilter(project_id=project.id)
        self._counts = collector.CountCapturesResponse()
        self._changed = page.action(self._nothing)
        with ui.element("div").classes("line wrap full"):
            self._chips = ui.element("div").classes("line wrap chips grow")
            self._boards = ui.select({"": page.t("datasets.all_boards")}, value="", on_change=self._choose_board)
            self._boards.props("outlined dense options-dense " + mark("filter-board")).classes("hidden")
            self._boxed = ui.select(self._drawn(), value="", on_change=self._choose_boxed)
            self._boxed.props("outlined dense options-dense " + mark("filter-boxed"))

    def on_change(self, reload: object) -> None:
        """What to call after the filter has changed."""
        self._changed = self._page.action(reload)  # type: ignore[arg-type]

    def show(self, counts: collector.CountCapturesResponse) -> None:
        """Draws the chips with these counts."""
        self._counts = counts
        known = {item.label: item.count for item in counts.labels}
        t = self._page.t
        self._chips.clear()
        with self._chips:
            self._chip(t("common.all"), None, counts.total, "")
            for label in [*self._labels, *(one for one in known if one and one not in self._labels)]:
                self._chip(label, label, known.get(label, 0), label_colour(label, self._labels))
            if known.get(""):
                self._chip(t("datasets.unlabelled"), "", known[""], UNLABELLED)
        names = {item.board_id: f"{item.board_id or t('datasets.uploads')} · {item.count}" for item in counts.boards}
        self._boards.classes(remove="hidden") if len(names) > 1 else self._boards.classes("hidden")
        options = {"": t("datasets.all_boards")} | {board: name for board, name in names.items() if board}
        if self._boards.options != options:
            self._boards.set_options(options)
        if self._boxed.options != self._drawn():
            self._boxed.set_options(self._drawn())

    def _chip(self, text: str, label: str | None, count: int, colour: str) -> None:
        here = self.chosen.label if self.chosen.HasField("label") else None
        chip = ui.element("button").classes("chip on" if label == here else "chip")
        chip.props["type"] = "button"
        chip.props["data-testid"] = f"filter-{'all' if label is None else label or 'unlabelled'}"  # people's words
        with chip:
            dot = f'<i class="dot" style="--c:{colour}"></i>' if colour else ""
            html(f"{dot}{escape(text)} <b>{count}</b>", tag="span").classes("line")

        async def choose() -> None:
            self.chosen.ClearField("label")
            if label is not None:
                self.chosen.label = label
            self.show(self._counts)
            await self._changed()

        chip.on("click", choose)

    async def _choose_board(self) -> None:
        self.chosen.board_id = self._boards.value or ""
        await self._changed()

    def _drawn(self) -> dict[str, str]:
        t, drawn = self._page.t, self._counts.boxed
        without = t("boxes.without", count=self._counts.total - drawn)
        return {"": t("boxes.any"), "true": t("boxes.with", count=drawn), "false": without}

    async def _choose_boxed(self) -> None:
        self.chosen.ClearField("boxed")
        if self._boxed.value:
            self.chosen.boxed = self._boxed.value == "true"
        await self._changed()

    async def _nothing(self) -> None:
        return
