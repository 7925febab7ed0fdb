"""The rooms of a collector over real stores, and whole collectors over real brokers."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from services.collector.browse import Browser
from services.collector.captures import Captures, NewCapture, object_key
from services.collector.datasets import Datasets
from services.collector.projects import Projects
from services.collector.service import MIGRATIONS
from services.common.database import Database
from services.common.frames import AckReason
from services.common.objects import DirectoryStore
from tests.collector.boards import make_jpeg


@pytest.fixture(scope="session")
def service_key() -> str:
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass
class Rooms:
    """The collector without broker and gRPC."""

    database: Database
    store: DirectoryStore
    projects: Projects
    captures: Captures
    browser: Browser
    datasets: Datasets
    made: int = 0

    def new(self, project_id: str, label: str = "", board_id: str = "aaaaaaaaaa", **changes: object) -> NewCapture:
        """A capture that nobody has stored; its object is not there yet."""
        self.made += 1
        jpeg = make_jpeg(self.made, 16, 16)
        capture_id = sha256(b"%d" % self.made).hexdigest()[:32]
        fields: dict[str, object] = {
            "capture_id": capture_id,
            "project_id": project_id,
            "board_id": board_id,
            "label": label,
            "width": 16,
            "height": 16,
            "size_bytes": len(jpeg),
            "sha256": sha256(jpeg).hexdigest(),
            "object_key": object_key(project_id, board_id, capture_id),
            "captured_at": datetime(2026, 11, 22, 12, tzinfo=UTC),
        }
        return NewCapture(**(fields | changes))  # type: ignore[arg-type]

    def stored(self, project_id: str, label: str = "", count: int = 1, board_id: str = "aaaaaaaaaa") -> list[str]:
        """Ids of new captures with their objects."""
        batch = []
        for _ in range(count):
            batch.append(self.new(project_id, label, board_id))
            self.store.put(batch[-1].object_key, make_jpeg(self.made, 16, 16))
        assert self.captures.store_batch(batch) == [AckReason.STORED] * count
        return [new.capture_id for new in batch]


@pytest.fixture
def rooms(any_database_url: str, tmp_path: Path) -> Iterator[Rooms]:
    database = Database(any_database_url, "collector")
    database.migrate(MIGRATIONS)
    store = DirectoryStore(tmp_path / "objects")
    yield Rooms(
        database, store, Projects(database), Captures(database, store), Browser(database), Datasets(database, store)
    )
    database.close()
