"""Boards: how each one is, what it runs and sees, and how new ones come in."""

from __future__ import annotations

from html import escape

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from services.gateway.pages.layout import Page, button, empty, find_project, html, mark, open_page
from services.gateway.pages.pairing_dialog import PairingDialog
from services.gateway.pages.words import (
    ago,
    board_state,
    date,
    kilobytes,
    label_colour,
    percent,
    release_state,
    tag,
    update_state,
)
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as deployer

__all__: list[str] = []

CLOCK_SECONDS = 10.0  # "last seen 20 s ago" must move although the board says nothing new
RESULTS_SHOWN = 12


@ui.page("/projects/{project_id}/boards")
async def boards_page(request: Request, project_id: str) -> RedirectResponse | None:
    page = await open_page(request)
    if not isinstance(page, Page):
        return page
    project = await find_project(page, project_id)
    if project is None:
        return None
    t = page.t
    with page.frame(t("boards.title"), here="boards", project=project):
        subtitle, actions = page.head(t("boards.title"), t("common.loading"))
        boards = Boards(page, project, subtitle)
        with actions:
            button(t("boards.pair"), "primary", boards.pair, icon="qr_code_2", test="pair")
        with ui.element("div").classes("two full"):
            with ui.element("section").classes("card stack"):
                html(t("results.title"), "section-title", tag="h2")
                boards.results = html("", "full").props(mark("results"))
            with ui.element("section").classes("card stack"):
                html(t("releases.title"), "section-title", tag="h2")
                boards.releases = html("", "full").props(mark("releases"))
    boards.listen()
    return None


class Boards:
    """What the page knows, and how it draws it."""

    results: ui.html
    releases: ui.html

    def __init__(self, page: Page, project: collector.Project, subtitle: ui.html) -> None:
        self._page = page
        self._project = project
        self._subtitle = subtitle
        self._boards: list[deployer.Board] = []
        self._releases: list[deployer.Release] = []
        self._results: list[deployer.Result] = []
        self._place = ui.element("div").classes("full").props(mark("boards"))

    def listen(self) -> None:
        """From now on everything moves."""
        live = self._page.context.live
        self._page.listen(live.boards(self._project.id), self._show_boards)
        self._page.listen(live.releases(self._project.id), self._show_releases)
        self._page.listen(live.results(self._project.id), self._show_results)
        ui.timer(CLOCK_SECONDS, self._draw_boards, immediate=False)

    def pair(self) -> None:
        """Opens the pairing dialog for a new board."""
        PairingDialog(self._page, self._project)

    async def _show_boards(self, answer: deployer.ListBoardsResponse) -> None:
        self._boards = list(answer.boards)
        self._draw_boards()
        self._draw_releases()
        self._draw_results()

    async def _show_releases(self, answer: deployer.ListReleasesResponse) -> None:
        self._releases = list(answer.releases)
        self._draw_boards()
        self._draw_releases()

    async def _show_results(self, answer: deployer.ListResultsResponse) -> None:
        self._results = list(answer.results)
        self._draw_results()

    def _draw_results(self) -> None:
        rows = "".join(self._result(result) for result in self._results[:RESULTS_SHOWN])
        self.results.set_content(rows or f'<span class="muted">{escape(self._page.t("results.empty"))}</span>')

    def _draw_boards(self) -> None:
        t = self._page.t
        online = sum(board.state == deployer.BOARD_STATE_ONLINE for board in self._boards)
        self._subtitle.set_content(escape(t("boards.subtitle", online=online, total=len(self._boards))))
        self._place.clear()
        with self._place:
            if not self._boards:
                with empty("memory", t("boards.empty.title"), t("boards.empty.text")):
                    button(t("boards.pair"), "primary", self.pair, icon="qr_code_2")
                return
            with ui.element("div").classes("tiles"):
                for board in self._boards:
                    self._card(board)

    def _card(self, board: deployer.Board) -> None:
        t = self._page.t
        word, tone = board_state(board)
        update, update_tone = update_state(board.update_state)
        card = ui.element("article").classes("card stack")
        with card.props(mark("board") + f' data-id="{board.id}" data-state="{word}" data-update="{update}"'):
            html(
                f'<div><strong>{escape(board.name)}</strong><br><span class="faint mono">{escape(board.id)} · '
                f"{escape(board.board_type)}</span></div>{tag(t('board.' + word), tone)}",
                "board-top",
            )
            outbox = str(board.outbox) + (f" ({t('boards.rejected', count=board.rejected)})" if board.rejected else "")
            reason = f' <span class="faint mono">{escape(board.update_reason)}</span>' if board.update_reason else ""
            state = tag(t("update." + update), update_tone) if update != "NONE" else t("update.NONE")
            facts = (
                (t("boards.last_seen"), ago(board.last_seen_at, t)),
                (t("boards.model"), escape(self._release_name(board.release_id))),
                (t("boards.update"), state + reason),
                (t("boards.outbox"), outbox),
            )
            html("".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts), "facts num", tag="dl").style(
                "margin:0"
            )
            if update in ("DOWNLOADING", "VERIFYING", "TRYING"):
                html(f'<div class="bar"><div style="width:{board.update_progress:.0%}"></div></div>')
            with ui.element("div").classes("line board-foot"):
                button(t("boards.pair_again"), "plain small", lambda: PairingDialog(self._page, self._project, board))
                if word != "REVOKED":
                    button(t("boards.revoke"), "danger small", lambda: self._ask_revoke(board), test="revoke")

    def _ask_revoke(self, board: deployer.Board) -> None:
        t = self._page.t
        with ui.dialog() as dialog, ui.card().classes("dialog"):
            html(escape(t("boards.revoke_title", name=board.name)), tag="h2")
            html(t("boards.revoke_text"), "muted")

            async def revoke() -> None:
                dialog.close()
                await ask(self._page.upstream.boards.RevokeBoard(deployer.RevokeBoardRequest(board_id=board.id)))
                self._page.context.live.boards(self._project.id).refresh()

            with ui.element("div").classes("foot"):
                button(t("common.cancel"), "ghost", dialog.close)
                button(t("boards.revoke"), "danger solid", self._page.action(revoke), test="revoke-confirm")
        dialog.open()

    def _draw_releases(self) -> None:
        rows = "".join(self._release(release) for release in self._releases)
        self.releases.set_content(rows or f'<span class="muted">{escape(self._page.t("releases.empty"))}</span>')

    def _release(self, release: deployer.Release) -> str:
        t = self._page.t
        word, tone = release_state(release)
        waits = ""
        if word == "AWAITING_SIGNATURE":
            waits = f'<p class="faint">{escape(t("releases.await", id=release.id))}</p>'
        return (
            f'<div class="version stack tight" data-testid="release" data-id="{release.id}" data-state="{word}">'
            f'<div class="line between"><strong>{escape(release.name)}</strong>{tag(t("releases." + word), tone)}</div>'
            f'<span class="faint num">#{release.counter} · {escape(release.target)} · '
            f"{kilobytes(release.payload_bytes)} · {date(release.created_at)}</span>{waits}"
            f'<div class="labels">{"".join(self._board_update(update) for update in release.boards)}</div></div>'
        )

    def _board_update(self, update: deployer.BoardUpdate) -> str:
        word, tone = update_state(update.state)
        name = next((board.name for board in self._boards if board.id == update.board_id), update.board_id)
        reason = f" ({update.reason})" if update.reason else ""
        return tag(f"{name}: {self._page.t('update.' + word)}{reason}", tone)

    def _result(self, result: deployer.Result) -> str:
        labels = list(self._project.labels)
        label = labels[result.top] if result.top < len(labels) else f"#{result.top}"
        board = next((one.name for one in self._boards if one.id == result.board_id), result.board_id)
        when = escape(ago(result.received_at, self._page.t))
        return (
            f'<div class="result" data-testid="result"><span class="line"><i class="dot" '
            f'style="--c:{label_colour(label, labels)}"></i><strong>{escape(label)}</strong>'
            f'<span class="faint">{escape(board)}</span></span><span class="num">{percent(result.score)}</span>'
            f'<span class="faint num">{result.milliseconds} ms · {when}</span></div>'
        )

    def _release_name(self, release_id: str) -> str:
        if not release_id:
            return self._page.t("boards.no_model")
        return next((one.name for one in self._releases if one.id == release_id), release_id[:8])
