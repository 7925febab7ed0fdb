"""The frame of every page: who looks at it, in which language, what stays alive, what went wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from nicegui import ui

from services.common.errors import BoardloopError, NotFound
from services.common.i18n import LANGUAGES, Language, Translator, choose_language
from services.gateway.accounts import Principal
from services.gateway.context import Context, context_of
from services.gateway.live import Feed, Subscription
from services.gateway.security import COOKIE
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector

__all__ = [
    "ASSETS",
    "Page",
    "button",
    "copy_button",
    "dress",
    "empty",
    "find_project",
    "html",
    "mark",
    "open_page",
    "tools",
]

Value = TypeVar("Value")
STATIC = Path(__file__).parent.parent / "static"
ASSETS = sha256(b"".join(file.read_bytes() for file in sorted(STATIC.iterdir()))).hexdigest()[
    :10
]  # browsers keep files
SESSION_CHECK_SECONDS = 20.0
NAVIGATION = (
    ("datasets", "photo_library"), ("training", "insights"), ("models", "hub"), ("boards", "memory"),
)  # fmt: skip


def html(content: str, classes: str = "", tag: str = "div") -> ui.html:
    """Trusted HTML: whoever builds it escapes what people wrote."""
    return ui.html(content, sanitize=False, tag=tag).classes(classes)


def mark(name: str) -> str:
    """Props that let a test find an element: [data-testid=<name>]."""
    return f'data-testid="{name}"'


def button(
    text: str, kind: str, on_click: Callable[[], object], *, icon: str | None = None, test: str = ""
) -> ui.button:
    """A button in our look; kind: primary, plain, ghost, danger."""
    made = ui.button(text, on_click=on_click, icon=icon, color=None).classes(f"btn {kind}")
    return made.props("flat no-caps " + (mark(test) if test else ""))


def copy_button(t: Translator, text: str) -> ui.button:
    """Puts `text` into the clipboard; boardloop.js does it."""
    made = button(t("common.copy"), "plain small", lambda: ui.notify(t("common.copied"), position="top"))
    made.props["data-tool"], made.props["data-value"] = "copy", text
    return made


def empty(icon: str, title: str, text: str, test: str = "empty") -> ui.element:
    """What a page shows before there is anything: always with the next step."""
    box = ui.element("div").classes("empty").props(mark(test))
    with box:
        html(f'<span class="material-icons-outlined">{icon}</span>')
        html(f"<strong>{escape(title)}</strong>")
        html(escape(text))
    return box


class Page:
    """One open tab. Its feeds end with it; its actions say in words what went wrong."""

    def __init__(self, context: Context, request: Request, user: Principal | None, t: Translator) -> None:
        self.context = context
        self.upstream = context.upstream
        self.user = user
        self.t = t
        self.client = ui.context.client
        self.path = request.url.path
        self.session_cookie = request.cookies.get(COOKIE, "")

    def listen(self, feed: Feed[Value], show: Callable[[Value], Awaitable[None]]) -> Subscription[Value]:
        """Calls `show` inside this tab with each new value of the feed until the tab is gone, or until `.end()`."""

        async def inside(value: Value) -> None:
            with self.client:
                await show(value)

        subscription = feed.subscribe(inside)
        self.client.on_delete(subscription.end)
        return subscription

    def action(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """`work` as an event handler: only within a living session, and with its errors shown."""

        async def handler() -> None:
            if not await self.still_logged_in():
                return
            try:
                await work()
            except BoardloopError as error:
                self.complain(error)

        return handler

    def complain(self, error: BoardloopError) -> None:
        """Shows what went wrong and what to do."""
        ui.notify(str(error), type="negative", position="top", timeout=8000, close_button=True, multi_line=True)

    async def still_logged_in(self) -> bool:
        """Leads to the login page once the session has ended, here or in another tab."""
        user = await run_in_threadpool(self.context.accounts.session, self.session_cookie)
        if user is None:
            ui.navigate.to(f"/login?next={quote(self.path)}")
        return user is not None

    @contextmanager
    def frame(self, title: str, *, here: str = "", project: collector.Project | None = None) -> Iterator[None]:
        """Side bar, banner and the page's column; `here`: the navigation entry to light up."""
        ui.page_title(f"{title} · Boardloop")
        with ui.element("div").classes("shell"):
            self._side(here, project)
            with ui.element("main").classes("main"), ui.element("div").classes("page"):
                self._banner()
                yield
        if project is not None:
            self._tabs(here, project)
        ui.timer(SESSION_CHECK_SECONDS, self.still_logged_in, immediate=False)

    def head(self, title: str, subtitle: str) -> tuple[ui.html, ui.element]:
        """The page's title line: returns the subtitle, to be updated, and the place for buttons."""
        with ui.element("header").classes("head full"):
            with ui.element("div").classes("grow"):
                html(escape(title), tag="h1")
                line = html(escape(subtitle), tag="p", classes="num")
            return line, ui.element("div").classes("actions")

    def _side(self, here: str, project: collector.Project | None) -> None:
        t = self.t
        parts = ['<a class="brand" href="/"><img src="/static/favicon.svg" alt=""><span>Boardloop</span></a>']
        if project is not None:
            parts.append(
                f'<a class="switcher" href="/" data-testid="project-switcher" title="{t("nav.projects")}">'
                f'<span>{escape(project.name)}</span><i class="material-icons-outlined icon">unfold_more</i></a>'
            )
            parts += [_link(key, icon, t("nav." + key), project.id, here) for key, icon in NAVIGATION]
        name = escape(self.user.name if self.user else "")
        parts.append(
            '<div class="side-foot">'
            f'<a class="nav{" here" if here == "account" else ""}" href="/account" data-testid="nav-account">'
            f'<i class="material-icons-outlined">account_circle</i><span>{name}</span></a>'
            f'<div class="side-tools">{tools(t)}'
            f'<button class="tool" data-tool="logout" data-testid="logout" title="{t("nav.logout")}" '
            f'aria-label="{t("nav.logout")}"><i class="material-icons-outlined icon">logout</i></button></div></div>'
        )
        html("".join(parts), "side", tag="aside")

    def _tabs(self, here: str, project: collector.Project) -> None:
        links = (_link(key, icon, self.t("nav." + key), project.id, here, "tab") for key, icon in NAVIGATION)
        html("".join(links), "tabs has", tag="nav")

    def _banner(self) -> None:
        banner = html("", "banner full hidden").props(mark("banner") + ' role="status"')

        async def show(services: dict[str, bool]) -> None:
            away = [self.t("service." + service) for service, answers in services.items() if not answers]
            text = escape(self.t("banner.away", services=", ".join(away)))
            banner.set_content(f'<i class="material-icons-outlined icon">cloud_off</i><span>{text}</span>')
            banner.classes(remove="hidden") if away else banner.classes("hidden")

        self.listen(self.context.live.health(), show)


def _link(key: str, icon: str, text: str, project: str, here: str, kind: str = "nav") -> str:
    classes = ("nav main-nav" if kind == "nav" else "") + (" here" if key == here else "")
    current = ' aria-current="page"' if key == here else ""
    return (
        f'<a class="{classes}" href="/projects/{escape(project)}/{key}" data-testid="{kind}-{key}"{current}>'
        f'<i class="material-icons-outlined icon">{icon}</i><span>{escape(text)}</span></a>'
    )


def tools(t: Translator) -> str:
    """Language and theme switches, as HTML; boardloop.js remembers both."""
    other: Language = "zh" if t.language == "en" else "en"
    return (
        f'<button class="tool" type="button" data-tool="language" data-value="{other}" data-testid="language">'
        f'<i class="material-icons-outlined icon">translate</i>{LANGUAGES[other]}</button>'
        f'<button class="tool" type="button" data-tool="theme" data-testid="theme" title="{t("nav.theme")}" '
        f'aria-label="{t("nav.theme")}"><i class="material-icons-outlined icon">contrast</i></button>'
    )


def dress(request: Request) -> Translator:
    """Style sheet, script and language of a page; every page calls it first."""
    language = choose_language(request.cookies.get("boardloop_language"), request.headers.get("accept-language", ""))
    t = Translator(language)
    ui.add_head_html(
        f'<meta name="boardloop-gone" content="{escape(t("banner.gone"))}">'
        f'<link rel="stylesheet" href="/static/boardloop.css?{ASSETS}">'
        f'<script>document.documentElement.lang="{language}"</script>'
        f'<script src="/static/boardloop.js?{ASSETS}"></script>'
    )
    return t


async def open_page(request: Request, *, one_time: bool = False) -> Page | RedirectResponse:
    """The page for whoever is logged in, else the way to the login; `one_time`: also with a one-time password."""
    context = context_of(request)
    t = dress(request)
    user = await run_in_threadpool(context.accounts.session, request.cookies.get(COOKIE, ""))
    if user is None:
        return RedirectResponse(f"/login?next={quote(request.url.path)}")
    if user.must_change and not one_time:
        return RedirectResponse("/password")
    return Page(context, request, user, t)


async def find_project(page: Page, project_id: str) -> collector.Project | None:
    """The project, or None after the page said what is the matter: it does not exist, or the collector is away."""
    try:
        request = collector.GetProjectRequest(project_id=project_id)
        return (await ask(page.upstream.projects.GetProject(request))).project
    except BoardloopError as error:
        _without_project(page, error)
        return None


def _without_project(page: Page, error: BoardloopError) -> None:
    t = page.t
    missing = isinstance(error, NotFound)

    async def try_again(services: dict[str, bool]) -> None:
        if services["collector"]:
            ui.navigate.reload()

    with page.frame(t("nav.projects")):
        title = t("projects.missing.title") if missing else error.message
        text = t("projects.missing.text") if missing else error.fix
        with empty("search_off" if missing else "cloud_off", title, text):
            html(f'<a class="btn primary" href="/">{escape(t("common.back"))}</a>')
    if not missing:
        page.listen(page.context.live.health(), try_again)
