"""People, sessions and API tokens: who may come through the gateway."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.common.database import Database
from services.common.errors import InvalidInput, NotFound, PermissionDenied, Unauthenticated
from services.gateway.models import ApiToken, User, UserSession

__all__ = ["ADMIN", "Accounts", "NewToken", "Principal", "SessionGrant", "TokenInfo"]

ADMIN = "admin"
PASSWORD_MIN, PASSWORD_MAX = 10, 256  # characters; the maximum bounds argon2's work
TOKEN_PREFIX = "blt_"  # lets secret scanners recognise a leaked token
HASHER = PasswordHasher()  # argon2id with the low-memory parameters of RFC 9106, section 4
TOUCH_AFTER = timedelta(minutes=1)  # how stale `last_used_at` and a session's end may be


@dataclass(frozen=True)
class Principal:
    """Who asks. `must_change`: logged in with a one-time password, which only allows choosing another."""

    user_id: int
    name: str
    must_change: bool
    kind: Literal["session", "token"]


@dataclass(frozen=True)
class SessionGrant:
    """A new session; `token` is the cookie's value and is known only here."""

    token: str
    principal: Principal
    expires_at: datetime


@dataclass(frozen=True)
class TokenInfo:
    """An API token as lists show it."""

    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class NewToken:
    """A new API token; `token` is shown once and not stored."""

    info: TokenInfo
    token: str


def _hash(token: str) -> str:
    """SHA-256 is enough for 256 random bits; argon2 is for passwords."""
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)


class Accounts:
    """All calls are synchronous and take up to 0.1 s (argon2): call them from a worker thread."""

    def __init__(self, database: Database, session_lifetime: timedelta, clock: Callable[[], datetime] = _now) -> None:
        self._database = database
        self._lifetime = session_lifetime
        self._clock = clock
        self._decoy = HASHER.hash(secrets.token_urlsafe(16))

    # -- people ------------------------------------------------------------------------------------------------

    def create_first_user(self) -> str | None:
        """Creates `admin` when nobody exists yet: returns its one-time password, else None."""
        password = secrets.token_urlsafe(12)
        try:
            with self._database.session() as db:
                if db.scalar(select(User.id).limit(1)) is not None:
                    return None
                self._add_user(db, ADMIN, password)
        except IntegrityError:  # another replica was faster, and printed its own
            return None
        return password

    def reset_password(self, name: str) -> str:
        """A new one-time password for `name`; ends its sessions. Raises NotFound UNKNOWN_USER."""
        password = secrets.token_urlsafe(12)
        with self._database.session() as db:
            user = db.scalar(select(User).where(User.name == name))
            if user is None:
                raise NotFound("UNKNOWN_USER", f"There is no user {name!r}.", fix="Check the name.", user=name)
            user.password_hash, user.one_time = HASHER.hash(password), True
            db.execute(delete(UserSession).where(UserSession.user_id == user.id))
        return password

    def change_password(self, principal: Principal, current: str, new: str, keep: str = "") -> None:
        """Sets a new password and ends every session but the one with cookie `keep`."""
        if not PASSWORD_MIN <= len(new) <= PASSWORD_MAX:
            raise InvalidInput(
                "BAD_PASSWORD",
                f"new_password has {len(new)} characters; it needs {PASSWORD_MIN} to {PASSWORD_MAX}.",
                fix="Choose a longer password: a few words are fine." if len(new) < PASSWORD_MIN else "Shorten it.",
                field="new_password",
            )
        if new == current:
            raise InvalidInput(
                "SAME_PASSWORD", "new_password equals current_password.", fix="Choose another.", field="new_password"
            )
        with self._database.session() as db:
            user = db.get(User, principal.user_id)
            if user is None or not self._matches(user.password_hash, current):
                raise PermissionDenied(
                    "WRONG_PASSWORD", "current_password is not right.", fix="Type the present password again."
                )
            user.password_hash, user.one_time = HASHER.hash(new), False
            others = delete(UserSession).where(UserSession.user_id == user.id)
            db.execute(others.where(UserSession.token_hash != _hash(keep)) if keep else others)

    # -- sessions ----------------------------------------------------------------------------------------------

    def login(self, name: str, password: str) -> SessionGrant:
        """A new session. Raises Unauthenticated WRONG_LOGIN; takes as long for an unknown name as for a known one."""
        now = self._clock()
        with self._database.session() as db:
            user = db.scalar(select(User).where(User.name == name))
            good = self._matches(user.password_hash if user else self._decoy, password[: PASSWORD_MAX + 1])
            if user is None or not good:
                raise Unauthenticated("WRONG_LOGIN", "Name or password is not right.", fix="Check both and try again.")
            token = secrets.token_urlsafe(32)
            expires = now + self._lifetime
            db.execute(delete(UserSession).where(UserSession.expires_at <= now))
            db.add(UserSession(token_hash=_hash(token), user_id=user.id, created_at=now, expires_at=expires))
            return SessionGrant(token, Principal(user.id, user.name, user.one_time, "session"), expires)

    def logout(self, token: str) -> None:
        """Ends the session with this cookie."""
        with self._database.session() as db:
            db.execute(delete(UserSession).where(UserSession.token_hash == _hash(token)))

    def session(self, token: str) -> Principal | None:
        """Whose session this cookie is, None when it has ended. Use prolongs it."""
        now = self._clock()
        with self._database.session(read_only=True) as db:
            session = db.get(UserSession, _hash(token))
            if session is None or session.expires_at <= now:
                return None
            stale = now + self._lifetime - session.expires_at > TOUCH_AFTER
            user = db.get_one(User, session.user_id)
            principal = Principal(user.id, user.name, user.one_time, "session")
        if stale:
            with self._database.session() as db:
                mine = update(UserSession).where(UserSession.token_hash == _hash(token))
                db.execute(mine.values(expires_at=now + self._lifetime))
        return principal

    # -- API tokens --------------------------------------------------------------------------------------------

    def create_token(self, principal: Principal, name: str) -> NewToken:
        """A new API token with the rights of its owner."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        info = TokenInfo(secrets.token_hex(6), name, self._clock(), None)
        with self._database.session() as db:
            db.add(
                ApiToken(
                    id=info.id,
                    user_id=principal.user_id,
                    name=name,
                    token_hash=_hash(token),
                    created_at=info.created_at,
                    last_used_at=None,
                )
            )
        return NewToken(info, token)

    def tokens(self, principal: Principal) -> list[TokenInfo]:
        """The owner's tokens, oldest first."""
        with self._database.session() as db:
            rows = db.scalars(
                select(ApiToken).where(ApiToken.user_id == principal.user_id).order_by(ApiToken.created_at)
            )
            return [TokenInfo(row.id, row.name, row.created_at, row.last_used_at) for row in rows]

    def revoke_token(self, principal: Principal, token_id: str) -> None:
        """Ends a token of this owner at once. Raises NotFound UNKNOWN_TOKEN."""
        with self._database.session() as db:
            row = db.get(ApiToken, token_id)
            if row is None or row.user_id != principal.user_id:
                raise NotFound("UNKNOWN_TOKEN", f"There is no API token {token_id!r}.", fix="List the tokens again.")
            db.delete(row)

    def bearer(self, token: str) -> Principal:
        """Whose API token this is. Raises Unauthenticated UNKNOWN_TOKEN."""
        now = self._clock()
        with self._database.session(read_only=True) as db:
            row = db.scalar(select(ApiToken).where(ApiToken.token_hash == _hash(token)))
            if row is None:
                raise Unauthenticated(
                    "UNKNOWN_TOKEN", "This API token is not known or was revoked.", fix="Create a new token."
                )
            token_id, last = row.id, row.last_used_at
            user = db.get_one(User, row.user_id)
            principal = Principal(user.id, user.name, user.one_time, "token")
        if last is None or now - last > TOUCH_AFTER:
            with self._database.session() as db:
                db.execute(update(ApiToken).where(ApiToken.id == token_id).values(last_used_at=now))
        return principal

    # -- helpers -----------------------------------------------------------------------------------------------

    def _add_user(self, db: Session, name: str, password: str) -> None:
        db.add(User(name=name, password_hash=HASHER.hash(password), one_time=True, created_at=self._clock()))

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return HASHER.verify(password_hash, password)
        except VerificationError:
            return False
