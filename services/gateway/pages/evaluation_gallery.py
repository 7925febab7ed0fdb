"""The pictures of an evaluation, right and wrong, filtered by kind and by a cell of the confusion matrix."""

from __future__ import annotations

from html import escape

from nicegui import ui

from services.gateway.pages.evaluation_view import heading, picture, subset_words
from services.gateway.pages.layout import Page, button, html, mark
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["Gallery"]

STEP = 48
KINDS = {"classification": ("", "right", "wrong"), "detection": ("", "right", "wrong", "missed", "confused", "false")}


class Gallery:
    """Asks for the outcomes that match its filter; `cell` sets it from the matrix, `subset` from "Where it fails"."""

    def __init__(self, page: Page, evaluation: trainer.EvaluationJob) -> None:
        self._page = page
        self._evaluation = evaluation
        self._kind = "wrong" if evaluation.figures.right_images < evaluation.figures.images else ""
        self._cell: tuple[str, str] | None = None
        self._subset: trainer.Subset | None = None
        self._wanted = STEP
        t = page.t
        detection = evaluation.figures.task == "detection"
        with ui.element("section").classes("card stack").props(mark("gallery") + ' id="gallery"'):
            html(heading(t("evaluation.gallery"), t("evaluation.legend") if detection else ""))
            self._chips = ui.element("div").classes("line wrap chips")
            self._count = html("", "faint num").props(mark("gallery-count"))
            self._grid = ui.element("div").classes("gallery full")
            self._more = button(t("datasets.more"), "plain", page.action(self._show_more), test="gallery-more")

    async def show(self) -> None:
        """Draws what matches now."""
        request = trainer.ListOutcomesRequest(
            evaluation_id=self._evaluation.id,
            kind=self._kind,
            truth=self._cell[0] if self._cell else None,
            predicted=self._cell[1] if self._cell else None,
            subset_kind=self._subset.kind if self._subset else "",
            subset_name=self._subset.name if self._subset else "",
            page_size=self._wanted,
        )
        answer = await ask(self._page.upstream.evaluations.ListOutcomes(request))
        self._count.set_content(escape(self._page.t("evaluation.count", count=answer.total)))
        self._more.classes(remove="hidden") if answer.next_page_token else self._more.classes("hidden")
        self._draw_chips()
        self._grid.clear()
        with self._grid:
            for outcome in answer.outcomes:
                self._tile(outcome)

    async def cell(self, truth: str, predicted: str) -> None:
        """Only the pictures of one cell of the matrix."""
        self._kind, self._cell, self._subset, self._wanted = "", (truth, predicted), None, STEP
        await self.show()

    async def subset(self, subset: trainer.Subset) -> None:
        """Only the pictures of one row of "Where it fails"."""
        self._kind, self._cell, self._subset, self._wanted = "", None, subset, STEP
        await self.show()

    def _tile(self, outcome: trainer.Outcome) -> None:
        right = "true" if outcome.right else "false"
        tile = ui.element("button").classes("tile")
        with tile.props(mark("outcome") + f' type="button" data-id="{outcome.capture_id}" data-right="{right}"'):
            html(picture(outcome, self._page.t))
        tile.on("click", lambda: self._look_at(outcome))

    def _look_at(self, outcome: trainer.Outcome) -> None:
        t = self._page.t
        facts = {
            t("datasets.board"): outcome.board_id or t("evaluation.uploaded"),
            t("evaluation.kind.brightness"): f"{outcome.brightness:.2f}",
            t("evaluation.kind.seen"): t("evaluation.name.yes" if outcome.seen else "evaluation.name.no"),
        }
        rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items())
        with ui.dialog() as dialog, ui.card().classes("dialog wide").props(mark("outcome-large")):
            html(picture(outcome, t, large=True), "full")
            html(f'<dl class="facts" style="margin:0">{rows}</dl>')
            with ui.element("div").classes("foot"):
                button(t("common.close"), "plain", dialog.close)
        dialog.open()

    def _draw_chips(self) -> None:
        t = self._page.t
        self._chips.clear()
        with self._chips:
            for kind in KINDS.get(self._evaluation.figures.task, ("",)):
                self._chip(t(f"evaluation.show.{kind}"), kind)
            if self._cell is not None:
                truth, predicted = (name or t("evaluation.nothing") for name in self._cell)
                html(escape(t("evaluation.cell", truth=truth, predicted=predicted)), "muted").props(mark("cell"))
            if self._subset is not None:
                html(" ".join(escape(word) for word in subset_words(self._subset, t)), "muted").props(mark("subset"))
            if self._cell is not None or self._subset is not None:
                button(t("evaluation.clear"), "ghost small", self._page.action(self._clear), test="cell-clear")

    def _chip(self, text: str, kind: str) -> None:
        chip = ui.element("button").classes("chip on" if kind == self._kind else "chip")
        with chip.props(mark(f"show-{kind or 'all'}") + ' type="button"'):
            html(escape(text), tag="span")

        async def choose() -> None:
            self._kind, self._wanted = kind, STEP
            await self.show()

        chip.on("click", self._page.action(choose))

    async def _clear(self) -> None:
        self._cell = self._subset = None
        await self.show()

    async def _show_more(self) -> None:
        self._wanted = min(self._wanted + STEP, 500)
        await self.show()
