"""Who asks, and whether the request comes from our own pages."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import APIKeyCookie, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import HTTPConnection

from services.common.errors import PermissionDenied, Unauthenticated
from services.gateway.accounts import Principal
from services.gateway.context import Context, context_of

__all__ = [
    "COOKIE",
    "REQUEST_HEADER",
    "AnyUser",
    "CurrentUser",
    "SchemeDocs",
    "check_origin",
    "current_user",
    "session_of",
]

COOKIE = "boardloop_session"
REQUEST_HEADER = "X-Boardloop"  # a foreign page cannot send it without a CORS preflight, which we never grant
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}

_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="Set by POST /v1/account/login")
_bearer = HTTPBearer(auto_error=False, description="An API token (Account page, or POST /v1/account/tokens)")


def check_origin(request: HTTPConnection, method: str, context: Context, *, by_cookie: bool) -> None:
    """Raises PermissionDenied CROSS_ORIGIN for a change that a foreign page may have sent with the user's cookie."""
    if method in SAFE_METHODS:
        return
    origin = request.headers.get("origin")
    own = context.settings.public_origin or f"{request.url.scheme}://{request.headers.get('host', '')}"
    if origin == own or (origin is None and (not by_cookie or REQUEST_HEADER in request.headers)):
        return
    raise PermissionDenied(
        "CROSS_ORIGIN",
        f"This change does not come from Boardloop's own pages (Origin: {origin or 'absent'}).",
        fix=f"Send the header {REQUEST_HEADER}: 1 without an Origin, or use an API token; "
        "behind a proxy set BOARDLOOP_PUBLIC_ORIGIN.",
    )


async def session_of(request: HTTPConnection, context: Context) -> Principal | None:
    """Whose session cookie the request carries, if any."""
    token = request.cookies.get(COOKIE)
    return await run_in_threadpool(context.accounts.session, token) if token else None


async def _any_user(request: Request) -> Principal:
    context = context_of(request)
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() == "bearer":
        return await run_in_threadpool(context.accounts.bearer, token)
    principal = await session_of(request, context)
    if principal is None:
        raise Unauthenticated(
            "LOGIN_REQUIRED",
            "This needs a login.",
            fix="POST /api/v1/account/login, or send Authorization: Bearer <API token>.",
        )
    check_origin(request, request.method, context, by_cookie=True)
    return principal


AnyUser = Annotated[Principal, Depends(_any_user)]
"""Logged in, perhaps only to choose a new password."""


async def current_user(user: AnyUser) -> Principal:
    """Raises PermissionDenied PASSWORD_CHANGE_REQUIRED for a login with a one-time password."""
    if user.must_change:
        raise PermissionDenied(
            "PASSWORD_CHANGE_REQUIRED",
            "A one-time password only serves to choose a new one.",
            fix="POST /api/v1/account/password.",
        )
    return user


CurrentUser = Annotated[Principal, Depends(current_user)]
"""Logged in, with every right."""

SchemeDocs = [Depends(_cookie), Depends(_bearer)]
"""Declares both ways to log in for OpenAPI; `_any_user` does the work."""
