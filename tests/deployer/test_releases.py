"""Releases: who gets them, who signs them, what is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.errors import BoardloopError, FailedPrecondition, InvalidInput, NotFound, UnsupportedModel
from services.common.frames import Kind
from services.deployer.signing import sign_manifest
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb
from tests.deployer.board import PATIENCE, Board, receive
from tests.deployer.conftest import RELEASE_KEY, Site
from tests.deployer.trainer import MODEL, FakeTrainer

COMMITTED, FAILED, WAITING = pb.UPDATE_STATE_COMMITTED, pb.UPDATE_STATE_FAILED, pb.UPDATE_STATE_WAITING


def desired(board: Board, release_id: str) -> dict[str, Any]:
    """The DESIRED of this release; older ones before it are passed over."""
    while (got := board.desired.get(timeout=PATIENCE))["release"] != release_id:
        pass
    return got


def states(release: pb.Release) -> dict[str, tuple[int, str]]:
    return {one.board_id: (one.state, one.reason) for one in release.boards}


def test_counters_rise_in_a_project(embedded_site: Site) -> None:
    embedded_site.paired()
    assert [embedded_site.release().counter for _ in range(3)] == [1, 2, 3]
    listed = embedded_site.releases.ListReleases(pb.ListReleasesRequest(project_id=embedded_site.project)).releases
    assert [one.counter for one in listed] == [3, 2, 1]


def test_one_ciphertext_serves_all_and_each_key_is_wrapped_for_one(site: Site) -> None:
    one, two = site.paired(), site.paired()
    made = site.release()
    mine, other = desired(one, made.id), desired(two, made.id)
    assert mine["wrap"] != other["wrap"] and mine["sizes"] == other["sizes"]
    assert receive(one, mine).model == receive(two, other).model == MODEL
    with pytest.raises(AssertionError):
        receive(two, mine)


def test_a_release_is_for_the_boards_that_are_named(embedded_site: Site) -> None:
    one, two = embedded_site.paired(), embedded_site.paired()
    made = embedded_site.release(board_ids=[two.id, two.id])
    assert states(made) == {two.id: (WAITING, "")}
    assert embedded_site.get(one).desired_release_id == ""


def test_without_names_it_is_for_the_boards_of_its_type(embedded_site: Site) -> None:
    k210 = embedded_site.paired()
    embedded_site.paired(board_type="v831")
    assert set(states(embedded_site.release())) == {k210.id}


def test_desired_is_kept_for_a_board_that_comes_later_and_over_restarts(site: Site) -> None:
    board = site.paired()
    board.disconnect()
    made = site.release()
    site.restart()
    assert board.connect() == 0
    board.hello()
    assert receive(board, desired(board, made.id)).model == MODEL


def test_a_board_paired_anew_gets_the_key_wrapped_for_its_new_keys(site: Site) -> None:
    old = site.paired()
    made = site.release()
    new = site.board(site.code(board_id=old.id)).pair()
    assert receive(new, desired(new, made.id)).model == MODEL


def test_a_board_that_lost_its_model_is_known_to_have_none(embedded_site: Site) -> None:
    old = embedded_site.paired()
    made = embedded_site.release()
    old.report("COMMITTED", made.id)
    embedded_site.until(old, lambda b: b.release_id == made.id, "committed")
    new = embedded_site.board(embedded_site.code(board_id=old.id)).pair()
    new.report()
    embedded_site.until(new, lambda b: b.release_id == "", "no release")
    new.report("DOWNLOADING", made.id)
    embedded_site.until(new, lambda b: b.update_state == pb.UPDATE_STATE_DOWNLOADING, "downloading again")
    assert embedded_site.get_release(made).state == pb.RELEASE_STATE_ROLLING_OUT


def test_a_board_that_was_still_pairing_gets_its_release_afterwards(site: Site) -> None:
    board = site.board()
    made = site.release()
    board.pair()
    assert receive(board, desired(board, made.id)).model == MODEL


def test_a_newer_release_supersedes_the_older(site: Site) -> None:
    board = site.paired()
    first, second = site.release(), site.release()
    assert desired(board, second.id)
    assert states(site.get_release(first)) == {board.id: (FAILED, "SUPERSEDED")}
    assert site.get_release(first).state == pb.RELEASE_STATE_DONE
    answer = board.pull(first.id, 0, 0, 100)
    assert (answer.kind, answer.body["reason"]) == (Kind.ACK, "MALFORMED")


def test_a_release_is_done_when_every_board_has_ended(site: Site) -> None:
    one, two = site.paired(), site.paired()
    made = site.release()
    one.report("COMMITTED", made.id)
    site.until(one, lambda b: b.update_state == COMMITTED, "committed")
    assert site.get_release(made).state == pb.RELEASE_STATE_ROLLING_OUT
    two.report("FAILED", made.id, "GOLDEN_MISMATCH")
    site.until(two, lambda b: b.update_state == FAILED, "failed")
    done = site.get_release(made)
    assert done.state == pb.RELEASE_STATE_DONE
    assert states(done) == {one.id: (COMMITTED, ""), two.id: (FAILED, "GOLDEN_MISMATCH")}
    assert site.get(two).release_id == ""


def test_a_revoked_board_holds_no_release_up(site: Site) -> None:
    board, other = site.paired(), site.paired()
    made = site.release()
    site.boards.RevokeBoard(pb.RevokeBoardRequest(board_id=board.id))
    other.report("COMMITTED", made.id)
    site.until(other, lambda b: b.update_state == COMMITTED, "committed")
    assert site.get_release(made).state == pb.RELEASE_STATE_DONE
    assert states(site.get_release(made))[board.id] == (FAILED, "REVOKED")


# ---------------------------------------------------------------------- pulling


def test_a_pull_is_answered_only_inside_the_desired_bundle(embedded_site: Site) -> None:
    board = embedded_site.paired()
    made = embedded_site.release()
    sizes = desired(board, made.id)["sizes"]
    last = board.pull(made.id, 2, sizes[2] - 10, 2048)
    assert len(last.plaintext) == 21 + 10, "a range over the end is cut there"
    wrong = [(made.id, 2, sizes[2], 1), (made.id, 1, 384, 1), (made.id, 0, 0, 0), (made.id, 0, 0, 70000),
             (made.id, 3, 0, 1), ("ab" * 16, 0, 0, 1)]  # fmt: skip
    for release, part, offset, length in wrong:
        answer = board.pull(release, part, offset, length)
        assert (answer.kind, answer.body) == (Kind.ACK, {"for": "", "reason": "MALFORMED"})
        assert answer.sequence == board.sequence
    board.send(Kind.PULL, struct.pack(">16sB", bytes(16), 0))
    assert board.answer(Kind.ACK).body["reason"] == "MALFORMED"


def test_large_blocks_for_boards_that_can(embedded_site: Site) -> None:
    board = embedded_site.paired()
    made = embedded_site.release()
    assert receive(board, desired(board, made.id), block=60 * 1024).model == MODEL


def test_a_fleet_costs_the_store_one_read_a_segment(embedded_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = [embedded_site.paired() for _ in range(3)]
    made = embedded_site.release()
    store, reads = embedded_site.deployer._store, []
    read = store.read
    monkeypatch.setattr(store, "read", lambda *asked: reads.append(asked) or read(*asked))
    for board in fleet:
        receive(board, desired(board, made.id))
    assert len(reads) == len(set(reads)) == 4  # manifest, signature and two segments of the payload


def test_a_store_that_lost_the_payload_is_unavailable(embedded_site: Site) -> None:
    board = embedded_site.paired()
    made = embedded_site.release()
    embedded_site.deployer._store.delete(f"releases/{made.id}/payload")
    assert board.pull(made.id, 2, 0, 100).body["reason"] == "UNAVAILABLE"


# ---------------------------------------------------------------------- what is refused


def refused(kind: type[BoardloopError], reason: str, call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.reason == reason
    assert caught.value.fix or kind is NotFound
    return caught.value.message


def test_what_cannot_be_released_says_why(embedded_site: Site, trainer: FakeTrainer) -> None:
    site = embedded_site
    board = site.paired()
    refused(NotFound, "UNKNOWN_MODEL", lambda: site.release(model_id="m9"))
    refused(NotFound, "UNKNOWN_TARGET", lambda: site.release(target="k999"))
    refused(FailedPrecondition, "MODEL_NOT_CONVERTED", lambda: site.release(target="v831-awnn-int8"))
    refused(InvalidInput, "MODEL_OF_OTHER_PROJECT", lambda: site.release(model_id="m1.other"))
    assert "aaaaaaaaaa" in refused(NotFound, "UNKNOWN_BOARD", lambda: site.release(board_ids=["aaaaaaaaaa"]))
    refused(InvalidInput, "BAD_NAME", lambda: site.release(name="x" * 65))
    past = Timestamp(seconds=1)
    refused(InvalidInput, "EXPIRES_IN_THE_PAST", lambda: site.release(expires_at=past))
    v831 = site.paired(board_type="v831")
    assert v831.id in refused(InvalidInput, "WRONG_BOARD_TYPE", lambda: site.release(board_ids=[v831.id]))
    site.boards.RevokeBoard(pb.RevokeBoardRequest(board_id=board.id))
    refused(FailedPrecondition, "BOARD_REVOKED", lambda: site.release(board_ids=[board.id]))
    refused(FailedPrecondition, "NO_MATCHING_BOARDS", lambda: site.release())
    assert not site.releases.ListReleases(pb.ListReleasesRequest(project_id=site.project)).releases


@pytest.mark.parametrize(
    ("target", "words"),
    [("k210-kmodel-v5", "k210 boards load kmodel_v3"), ("web-onnx", "no board of a fleet loads such files")],
)
def test_a_file_that_no_board_loads_is_refused_as_such(embedded_site: Site, target: str, words: str) -> None:
    embedded_site.paired()
    assert words in refused(InvalidInput, "NOT_FOR_BOARDS", lambda: embedded_site.release(target=target))


def test_a_v831_gets_its_own_format_with_room_for_its_rounding(
    embedded_site: Site, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "v831", "v831-awnn-int8")
    embedded_site.paired()
    board = embedded_site.paired(board_type="v831")
    made = embedded_site.release(target="v831-awnn-int8")
    assert set(states(made)) == {board.id}
    manifest = receive(board, desired(board, made.id)).manifest
    assert (manifest["board_type"], manifest["format"]) == ("v831", "awnn_int8")
    assert manifest["golden"]["tolerance"] == pytest.approx(2.51 * 4 / 127, abs=1e-6)


def test_a_board_of_another_project(embedded_site: Site) -> None:
    theirs = embedded_site.paired()
    embedded_site.project += "x"
    refused(InvalidInput, "BOARD_OF_OTHER_PROJECT", lambda: embedded_site.release(board_ids=[theirs.id]))


def test_what_boards_would_refuse_is_not_released(
    embedded_site: Site, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded_site.paired()
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "outputs", [[1.0], [2.0]])
        refused(UnsupportedModel, "MODEL_NOT_RELEASABLE", embedded_site.release)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "sha256", "00" * 32)
        refused(UnsupportedModel, "MODEL_NOT_RELEASABLE", embedded_site.release)
    labels = [f"label number {i} with a long name" for i in range(500)]
    monkeypatch.setattr(trainer, "labels", labels)
    monkeypatch.setattr(trainer, "outputs", [[0.5] * 500] * 2)
    assert "500 labels" in refused(InvalidInput, "MANIFEST_TOO_LARGE", embedded_site.release)
    listed = embedded_site.releases.ListReleases(pb.ListReleasesRequest(project_id=embedded_site.project))
    assert not listed.releases


def test_the_expiry_is_in_the_manifest(embedded_site: Site) -> None:
    board = embedded_site.paired()
    made = embedded_site.release(expires_at=Timestamp(seconds=2_000_000_000))
    assert receive(board, desired(board, made.id)).manifest["expires"] == 2_000_000_000


# ---------------------------------------------------------------------- the key elsewhere


@pytest.fixture
def external(make_site: Callable[..., Site], tmp_path: Path) -> Site:
    private = serialization.load_pem_private_key(RELEASE_KEY.read_bytes(), None)
    public = tmp_path / "public.pem"
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public.write_bytes(pem)
    return make_site(signing="external", signer_public_key=public, release_key=None)


def submit(site: Site, release: pb.Release, signature: bytes) -> pb.Release:
    request = pb.SubmitSignatureRequest(release_id=release.id, signature=signature)
    return site.releases.SubmitSignature(request).release


def manifest(site: Site, release: pb.Release) -> bytes:
    return bytes(site.releases.GetManifest(pb.GetManifestRequest(release_id=release.id)).manifest)


def test_a_release_waits_for_a_signature_made_elsewhere(external: Site) -> None:
    board = external.paired()
    made = external.release(model_id="m1.p")
    assert made.state == pb.RELEASE_STATE_AWAITING_SIGNATURE
    assert external.get(board).desired_release_id == ""
    signature = sign_manifest(manifest(external, made), RELEASE_KEY.read_bytes())
    external.restart()
    assert submit(external, made, signature).state == pb.RELEASE_STATE_ROLLING_OUT
    assert submit(external, made, signature).state == pb.RELEASE_STATE_ROLLING_OUT, "the same again changes nothing"
    board.hello()
    assert receive(board, desired(board, made.id)).model == MODEL
    assert not (external.settings.data_dir / "release_key.pem").exists()


def test_a_wrong_signature_is_refused_and_the_release_goes_on_waiting(external: Site, tmp_path: Path) -> None:
    external.paired()
    made = external.release(model_id="m1.p")
    right = sign_manifest(manifest(external, made), RELEASE_KEY.read_bytes())
    from cryptography.hazmat.primitives.asymmetric import rsa

    other = rsa.generate_private_key(65537, 3072).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    wrong = [
        sign_manifest(manifest(external, made), other),
        sign_manifest(manifest(external, made) + b" ", RELEASE_KEY.read_bytes()),
        right[:-1],
        b"",
    ]
    for signature in wrong:
        refused(InvalidInput, "BAD_SIGNATURE", lambda signature=signature: submit(external, made, signature))
    assert external.get_release(made).state == pb.RELEASE_STATE_AWAITING_SIGNATURE
    assert submit(external, made, right).state == pb.RELEASE_STATE_ROLLING_OUT


def test_a_release_signed_after_a_newer_one_takes_no_board_back(external: Site) -> None:
    board = external.paired()
    older, newer = external.release(model_id="m1.p"), external.release(model_id="m1.p")
    for made in (newer, older):
        submit(external, made, sign_manifest(manifest(external, made), RELEASE_KEY.read_bytes()))
    assert external.get(board).desired_release_id == newer.id
    assert states(external.get_release(older)) == {board.id: (FAILED, "SUPERSEDED")}
    assert external.get_release(older).state == pb.RELEASE_STATE_DONE


def test_a_release_that_does_not_exist(embedded_site: Site) -> None:
    ghost = pb.Release(id="ab" * 16)
    for call in (
        embedded_site.get_release,
        lambda r: manifest(embedded_site, r),
        lambda r: submit(embedded_site, r, b""),
    ):
        refused(NotFound, "UNKNOWN_RELEASE", lambda call=call: call(ghost))


def test_a_detector_is_refused_in_words(embedded_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded_site.paired()
    monkeypatch.setattr(embedded_site.trainer, "task", "detection")
    assert "classifies only" in refused(UnsupportedModel, "DETECTOR_NOT_RELEASABLE", embedded_site.release)
