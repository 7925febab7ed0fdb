"""The preview in the training form: own pictures, as they are and as the training would see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from html import escape

from nicegui import ui

from services.common.errors import BoardloopError
from services.gateway.pages.layout import Page, button, html, mark
from services.gateway.rest.previews import data_url
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["AugmentationPreview"]

_CALM_SECONDS = 0.3  # a slider that moves asks once it rests
_PICTURES, _VARIANTS = 3, 3


class AugmentationPreview:
    """A button, and below it a row for each picture; `refresh` draws them anew once they are open."""

    def __init__(self, page: Page, request: Callable[[], trainer.PreviewAugmentationRequest | None]) -> None:
        """`request` gives version and parameters of the form, None when no version is chosen."""
        self._page = page
        self._request = request
        self._seed = 0
        self._open = False
        self._wish = 0
        t = page.t
        with ui.element("div").classes("stack tight full"):
            button(t("training.preview"), "secondary", page.action(self._again), icon="visibility", test="preview")
            html(t("training.preview_help"), "faint")
            self._grid = ui.element("div").classes("full").props(mark("preview-grid"))

    async def refresh(self) -> None:
        """After a change of the form: the same draws with the new settings."""
        if not self._open:
            return
        self._wish += 1
        wish = self._wish
        await asyncio.sleep(_CALM_SECONDS)
        if wish == self._wish:
            await self._show()

    async def _again(self) -> None:
        """The button: other draws."""
        self._seed += _VARIANTS if self._open else 0
        self._open = True
        await self._show()

    async def _show(self) -> None:
        request = self._request()
        if request is None:
            return
        request.pictures, request.variants, request.seed = _PICTURES, _VARIANTS, self._seed
        try:
            answer = await ask(self._page.upstream.preview.PreviewAugmentation(request))
        except BoardloopError as error:
            self._draw(f'<p class="faint">{escape(str(error))}</p>')
            return
        self._draw("".join(_row(picture, self._page.t("training.preview_original")) for picture in answer.pictures))

    def _draw(self, content: str) -> None:
        self._grid.clear()
        with self._grid:
            ui.html(content, sanitize=False).classes("full")


def _row(picture: trainer.PreviewPicture, original: str) -> str:
    if picture.error:
        return f'<p class="faint" data-testid="preview-error">{escape(picture.error)}</p>'
    cells = [_cell(picture.original, "preview-original"), *(_cell(one, "preview-variant") for one in picture.variants)]
    words = escape(picture.label or original)
    style = f"display:grid;grid-template-columns:repeat({len(cells)},1fr);gap:6px;margin:6px 0 2px"
    return f'<div style="{style}">{"".join(cells)}</div><div class="faint">{words}</div>'


def _cell(variant: trainer.PreviewVariant, test: str) -> str:
    boxes = "".join(
        f'<i title="{escape(box.label)}" style="position:absolute;border:2px solid #fff;outline:1px solid #222;'
        f"left:{box.left:.2%};top:{box.top:.2%};width:{box.right - box.left:.2%};"
        f'height:{box.bottom - box.top:.2%}"></i>'
        for box in variant.boxes
    )
    image = f'<img src="{data_url(variant.jpeg)}" alt="" style="display:block;width:100%;border-radius:6px">'
    return f'<span data-testid="{test}" style="position:relative;display:block">{image}{boxes}</span>'
