"""Login, password, API tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from services.common.errors import PermissionDenied, Unauthenticated
from services.gateway.accounts import Principal, TokenInfo
from services.gateway.context import Context, Here
from services.gateway.security import COOKIE, AnyUser, CurrentUser, check_origin

__all__ = ["open_router", "router"]

open_router = APIRouter(prefix="/v1/account", tags=["account"])
"""Routes that need no login."""
router = APIRouter(prefix="/v1/account", tags=["account"])

Secret = Annotated[str, Field(min_length=1, max_length=1024, json_schema_extra={"format": "password"})]


class LoginCreate(BaseModel):
    """Name and password of a person."""

    name: str = Field(min_length=1, max_length=64, examples=["admin"])
    password: Secret


class AccountPublic(BaseModel):
    """Who is logged in."""

    name: str
    must_change_password: bool = Field(description="true: logged in with a one-time password; nothing else works yet")


class LoginPublic(AccountPublic):
    """A new session; its cookie is in Set-Cookie."""

    expires_at: datetime


class PasswordUpdate(BaseModel):
    """The present password and the new one (10 to 256 characters)."""

    current_password: Secret
    new_password: Secret


class TokenCreate(BaseModel):
    """A name that says who uses the token."""

    name: str = Field(min_length=1, max_length=64, examples=["nightly export"])


class TokenPublic(BaseModel):
    """An API token, without its secret."""

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, info: TokenInfo) -> TokenPublic:
        return cls(id=info.id, name=info.name, created_at=info.created_at, last_used_at=info.last_used_at)


class TokenCreated(TokenPublic):
    """A new API token: `token` is shown this once."""

    token: str


def _account(user: Principal) -> AccountPublic:
    return AccountPublic(name=user.name, must_change_password=user.must_change)


def _brake_keys(request: Request, name: str) -> list[str]:
    """Failures count per address and per name: neither many names nor many addresses help a guesser."""
    return [f"address {request.client.host if request.client else 'unknown'}", f"name {name}"]


async def _guarded_login(context: Context, keys: list[str], body: LoginCreate) -> tuple[str, Principal, datetime]:
    with context.limiter.attempt(*keys, wrong=Unauthenticated):
        grant = await run_in_threadpool(context.accounts.login, body.name, body.password)
    return grant.token, grant.principal, grant.expires_at


@open_router.post("/login", summary="Log in and get a session cookie")
async def login(body: LoginCreate, request: Request, response: Response, context: Here) -> LoginPublic:
    check_origin(request, "POST", context, by_cookie=False)
    token, user, expires_at = await _guarded_login(context, _brake_keys(request, body.name), body)
    response.set_cookie(
        COOKIE,
        token,
        max_age=round(context.settings.session_lifetime.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=context.settings.secure_cookies,
        path="/",
    )
    return LoginPublic(name=user.name, must_change_password=user.must_change, expires_at=expires_at)


@router.post("/logout", status_code=204, summary="End this session")
async def logout(request: Request, response: Response, _: AnyUser, context: Here) -> None:
    await run_in_threadpool(context.accounts.logout, request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")


@router.get("", summary="Who is logged in")
async def account(user: AnyUser) -> AccountPublic:
    return _account(user)


@router.post("/password", status_code=204, summary="Choose a new password; ends all other sessions")
async def change_password(body: PasswordUpdate, request: Request, user: AnyUser, context: Here) -> None:
    keep = request.cookies.get(COOKIE, "")
    with context.limiter.attempt(f"password of {user.name}", wrong=PermissionDenied):
        await run_in_threadpool(context.accounts.change_password, user, body.current_password, body.new_password, keep)


@router.get("/tokens", summary="My API tokens")
async def tokens(user: CurrentUser, context: Here) -> list[TokenPublic]:
    return [TokenPublic.of(info) for info in await run_in_threadpool(context.accounts.tokens, user)]


@router.post("/tokens", status_code=201, summary="Create an API token; its secret is shown once")
async def create_token(body: TokenCreate, user: CurrentUser, context: Here) -> TokenCreated:
    new = await run_in_threadpool(context.accounts.create_token, user, body.name)
    return TokenCreated(**TokenPublic.of(new.info).model_dump(), token=new.token)


@router.delete("/tokens/{token_id}", status_code=204, summary="Revoke an API token")
async def revoke_token(token_id: str, user: CurrentUser, context: Here) -> None:
    await run_in_threadpool(context.accounts.revoke_token, user, token_id)
