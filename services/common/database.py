"""SQL databases: SQLite in WAL mode or PostgreSQL, migrated by alembic, one schema (or file) per service."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import alembic.context
from alembic.util import CommandError
from sqlalchemy import Connection, DateTime, Dialect, Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.types import TypeDecorator

from services.common.errors import BoardloopError, InvalidInput, StorageFull, Unavailable
from services.common.settings import CommonSettings

__all__ = ["Database", "UtcDateTime", "database_url", "run_migrations"]

SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,30}")
BUSY_SECONDS = 15
CONNECT_SECONDS = 10
DISK_FULL = "53100"  # PostgreSQL's SQLSTATE disk_full
READ_ONLY = "boardloop_read_only"
MIGRATION_LOCK = 0x424C0001  # any constant: processes that start together take turns


_migrating = threading.Lock()  # alembic keeps its context in a global: threads of one process take turns


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored and read back in UTC on both databases. A naive one is refused with ValueError."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; give an aware datetime")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def database_url(settings: CommonSettings, service: str) -> str:
    """Where the service keeps its tables: `database_url`, or SQLite in `<data_dir>/<service>.db` (folder made)."""
    if settings.database_url:
        return settings.database_url
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{settings.data_dir.resolve() / service}.db"


class Database:
    """One database of one service. Threads may share it; a session belongs to one thread."""

    def __init__(self, url: str, schema: str) -> None:
        """`schema`: the service's name; used on PostgreSQL, ignored on SQLite. Connects at the first use."""
        if not SCHEMA.fullmatch(schema):
            raise InvalidInput("BAD_SCHEMA", f"{schema!r} is no schema name (a-z, 0-9, _).")
        self.schema = schema
        self.engine = _engine(url, schema)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    def migrate(self, migrations: Path) -> None:
        """Brings the tables to the newest revision in the folder `migrations` (env.py, script.py.mako, versions/)."""
        config = alembic.config.Config()
        config.set_main_option("script_location", str(migrations).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        with _migrating, translated("migrating the tables"), self.engine.begin() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
                connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"'))
            config.attributes["connection"] = connection
            try:
                alembic.command.upgrade(config, "head")
            except CommandError as error:
                message = f"The tables of {self.schema} cannot be migrated: {error}"
                fix = "Start a Boardloop at least as new as the one that wrote them."
                raise Unavailable("MIGRATION_FAILED", message, fix=fix) from error

    @contextmanager
    def session(self, *, read_only: bool = False) -> Iterator[Session]:
        """A session that commits when the block ends and rolls back when it raises.

        `read_only`: on SQLite it never waits for a writer nor keeps one waiting; for long reads.
        StorageFull: the disk takes no more. Unavailable: the database is away, locked or refuses the connection.
        InvalidInput: a value that PostgreSQL cannot hold.
        IntegrityError and the like pass as they are.
        """
        with translated("using the database"), self._sessions() as session:
            try:
                if read_only:
                    session.connection(execution_options={READ_ONLY: True})
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns a driver's errors of operation into ours."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise _ours(error, doing) from error
    except DataError as error:  # a NUL in a text, a number that is too large: PostgreSQL takes neither
        message = f"A value cannot be kept: {str(error.orig).strip().splitlines()[0]}."
        raise InvalidInput("BAD_VALUE", message, fix="Leave out what is no text or no sensible number.") from error
    except PoolTimeout as error:
        raise Unavailable("DATABASE_BUSY", f"No free database connection while {doing}.", fix="Try again.") from error


def _ours(error: DBAPIError, doing: str) -> BoardloopError:
    detail = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    if getattr(error.orig, "sqlstate", None) == DISK_FULL or "database or disk is full" in detail:
        fix = "Free space on the database's disk; what was stored before is intact."
        return StorageFull("STORAGE_FULL", f"The database's disk is full while {doing}: {detail}", fix=fix)
    fix = "See that the database runs and BOARDLOOP_DATABASE_URL is right; then try again."
    return Unavailable("DATABASE_UNAVAILABLE", f"The database failed while {doing}: {detail}", fix=fix)


def _engine(url: str, schema: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput("BAD_DATABASE_URL", "BOARDLOOP_DATABASE_URL cannot be read.") from error
    if parsed.drivername == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.drivername != "postgresql+psycopg":
        message = f"{parsed.drivername!r} is no database of Boardloop."
        raise InvalidInput("BAD_DATABASE_URL", message, fix="Use postgresql+psycopg:// or sqlite:///.")
    options = {"connect_timeout": CONNECT_SECONDS, "options": f"-c search_path={schema}"}
    return create_engine(parsed, connect_args=options, pool_pre_ping=True, pool_size=10, max_overflow=10)


def _prepare_sqlite(connection: Any, record: object) -> None:
    """Durable (synchronous=FULL fsyncs each commit) and open to readers while one writes (WAL)."""
    connection.isolation_level = None  # the driver would begin too late for a consistent read; _begin_sqlite does it
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_SECONDS * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """IMMEDIATE: a transaction that reads, then writes, would else fail at once when another one wrote in between."""
    read_only = connection.get_execution_options().get(READ_ONLY)
    connection.exec_driver_sql("BEGIN DEFERRED" if read_only else "BEGIN IMMEDIATE")


def run_migrations(metadata: MetaData) -> None:
    """What a migrations folder's env.py calls: `run_migrations(Base.metadata)`.

    Within Database.migrate it uses that connection. From alembic's command line it takes the option
    `-x url=<database url>`.
    """
    connection = alembic.context.config.attributes.get("connection")
    if connection is not None:
        _migrate(connection, metadata)
        return
    arguments = alembic.context.get_x_argument(as_dictionary=True)
    schema = str(arguments.get("schema", "public"))
    engine = _engine(str(arguments["url"]), schema)
    with engine.begin() as connection:
        _migrate(connection, metadata)
    engine.dispose()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    alembic.context.configure(connection=connection, target_metadata=metadata, render_as_batch=is_sqlite)
    with alembic.context.begin_transaction():
        alembic.context.run_migrations()
