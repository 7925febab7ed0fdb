"""People, sessions and API tokens, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import Type
from sqlalchemy import text

from services.common.database import Database
from services.common.errors import BoardloopError, InvalidInput, NotFound, PermissionDenied, Unauthenticated
from services.gateway import accounts as accounts_module
from services.gateway.accounts import ADMIN, Accounts
from services.gateway.service import MIGRATIONS

HASHER = accounts_module.HASHER  # as it is in production, before the fixture makes it quick
LIFETIME = timedelta(hours=1)
NEW = "correct horse battery"


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 11, 22, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(any_database_url: str) -> Iterator[Database]:
    database = Database(any_database_url, "gateway")
    database.migrate(MIGRATIONS)
    yield database
    database.close()


@pytest.fixture
def accounts(database: Database, clock: Clock) -> Accounts:
    return Accounts(database, LIFETIME, clock)


def settled(accounts: Accounts) -> Accounts:
    """With `admin` and the password NEW."""
    first = accounts.create_first_user()
    assert first is not None
    accounts.change_password(accounts.login(ADMIN, first).principal, first, NEW)
    return accounts


def test_the_first_start_creates_admin_and_the_second_does_not(accounts: Accounts) -> None:
    assert accounts.create_first_user() is not None
    assert accounts.create_first_user() is None


def test_a_one_time_password_must_be_changed(accounts: Accounts) -> None:
    first = accounts.create_first_user()
    assert first is not None
    principal = accounts.login(ADMIN, first).principal
    assert principal.must_change
    accounts.change_password(principal, first, NEW)
    assert not accounts.login(ADMIN, NEW).principal.must_change
    with pytest.raises(Unauthenticated):
        accounts.login(ADMIN, first)


@pytest.mark.parametrize(("name", "password"), [(ADMIN, "wrong password"), ("nobody", NEW), (ADMIN, "x" * 1000)])
def test_a_wrong_login_says_the_same_for_every_cause(accounts: Accounts, name: str, password: str) -> None:
    with pytest.raises(Unauthenticated, match=r"Name or password is not right\."):
        settled(accounts).login(name, password)


@pytest.mark.parametrize(
    ("current", "new", "kind", "reason"),
    [
        (NEW, "short", InvalidInput, "BAD_PASSWORD"),
        (NEW, "x" * 257, InvalidInput, "BAD_PASSWORD"),
        (NEW, NEW, InvalidInput, "SAME_PASSWORD"),
        ("wrong password", "another good one", PermissionDenied, "WRONG_PASSWORD"),
    ],
)
def test_a_refused_password_changes_nothing(
    accounts: Accounts, current: str, new: str, kind: type[BoardloopError], reason: str
) -> None:
    principal = settled(accounts).login(ADMIN, NEW).principal
    with pytest.raises(kind) as caught:
        accounts.change_password(principal, current, new)
    assert caught.value.reason == reason
    accounts.login(ADMIN, NEW)


def test_a_new_password_ends_the_other_sessions(accounts: Accounts) -> None:
    settled(accounts)
    mine, other = accounts.login(ADMIN, NEW), accounts.login(ADMIN, NEW)
    accounts.change_password(mine.principal, NEW, "another good one", keep=mine.token)
    assert accounts.session(mine.token) == mine.principal
    assert accounts.session(other.token) is None


def test_a_session_lives_while_it_is_used(accounts: Accounts, clock: Clock) -> None:
    token = settled(accounts).login(ADMIN, NEW).token
    for _ in range(3):
        clock.now += LIFETIME * 0.9
        assert accounts.session(token) is not None
    clock.now += LIFETIME
    assert accounts.session(token) is None


def test_logging_out_ends_the_session(accounts: Accounts) -> None:
    token = settled(accounts).login(ADMIN, NEW).token
    accounts.logout(token)
    assert accounts.session(token) is None


def test_an_api_token_works_until_it_is_revoked(accounts: Accounts, clock: Clock) -> None:
    owner = settled(accounts).login(ADMIN, NEW).principal
    new = accounts.create_token(owner, "export")
    assert accounts.bearer(new.token).kind == "token"
    assert [info.last_used_at for info in accounts.tokens(owner)] == [clock.now]
    accounts.revoke_token(owner, new.info.id)
    assert accounts.tokens(owner) == []
    with pytest.raises(Unauthenticated, match="revoked"):
        accounts.bearer(new.token)
    with pytest.raises(NotFound):
        accounts.revoke_token(owner, new.info.id)


def test_a_reset_password_is_one_time_and_ends_sessions(accounts: Accounts) -> None:
    token = settled(accounts).login(ADMIN, NEW).token
    password = accounts.reset_password(ADMIN)
    assert accounts.session(token) is None
    assert accounts.login(ADMIN, password).principal.must_change
    with pytest.raises(NotFound):
        accounts.reset_password("nobody")


def test_no_secret_is_stored_as_it_is(accounts: Accounts, database: Database) -> None:
    grant = settled(accounts).login(ADMIN, NEW)
    token = accounts.create_token(grant.principal, "export").token
    with database.session() as db:
        for table in ("users", "sessions", "api_tokens"):
            rows = str(db.execute(text(f"SELECT * FROM {table}")).all())
            assert rows != "[]"
            assert not any(secret in rows for secret in (NEW, grant.token, token))


def test_passwords_are_hashed_as_rfc_9106_recommends_for_little_memory() -> None:
    kind = (HASHER.type, HASHER.time_cost, HASHER.memory_cost, HASHER.parallelism)
    assert kind == (Type.ID, 3, 64 * 1024, 4)
