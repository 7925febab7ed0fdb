"""The door: login, and the choice of an own password after a one-time one. Both post to the REST API."""

from __future__ import annotations

import json
from html import escape

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from services.common.i18n import Translator
from services.gateway.pages.layout import Page, dress, html, mark, open_page, tools

__all__ = ["password_form"]


@ui.page("/login")
async def login_page(request: Request) -> None:
    t = dress(request)
    ui.page_title(f"{t('login.title')} · Boardloop")
    reasons = {reason: t("error." + reason) for reason in ("WRONG_LOGIN", "LOGIN_RATE_LIMIT", "OFFLINE")}
    form = (
        f'<form class="card form" data-door="login" data-testid="login-form" data-texts="{_json(reasons)}">'
        f"<h1>{t('login.title')}</h1>"
        + _field(t("login.name"), "name", "text", "username", "login-name", "autofocus")
        + _field(t("login.password"), "password", "password", "current-password", "login-password")
        + '<div role="alert" data-testid="login-error"></div>'
        + f'<button class="btn primary" data-testid="login-submit">{t("login.submit")}</button>'
        + f'<p class="faint">{t("login.hint")}</p></form>'
    )
    _door(t, form)


@ui.page("/password")
async def password_page(request: Request) -> RedirectResponse | None:
    page = await open_page(request, one_time=True)
    if not isinstance(page, Page):
        return page
    t = page.t
    ui.page_title(f"{t('password.title')} · Boardloop")
    hint = f'<h1>{t("password.title")}</h1><p class="muted">{t("password.hint")}</p>'
    _door(t, password_form(t, hint, then="/", classes="card form"))
    return None


def password_form(t: Translator, heading: str, *, then: str = "", classes: str = "form") -> str:
    """HTML of the form that changes the password; `then`: where to go afterwards, empty: stay."""
    texts = {reason: t("error." + reason) for reason in ("WRONG_PASSWORD", "BAD_PASSWORD", "SAME_PASSWORD", "MISMATCH")}
    texts |= {"OFFLINE": t("error.OFFLINE"), "saved": t("account.password_saved")}
    return (
        f'<form class="{classes}" data-door="password" data-then="{then}" data-testid="password-form" '
        f'data-texts="{_json(texts)}">{heading}'
        + _field(t("password.current"), "current", "password", "current-password", "password-current")
        + _field(t("password.new"), "new", "password", "new-password", "password-new", 'minlength="10"')
        + _field(t("password.repeat"), "repeat", "password", "new-password", "password-repeat", 'minlength="10"')
        + '<div role="alert" data-testid="password-error"></div><div role="status"></div>'
        + f'<button class="btn primary" data-testid="password-submit">{t("password.submit")}</button></form>'
    )


def _door(t: Translator, form: str) -> None:
    with ui.element("div").classes("door"), ui.element("div").classes("door-box"):
        html('<div class="brand"><img src="/static/favicon.svg" alt=""><span>Boardloop</span></div>')
        html(t("app.tagline"), tag="p")
        html(form).props(mark("door"))
        html(tools(t), "door-tools")


def _field(label: str, name: str, kind: str, autocomplete: str, test: str, more: str = "") -> str:
    return (
        f'<label>{escape(label)}<input name="{name}" type="{kind}" autocomplete="{autocomplete}" required '
        f'data-testid="{test}" {more}></label>'
    )


def _json(texts: dict[str, str]) -> str:
    return escape(json.dumps(texts))
