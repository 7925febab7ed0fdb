"""Pairing by two QR codes: the WiFi first, then the board's own code, with a countdown until it is seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape

from nicegui import ui

from services.gateway.pages.layout import Page, button, copy_button, html, mark
from services.gateway.pages.words import clock
from services.gateway.qr import data_url
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as deployer

__all__ = ["PairingDialog"]

TYPES = {"k210": "K210 (Maix)", "v831": "V831 (MaixII)"}


class PairingDialog:
    """Opens at once; `board`: pair this one again instead of a new one."""

    def __init__(self, page: Page, project: collector.Project, board: deployer.Board | None = None) -> None:
        self._page = page
        self._project = project
        self._board = board
        with ui.dialog().props("persistent") as self._dialog, ui.card().classes("dialog").props(mark("pairing")):
            html(page.t("pair.title"), tag="h2")
            self._steps = html("", "steps")
            self._body = ui.element("div").classes("stack full")
        self._wifi_step()
        self._dialog.open()

    def _step(self, number: int) -> ui.element:
        names = (self._page.t("pair.step_wifi"), self._page.t("pair.step_code"))
        marks = (f'<span class="{"on" if place <= number else ""}">{name}</span>' for place, name in enumerate(names))
        self._steps.set_content("".join(marks))
        self._body.clear()
        return self._body

    def _wifi_step(self) -> None:
        t = self._page.t
        with self._step(0):
            html(t("pair.wifi_text"), "muted")
            ssid = ui.input(t("pair.ssid")).props("outlined autocomplete=off " + mark("wifi-ssid"))
            password = ui.input(t("pair.wifi_password"), password=True, password_toggle_button=True)
            password.props("outlined autocomplete=off " + mark("wifi-password"))
            picture = ui.element("div").classes("stack full")

            async def show_code() -> None:
                request = deployer.CreateWifiCodeRequest(ssid=ssid.value or "", password=password.value or "")
                answer = await ask(self._page.upstream.boards.CreateWifiCode(request))
                picture.clear()
                with picture:
                    html(_qr(answer.qr_png, "wifi-qr"), "line").style("justify-content:center")

            self._foot(
                (t("pair.show_wifi"), "plain", self._page.action(show_code), "wifi-show"),
                (t("pair.next"), "primary", self._code_step, "pair-next"),
            )

    def _code_step(self) -> None:
        t = self._page.t
        if self._board is not None:
            ui.timer(0.01, self._page.action(lambda: self._create(self._board.name, self._board.board_type)), once=True)  # type: ignore[union-attr]
            self._step(1)
            return
        with self._step(1):
            name = ui.input(t("pair.board_name")).props("outlined autofocus maxlength=64 " + mark("board-name"))
            kind = ui.select(TYPES, value="k210", label=t("pair.board_type")).props("outlined " + mark("board-type"))

            async def create() -> None:
                await self._create((name.value or "").strip(), str(kind.value))

            self._foot((t("pair.show_code"), "primary", self._page.action(create), "pair-create"))

    async def _create(self, name: str, kind: str) -> None:
        request = deployer.CreatePairingRequest(
            project_id=self._project.id, name=name, board_type=kind, board_id=self._board.id if self._board else ""
        )
        answer = await ask(self._page.upstream.boards.CreatePairing(request))
        self._page.context.live.boards(self._project.id).refresh()
        self._show_code(answer)

    def _show_code(self, pairing: deployer.CreatePairingResponse) -> None:
        t = self._page.t
        with self._step(1):
            html(t("pair.code_text"), "muted")
            html(_qr(pairing.qr_png, "pair-qr"), "line").style("justify-content:center")
            with ui.element("div").classes("line full"):
                html(escape(pairing.code), "code grow").props(mark("pair-code"))
                copy_button(t, pairing.code)
            left = html("", "num muted").props(mark("pair-countdown"))
            self._foot()
        end = pairing.expires_at.seconds

        def tick() -> None:
            seconds = end - time.time()
            left.set_content(escape(t("pair.expires", time=clock(seconds)) if seconds > 0 else t("pair.expired")))

        with self._body:
            ui.timer(1.0, tick)
        self._wait_for(pairing.board)

    def _wait_for(self, waiting: deployer.Board) -> None:
        seen_pairing = waiting.state == deployer.BOARD_STATE_PAIRING

        async def look(answer: deployer.ListBoardsResponse) -> None:
            nonlocal seen_pairing
            board = next((one for one in answer.boards if one.id == waiting.id), None)
            if board is None:
                return
            if board.state == deployer.BOARD_STATE_PAIRING:
                seen_pairing = True
            elif board.state == deployer.BOARD_STATE_ONLINE and seen_pairing:
                subscription.end()
                self._done(board)

        subscription = self._page.listen(self._page.context.live.boards(self._project.id), look)

    def _done(self, board: deployer.Board) -> None:
        t = self._page.t
        with self._step(1):
            text = escape(t("pair.done", name=board.name))
            html(f'<span class="material-icons-outlined">check_circle</span>{text}', "done-mark").props(
                mark("pair-done")
            )
            with ui.element("div").classes("foot"):
                button(t("pair.finish"), "primary", self._dialog.close, test="pair-finish")

    def _foot(self, *buttons: tuple[str, str, Callable[[], object], str]) -> None:
        with ui.element("div").classes("foot"):
            button(self._page.t("common.close"), "ghost", self._dialog.close, test="pair-close")
            for text, kind, work, test in buttons:
                button(text, kind, work, test=test)


def _qr(png: bytes, test: str) -> str:
    return f'<img class="qr" alt="QR" src="{data_url(png)}" {mark(test)}>'
