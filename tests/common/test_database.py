"""services/common/database.py: the same tests on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, StatementError

from services.common.database import Database, database_url
from services.common.errors import InvalidInput, StorageFull, Unavailable
from services.common.settings import CommonSettings
from tests.common.notes import Base, Note
from tests.servers import free_port

MIGRATIONS = Path(__file__).parent / "migrations"
NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def database(any_database_url: str) -> Iterator[Database]:
    made = Database(any_database_url, "notes")
    made.migrate(MIGRATIONS)
    yield made
    made.close()


def texts(database: Database) -> list[str]:
    with database.session() as session:
        return sorted(session.scalars(select(Note.text)))


def test_what_a_session_adds_is_there_afterwards(database: Database) -> None:
    with database.session() as session:
        session.add(Note(text="Größe 裂纹", made_at=NOON))
    with database.session() as session:
        note = session.scalars(select(Note)).one()
    assert (note.text, note.made_at) == ("Größe 裂纹", NOON)


def test_an_error_in_the_block_takes_everything_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.session() as session:
        session.add(Note(text="half"))
        session.flush()
        raise ZeroDivisionError
    assert texts(database) == []


def test_a_second_migration_changes_nothing(database: Database) -> None:
    with database.session() as session:
        session.add(Note(text="kept"))
    database.migrate(MIGRATIONS)
    assert texts(database) == ["kept"]


def test_the_migrations_make_what_the_models_say(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_those_that_start_together_migrate_in_turn(any_database_url: str) -> None:
    databases = [Database(any_database_url, "notes") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.migrate(MIGRATIONS), databases))
    assert texts(databases[0]) == []
    for one in databases:
        one.close()


def test_a_database_newer_than_the_program_is_named(database: Database) -> None:
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable) as raised:
        database.migrate(MIGRATIONS)
    assert raised.value.reason == "MIGRATION_FAILED" and "9999" in raised.value.message


def test_two_schemas_of_one_database_do_not_see_each_other(postgres_url: str) -> None:
    first, second = Database(postgres_url, "collector"), Database(postgres_url, "deployer")
    for one in (first, second):
        one.migrate(MIGRATIONS)
    with first.session() as session:
        session.add(Note(text="of the collector"))
    assert (texts(first), texts(second)) == (["of the collector"], [])
    for one in (first, second):
        one.close()


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError), database.session() as session:
        session.add(Note(text="orphan", parent_id=77))


def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="time zone"), database.session() as session:
        session.add(Note(text="when?", made_at=datetime(2026, 11, 22)))


def test_times_of_other_zones_come_back_in_utc(database: Database) -> None:
    with database.session() as session:
        session.add(Note(text="tokyo", made_at=NOON.astimezone(timezone(timedelta(hours=9)))))
    with database.session() as session:
        made_at = session.scalars(select(Note.made_at)).one()
    assert made_at == NOON and made_at is not None and made_at.utcoffset() == timedelta(0)


def test_writers_in_many_threads_lose_nothing(database: Database) -> None:
    def write(number: int) -> None:
        with database.session() as session:
            seen = len(session.scalars(select(Note.id)).all())  # reads, then writes: SQLite's classic lock error
            session.add(Note(text=f"{number} saw {seen}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(80)))
    assert len(texts(database)) == 80


def test_a_long_read_does_not_keep_writers_waiting(database: Database) -> None:
    with database.session() as session:
        session.add(Note(text="before"))
    with database.session(read_only=True) as reading:
        assert len(reading.scalars(select(Note)).all()) == 1
        with database.session() as writing:
            writing.add(Note(text="meanwhile"))
    assert texts(database) == ["before", "meanwhile"]


def test_a_read_only_session_does_not_wait_for_a_writer(database: Database) -> None:
    written, done = threading.Event(), threading.Event()

    def write() -> None:
        with database.session() as session:
            session.add(Note(text="slow"))
            session.flush()
            written.set()
            assert done.wait(10)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(write)
        assert written.wait(10)
        with database.session(read_only=True) as session:
            assert session.scalars(select(Note)).all() == []
        done.set()
        future.result()


def test_a_full_sqlite_disk_is_storage_full_and_leaves_the_rest_intact(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'full.db'}", "notes")
    database.migrate(MIGRATIONS)
    with database.session() as session:
        session.add(Note(text="before"))
    pages = 0
    with database.engine.connect() as connection:
        pages = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
    with pytest.raises(StorageFull) as raised, database.session() as session:
        session.connection().exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")
        session.add(Note(text="x" * 500_000))
    assert raised.value.reason == "STORAGE_FULL" and raised.value.fix
    assert texts(database) == ["before"]
    database.close()


def test_a_full_postgres_disk_is_storage_full(postgres_url: str) -> None:
    database = Database(postgres_url, "public")
    with pytest.raises(StorageFull), database.session() as session:
        session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$"))
    database.close()


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody@127.0.0.1:{port}/x", "sqlite:////proc/nowhere/x.db"])
def test_a_database_that_is_away_is_unavailable(url: str) -> None:
    database = Database(url.format(port=free_port()), "notes")
    with pytest.raises(Unavailable) as raised, database.session() as session:
        session.execute(text("SELECT 1"))
    assert raised.value.reason == "DATABASE_UNAVAILABLE"
    with pytest.raises(Unavailable):
        database.migrate(MIGRATIONS)
    database.close()


def test_a_text_that_postgres_cannot_hold_is_refused_in_words(postgres_url: str) -> None:
    database = Database(postgres_url, "public")
    with pytest.raises(InvalidInput, match="NUL") as refused, database.session() as session:
        session.execute(select(Note).where(Note.text == "a\0b"))
    assert refused.value.reason == "BAD_VALUE"
    database.close()


def test_a_broken_connection_is_replaced(postgres_url: str) -> None:
    database = Database(postgres_url, "public")
    with pytest.raises(Unavailable), database.session() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with database.session() as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1
    database.close()


@pytest.mark.parametrize("url", ["mysql://localhost/x", "nonsense"])
def test_an_address_of_no_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        Database(url, "notes")
    assert raised.value.reason == "BAD_DATABASE_URL"


def test_the_default_is_a_file_per_service(tmp_path: Path) -> None:
    settings = CommonSettings(data_dir=tmp_path / "new")
    database = Database(database_url(settings, "collector"), "collector")
    database.migrate(MIGRATIONS)
    database.close()
    assert (tmp_path / "new" / "collector.db").is_file()
    assert (
        database_url(CommonSettings(database_url="postgresql+psycopg://x/y"), "collector") == "postgresql+psycopg://x/y"
    )
