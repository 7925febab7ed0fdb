"""Releases: a model of the trainer becomes a signed, encrypted bundle for a project's boards.

CreateRelease ──(key on the server)──────────────────────> ROLLING_OUT ──every board ended──> DONE
      └────────(key elsewhere)──> AWAITING_SIGNATURE ──SubmitSignature──^
"""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.common.database import Database
from services.common.errors import BoardloopError, FailedPrecondition, InvalidInput, NotFound
from services.common.frames import Part
from services.common.logs import logger
from services.common.objects import ObjectStore
from services.deployer import models
from services.deployer.boards import Boards, find_board
from services.deployer.bundle import Ingredients, TrainerModels, build, part_key
from services.deployer.pairing import check_name
from services.deployer.rollouts import Rollouts
from services.deployer.signing import Signer
from services.deployer.vault import Vault

__all__ = ["DEFAULT_TARGET", "Releases"]

log = logger(__name__)

DEFAULT_TARGET = "k210-kmodel-v3"


class Releases:
    """One release is made at a time: its counter must be above all before it."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        boards: Boards,
        vault: Vault,
        signer: Signer,
        trainer: TrainerModels,
        rollouts: Rollouts,
    ) -> None:
        self._database = database
        self._store = store
        self._boards = boards
        self._vault = vault
        self._signer = signer
        self._trainer = trainer
        self._rollouts = rollouts
        self._lock = threading.Lock()

    def create(
        self, project_id: str, model_id: str, target: str, name: str, board_ids: list[str], expires_at: datetime | None
    ) -> str:
        """The new release's id. `board_ids` empty: every board of the project that has the target's type.

        InvalidInput: name, expiry, a board of another project or type. FailedPrecondition: NO_MATCHING_BOARDS,
        MODEL_NOT_CONVERTED, BOARD_REVOKED. NotFound: model, target or board. Unavailable: trainer or store.
        """
        if expires_at is not None and expires_at <= self._boards.clock():
            message = f"The release would have expired at {expires_at.isoformat()}, before it is made."
            raise InvalidInput("EXPIRES_IN_THE_PAST", message, fix="Choose a later time or none.")
        if name:
            check_name(name, "release")
        made_of = self._trainer.gather(project_id, model_id, target)
        with self._lock:
            with self._database.session(read_only=True) as session:
                chosen = _choose(session, project_id, made_of.board_type, board_ids)
                highest = select(func.max(models.Release.counter)).where(models.Release.project_id == project_id)
                counter = (session.scalar(highest) or 0) + 1
            release = models.Release(
                id=secrets.token_hex(16),
                project_id=project_id,
                model_id=model_id,
                target=target,
                name=name or made_of.model_name[:64] or model_id,
                board_type=made_of.board_type,
                counter=counter,
                state="AWAITING_SIGNATURE",
                created_at=self._boards.clock(),
            )
            self._store_bundle(release, made_of, chosen, expires_at)
        log.info("release_made", release=release.id, project=project_id, counter=counter, boards=len(chosen))
        if self._signer.can_sign:
            self._sign(release.id)
        return release.id

    def submit(self, release_id: str, signature: bytes) -> None:
        """Takes a signature made elsewhere; the same one again changes nothing. InvalidInput (BAD_SIGNATURE)."""
        manifest = self.manifest(release_id)
        self._signer.check(manifest, signature)
        self._roll_out(release_id, signature)

    def manifest(self, release_id: str) -> bytes:
        """The exact bytes to sign. NotFound (UNKNOWN_RELEASE)."""
        with self._database.session(read_only=True) as session:
            find_release(session, release_id)
        return self._store.get(part_key(release_id, Part.MANIFEST))

    def _sign(self, release_id: str) -> None:
        self._roll_out(release_id, self._signer.sign(self.manifest(release_id)))

    def _roll_out(self, release_id: str, signature: bytes) -> None:
        key = part_key(release_id, Part.SIGNATURE)
        with self._lock:
            with self._database.session(read_only=True) as session:
                state = find_release(session, release_id).state
            if state != "AWAITING_SIGNATURE":
                return  # PKCS#1 v1.5 is deterministic: a signature that checks is the one we have
            self._store.put(key, signature)
            with self._database.session() as session:
                begun = self._rollouts.start(session, find_release(session, release_id))
        for board_id in begun:
            self._rollouts.publish(board_id)
        log.info("release_rolling_out", release=release_id, boards=len(begun))

    def _store_bundle(
        self, release: models.Release, made_of: Ingredients, board_ids: list[str], expires_at: datetime | None
    ) -> None:
        """First the objects, then the rows: no row ever names an object that is not there."""
        content_key = secrets.token_bytes(32)
        bundle = build(made_of, release.id, release.name, release.counter, expires_at, content_key)
        release.manifest_bytes, release.payload_bytes = len(bundle.manifest), len(bundle.payload)
        release.content_key = self._vault.seal(content_key)
        parts = {Part.MANIFEST: bundle.manifest, Part.PAYLOAD: bundle.payload}
        try:
            for part, data in parts.items():
                self._store.put(part_key(release.id, part), data)
            with self._database.session() as session:
                session.add(release)
                session.flush()
                for board_id in board_ids:
                    session.add(models.Update(release_id=release.id, board_id=board_id, state="WAITING"))
        except BoardloopError:
            for part in parts:
                with suppress(BoardloopError):
                    self._store.delete(part_key(release.id, part))
            raise


def find_release(session: Session, release_id: str) -> models.Release:
    """NotFound (UNKNOWN_RELEASE)."""
    row = session.get(models.Release, release_id)
    if row is None:
        message = f"There is no release {release_id!r}."
        raise NotFound("UNKNOWN_RELEASE", message, fix="Choose one of the project's releases.")
    return row


def _choose(session: Session, project_id: str, board_type: str, board_ids: list[str]) -> list[str]:
    """The boards a release is meant for."""
    if board_ids:
        for board_id in board_ids:
            _fits(find_board(session, board_id), project_id, board_type)
        return list(dict.fromkeys(board_ids))
    ours = select(models.Board.id).where(
        models.Board.project_id == project_id, models.Board.board_type == board_type, models.Board.revoked.is_(False)
    )
    found = list(session.scalars(ours))
    if not found:
        message = f"Project {project_id!r} has no board of type {board_type}."
        raise FailedPrecondition("NO_MATCHING_BOARDS", message, fix="Pair one on the Boards page.")
    return found


def _fits(board: models.Board, project_id: str, board_type: str) -> None:
    if board.project_id != project_id:
        message = f"Board {board.id} belongs to project {board.project_id!r}, not to {project_id!r}."
        raise InvalidInput("BOARD_OF_OTHER_PROJECT", message, fix="Choose boards of this project.")
    if board.board_type != board_type:
        message = f"Board {board.id} is a {board.board_type}; the model's file is for {board_type}."
        raise InvalidInput("WRONG_BOARD_TYPE", message, fix="Choose a target for this board.")
    if board.revoked:
        raise FailedPrecondition("BOARD_REVOKED", f"Board {board.id} is revoked.", fix="Pair it again first.")
