"""A person's own page: password and API tokens."""

from __future__ import annotations

from html import escape

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from nicegui import ui

from services.gateway.accounts import NewToken, TokenInfo
from services.gateway.pages.layout import Page, button, copy_button, html, mark, open_page
from services.gateway.pages.login import password_form

__all__: list[str] = []


@ui.page("/account")
async def account_page(request: Request) -> RedirectResponse | None:
    page = await open_page(request)
    if not isinstance(page, Page):
        return page
    t = page.t
    with page.frame(t("account.title"), here="account"):
        page.head(t("account.title"), page.user.name if page.user else "")
        with ui.element("div").classes("two full"):
            with ui.element("section").classes("card stack"):
                html(t("account.tokens"), tag="h2")
                html(t("account.tokens_hint"), "muted")
                tokens = ui.element("div").classes("full")
                with ui.element("div").classes("line"):
                    name = ui.input(t("common.name")).props("outlined dense maxlength=64 " + mark("token-name"))
                    name.classes("grow")
                    button(t("account.new_token"), "primary", page.action(lambda: _create(page, tokens, name)),
                           test="token-create")  # fmt: skip
            with ui.element("section").classes("card"):
                html(password_form(t, f"<h1>{t('account.password')}</h1>"))
        await _list(page, tokens)
    return None


async def _list(page: Page, place: ui.element) -> None:
    assert page.user is not None
    infos = await run_in_threadpool(page.context.accounts.tokens, page.user)
    place.clear()
    with place:
        if not infos:
            html(page.t("account.no_tokens"), "faint")
        for info in infos:
            _row(page, place, info)


def _row(page: Page, place: ui.element, info: TokenInfo) -> None:
    t = page.t
    used = info.last_used_at.astimezone().strftime("%Y-%m-%d %H:%M") if info.last_used_at else t("time.never")

    async def revoke() -> None:
        assert page.user is not None
        await run_in_threadpool(page.context.accounts.revoke_token, page.user, info.id)
        await _list(page, place)

    with ui.element("div").classes("line between version"):
        html(f'<strong>{escape(info.name)}</strong><br><span class="faint num">{t("account.last_used")} {used}</span>')
        button(t("account.revoke"), "danger small", page.action(revoke), test="token-revoke")


async def _create(page: Page, place: ui.element, name: ui.input) -> None:
    assert page.user is not None
    wanted = (name.value or "").strip()
    if not wanted:
        name.run_method("focus")
        return
    new = await run_in_threadpool(page.context.accounts.create_token, page.user, wanted)
    name.set_value("")
    await _list(page, place)
    _show_once(page, new)


def _show_once(page: Page, new: NewToken) -> None:
    t = page.t
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        html(escape(new.info.name), tag="h2")
        html(t("account.token_shown_once"), "muted")
        html(escape(new.token), "code").props(mark("token-value"))
        with ui.element("div").classes("foot"):
            copy_button(t, new.token)
            button(t("common.close"), "primary", dialog.close, test="token-close")
    dialog.open()
