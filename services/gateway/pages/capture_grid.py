"""The grid of pictures: newest first, updated in place, with selection, relabelling and deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from html import escape

from nicegui import ui

from services.gateway.pages.boxes import editor_address
from services.gateway.pages.layout import Page, button, empty, html, mark
from services.gateway.pages.words import date, kilobytes, label_colour
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector

__all__ = ["CaptureGrid"]

STEP = 72  # pictures per "show more"
PAGE_LIMIT = 500  # of ListCaptures
THUMBNAIL = 224  # pixels: sharp on dense screens in a tile of 132


class Tile:
    """One picture in the grid."""

    def __init__(self, grid: CaptureGrid, capture: collector.Capture) -> None:
        self.capture = capture
        self._grid = grid
        self.box = (
            ui.element("div")
            .classes("shot")
            .props(f'{mark("capture")} data-id="{capture.id}" role="checkbox" tabindex="0" aria-checked="false"')
        )
        with self.box:
            source = f"/api/v1/captures/{capture.id}/thumbnail?size={THUMBNAIL}"
            html(f'<img loading="lazy" decoding="async" alt="" src="{source}">', "full").style("height:100%")
            self._boxes = html("", "full", tag="span")
            html("", "tick", tag="span")
            zoom = html("zoom_in", "zoom material-icons-outlined", tag="span").props(mark("zoom"))
            self._label = html("", "cap", tag="span")
        self.box.on("click", self._toggle)
        self.box.on("keydown.space.prevent", self._toggle)
        self.box.on("keydown.enter", lambda: grid.look_at(self.capture))
        zoom.on("click.stop", lambda: grid.look_at(self.capture))
        self.show(capture)

    def show(self, capture: collector.Capture) -> None:
        """Draws the label and the boxes that the capture has now."""
        self.capture = capture
        self._boxes.set_content(boxes_over(capture, self._grid.colour))
        name = capture.label or self._without_label(capture)
        self._label.set_content(f'<i class="dot" style="--c:{self._grid.colour(capture.label)}"></i>{escape(name)}')

    def _without_label(self, capture: collector.Capture) -> str:
        t = self._grid.page.t
        if not capture.boxed:
            return t("datasets.unlabelled")
        return t("boxes.boxes", count=len(capture.boxes)) if capture.boxes else t("boxes.background")

    def select(self, on: bool) -> None:
        """Marks the tile."""
        self.box.classes("on") if on else self.box.classes(remove="on")
        self.box.props(f'aria-checked="{"true" if on else "false"}"')

    def _toggle(self) -> None:
        self._grid.toggle(self)


def boxes_over(capture: collector.Capture, colour: Callable[[str], str], fit: str = "slice") -> str:
    """SVG of the boxes. fit: "slice", cut to the square as the picture in a tile is; "meet", the whole picture."""
    if not capture.boxes:
        return ""
    wide, high = capture.width, capture.height
    shapes = "".join(
        f'<rect x="{box.x * wide:.2f}" y="{box.y * high:.2f}" width="{box.width * wide:.2f}" '
        f'height="{box.height * high:.2f}" stroke="{colour(box.label)}"/>'
        for box in capture.boxes
    )
    return f'<svg class="boxes" viewBox="0 0 {wide} {high}" preserveAspectRatio="xMidYMid {fit}">{shapes}</svg>'


class CaptureGrid:
    """Shows the first pictures that match a filter; `reload` brings it up to date without a flicker."""

    def __init__(self, page: Page, project: collector.Project, chosen: collector.CaptureFilter) -> None:
        self.page = page
        self._project = project
        self._chosen = chosen
        self._wanted = STEP
        self._tiles: dict[str, Tile] = {}
        self._selected: set[str] = set()
        self._one_at_a_time = asyncio.Lock()
        self._empty = ui.element("div").classes("full hidden")
        self._grid = ui.element("div").classes("grid full").props(mark("captures"))
        self._more = button(page.t("datasets.more"), "plain", page.action(self._show_more), test="more").classes(
            "hidden"
        )
        self._bar = self._selection_bar()

    def colour(self, label: str) -> str:
        """Colour of a label in this project."""
        return label_colour(label, list(self._project.labels))

    async def reload(self) -> None:
        """Asks for the pictures again and changes only what differs."""
        async with self._one_at_a_time:
            self._show(*await self._fetch())

    def _show(self, captures: list[collector.Capture], more: bool) -> None:
        now = {capture.id: capture for capture in captures}
        for gone in [key for key in self._tiles if key not in now]:
            self._tiles.pop(gone).box.delete()
            self._selected.discard(gone)
        for place, capture in enumerate(captures):
            self._put(place, capture)
        self._more.classes(remove="hidden") if more else self._more.classes("hidden")
        self._show_empty(not captures)
        self._show_selection()

    def toggle(self, tile: Tile) -> None:
        """Selects or unselects one picture."""
        self._selected ^= {tile.capture.id}
        tile.select(tile.capture.id in self._selected)
        self._show_selection()

    def look_at(self, capture: collector.Capture) -> None:
        """The picture as it was stored, with its facts."""
        t = self.page.t
        facts = {
            t("models.label"): capture.label or t("datasets.unlabelled"),
            t("datasets.board"): capture.board_id or t("datasets.uploads"),
            t("datasets.captured"): date(capture.captured_at if capture.captured_at.seconds else capture.stored_at),
            t("datasets.size"): f"{capture.width} × {capture.height}, {kilobytes(capture.size_bytes)}",
        }
        rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items())
        with ui.dialog() as dialog, ui.card().classes("dialog wide").props(mark("photo")):
            boxes = boxes_over(capture, self.colour, "meet")
            html(f'<img class="photo" alt="" src="/api/v1/captures/{capture.id}/image">{boxes}', "full shown")
            html(f'<dl class="facts" style="margin:0">{rows}</dl>')
            with ui.element("div").classes("foot"):
                button(t("common.close"), "ghost", dialog.close)
                to = editor_address(self._chosen, capture.id)
                button(t("boxes.open"), "primary", lambda: ui.navigate.to(to), icon="crop_free", test="photo-boxes")
        dialog.open()

    async def _fetch(self) -> tuple[list[collector.Capture], bool]:
        captures: list[collector.Capture] = []
        token = ""
        while len(captures) < self._wanted:
            size = min(PAGE_LIMIT, self._wanted - len(captures))
            request = collector.ListCapturesRequest(filter=self._chosen, page_size=size, page_token=token)
            answer = await ask(self.page.upstream.captures.ListCaptures(request))
            captures += answer.captures
            token = answer.next_page_token
            if not token:
                break
        return captures, bool(token)

    def _put(self, place: int, capture: collector.Capture) -> None:
        tile = self._tiles.get(capture.id)
        if tile is None:
            with self._grid:
                tile = self._tiles[capture.id] = Tile(self, capture)
            if place < len(self._tiles) - 1:
                tile.box.move(self._grid, place)
        elif tile.capture != capture:
            tile.show(capture)

    def _show_empty(self, nothing: bool) -> None:
        self._empty.clear()
        if not nothing:
            self._empty.classes("hidden")
            return
        t = self.page.t
        filtered = self._chosen.HasField("label") or self._chosen.HasField("boxed") or bool(self._chosen.board_id)
        key = "nothing" if filtered else "empty"
        self._empty.classes(remove="hidden")
        with self._empty:
            empty("photo_camera", t(f"datasets.{key}.title"), t(f"datasets.{key}.text"))

    async def _show_more(self) -> None:
        self._wanted += STEP
        await self.reload()

    # -- selection ---------------------------------------------------------------------------------------------

    def _selection_bar(self) -> ui.element:
        t = self.page.t
        with ui.element("div").classes("selection hidden").props(mark("selection")) as bar:
            self._count = html("", "num", tag="strong")
            labels = {label: label for label in self._project.labels} | {"": t("datasets.unlabelled")}
            choice = ui.select(labels, label=t("datasets.label_as"), on_change=lambda event: relabel(event.value))
            choice.props("outlined dense options-dense " + mark("relabel")).style("min-width:150px")
            button(t("common.delete"), "danger small", self._ask_delete, icon="delete_outline", test="delete")
            button(t("datasets.clear"), "ghost small", self._clear, test="clear-selection")

        async def relabel(label: str | None) -> None:
            if label is None:
                return
            choice.set_value(None)
            await self.page.action(lambda: self._relabel(label))()

        return bar

    def _show_selection(self) -> None:
        self._count.set_content(escape(self.page.t("datasets.selected", count=len(self._selected))))
        self._bar.classes(remove="hidden") if self._selected else self._bar.classes("hidden")

    def _clear(self) -> None:
        for key in self._selected:
            self._tiles[key].select(False)
        self._selected.clear()
        self._show_selection()

    async def _relabel(self, label: str) -> None:
        request = collector.SetLabelRequest(capture_ids=sorted(self._selected), label=label)
        answer = await ask(self.page.upstream.captures.SetLabel(request))
        self._clear()
        self.page.context.live.counts(self._project.id).refresh()
        ui.notify(self.page.t("datasets.relabelled", count=answer.changed), position="top")

    def _ask_delete(self) -> None:
        t = self.page.t
        with ui.dialog() as dialog, ui.card().classes("dialog"):
            html(escape(t("datasets.delete_title", count=len(self._selected))), tag="h2")
            html(t("datasets.delete_text"), "muted")

            async def delete() -> None:
                dialog.close()
                request = collector.DeleteCapturesRequest(capture_ids=sorted(self._selected))
                answer = await ask(self.page.upstream.captures.DeleteCaptures(request))
                self._clear()
                self.page.context.live.counts(self._project.id).refresh()
                ui.notify(t("datasets.deleted", count=answer.deleted), position="top")

            with ui.element("div").classes("foot"):
                button(t("common.cancel"), "ghost", dialog.close)
                button(t("common.delete"), "danger solid", self.page.action(delete), test="delete-confirm")
        dialog.open()
