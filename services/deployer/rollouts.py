"""Rollouts: which release each board shall run, and how far it is.

    DESIRED (retained)  ──>  board: DOWNLOADING, VERIFYING, TRYING, COMMITTED or FAILED  ──REPORT──>  updates table

A board has one desired release. A newer one supersedes it: the older is then FAILED SUPERSEDED on that board.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.common import topics
from services.common.database import Database
from services.common.frames import AckReason, Frame, FrameError, Kind
from services.common.keys import BoardKeys, wrap_content_key
from services.common.logs import logger
from services.deployer import models
from services.deployer.answers import Answers
from services.deployer.boards import Boards, find_board
from services.deployer.sessions import Hello, first_fault
from services.deployer.signing import SIGNATURE_BYTES
from services.deployer.vault import Vault

__all__ = ["Desired", "Report", "Rollouts"]

log = logger(__name__)

ENDED = ("COMMITTED", "FAILED")


class Report(BaseModel):
    """REPORT: `release` and `state` are empty on a board that has no model."""

    model_config = ConfigDict(strict=True)

    release: str = Field(pattern="^([0-9a-f]{32})?$")
    state: str = Field(pattern="^(|DOWNLOADING|VERIFYING|TRYING|COMMITTED|FAILED)$")
    reason: str = Field("", pattern="^[A-Z_]{0,40}$")
    outbox: int = Field(0, ge=0, le=2**31)
    rejected: int = Field(0, ge=0, le=2**31)


@dataclass(frozen=True)
class Desired:
    """The release a board shall run. `sizes`: bytes of manifest, signature, payload."""

    release_id: str
    sizes: tuple[int, int, int]
    content_key: bytes


class Rollouts:
    """Thread-safe."""

    def __init__(self, database: Database, boards: Boards, vault: Vault, answers: Answers) -> None:
        self._database = database
        self._boards = boards
        self._vault = vault
        self._answers = answers
        self._lock = threading.Lock()
        self._desired: dict[str, Desired | None] = {}
        self._progress: dict[str, tuple[str, float]] = {}

    def desired(self, board_id: str) -> Desired | None:
        """None: no release."""
        with self._lock:
            if board_id not in self._desired:
                self._desired[board_id] = self._read(board_id)
            return self._desired[board_id]

    def start(self, session: Session, release: models.Release) -> list[str]:
        """Within the caller's transaction: the release becomes desired on its boards; their ids, to `publish` after
        the commit. A board for which a higher counter is desired already is left alone."""
        release.state = "ROLLING_OUT"
        begun = []
        for update in session.scalars(select(models.Update).where(models.Update.release_id == release.id)):
            board = find_board(session, update.board_id, lock=True)
            present = session.get(models.Release, board.desired_release_id) if board.desired_release_id else None
            if board.revoked:
                update.state, update.reason = "FAILED", "REVOKED"
            elif present is not None and present.project_id == release.project_id and present.counter > release.counter:
                update.state, update.reason = "FAILED", "SUPERSEDED"
            else:
                self._supersede(session, board, present)
                board.desired_release_id = release.id
                begun.append(board.id)
        session.flush()
        _settle(session, release.id)
        return begun

    def publish(self, board_id: str) -> None:
        """The board's retained DESIRED, the content key wrapped for its present keys."""
        with self._lock:
            self._desired.pop(board_id, None)
        keys = self._boards.paired_keys(board_id)
        if keys is None:
            return
        desired = self.desired(board_id)
        body: dict[str, object] = {"release": ""}
        if desired is not None:
            wrapped = wrap_content_key(keys, bytes.fromhex(desired.release_id), desired.content_key)
            body = {"release": desired.release_id, "wrap": wrapped.hex(), "sizes": list(desired.sizes)}
        self._answers.frame(board_id, Kind.DESIRED, body, keys, retain=True)

    def publish_all(self) -> None:
        for board_id in self._boards.ids():
            self.publish(board_id)

    def end(self, board_id: str) -> None:
        """A revoked board: nothing is desired on it, and what was not finished has failed."""
        with self._database.session() as session:
            open_ones = select(models.Update).where(models.Update.board_id == board_id, ~models.Update.state.in_(ENDED))
            for update in session.scalars(open_ones).all():
                update.state, update.reason = "FAILED", "REVOKED"
                session.flush()
                _settle(session, update.release_id)
        with self._lock:
            self._desired.pop(board_id, None)
        self._answers.clear(topics.down(board_id, Kind.DESIRED))

    def progressed(self, board_id: str, release_id: str, share: float) -> None:
        """The board asked for bytes up to `share` (0 to 1) of the bundle."""
        self._progress[board_id] = (release_id, share)

    def progress(self, board_id: str, release_id: str) -> float:
        """0 when it has not begun since this process did."""
        known, share = self._progress.get(board_id, ("", 0.0))
        return share if known == release_id else 0.0

    def report(self, board_id: str, frame: Frame, keys: BoardKeys) -> None:
        """Notes what a board says. FrameError MALFORMED. Nobody waits for an answer; boards report again."""
        try:
            report = Report.model_validate_json(frame.plaintext)
        except ValidationError as error:
            raise FrameError(AckReason.MALFORMED, f"REPORT is not understood: {first_fault(error)}") from error
        with self._database.session() as session:
            board = find_board(session, board_id, lock=True)
            board.outbox, board.rejected, board.last_seen_at = report.outbox, report.rejected, self._boards.clock()
            if report.state:
                self._note(session, board, report)
            elif not report.release:
                board.release_id = ""
        log.info("board_report", board=board_id, **report.model_dump())

    def said_hello(self, board_id: str, hello: Hello) -> None:
        """A HELLO that is proven to be no replay: what the board runs, also when a REPORT was lost."""
        with self._database.session() as session:
            board = find_board(session, board_id, lock=True)
            board.firmware = hello.firmware
            board.release_id = hello.release
            if hello.release:
                report = Report(release=hello.release, state="COMMITTED", reason="")
                self._note(session, board, report)

    def _note(self, session: Session, board: models.Board, report: Report) -> None:
        update = session.get(models.Update, (report.release, board.id))
        if update is None:
            log.warning("report_of_unknown_release", board=board.id, release=report.release)
            return
        if report.state == "COMMITTED":
            board.release_id = report.release
        if update.state in ENDED and report.state not in ENDED and board.desired_release_id != report.release:
            return  # an older release on its way out
        update.state, update.reason = report.state, report.reason
        session.flush()
        _settle(session, report.release)

    @staticmethod
    def _supersede(session: Session, board: models.Board, present: models.Release | None) -> None:
        old = session.get(models.Update, (present.id, board.id)) if present else None
        if old is not None and old.state not in ENDED:
            old.state, old.reason = "FAILED", "SUPERSEDED"
            session.flush()
            _settle(session, old.release_id)

    def _read(self, board_id: str) -> Desired | None:
        with self._database.session(read_only=True) as session:
            board = session.get(models.Board, board_id)
            release = session.get(models.Release, board.desired_release_id) if board else None
            if release is None:
                return None
            sizes = (release.manifest_bytes, SIGNATURE_BYTES, release.payload_bytes)
            return Desired(release.id, sizes, self._vault.open(release.content_key))


def _settle(session: Session, release_id: str) -> None:
    """ROLLING_OUT becomes DONE when every board has committed or failed, and the reverse."""
    release = session.get_one(models.Release, release_id)
    if release.state not in ("ROLLING_OUT", "DONE"):
        return
    under_way = select(models.Update).where(models.Update.release_id == release_id, ~models.Update.state.in_(ENDED))
    release.state = "ROLLING_OUT" if session.scalars(under_way.limit(1)).first() else "DONE"
