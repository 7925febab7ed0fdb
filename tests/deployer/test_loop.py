"""A board from its code to a running model, over both brokers and both databases."""

from __future__ import annotations

import math

import pytest

from services.common.frames import Kind
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb
from tests.deployer.board import PATIENCE, receive
from tests.deployer.conftest import Site, wait_for
from tests.deployer.trainer import INPUTS, MODEL, OUTPUTS


def test_from_code_to_committed_release(site: Site) -> None:
    board = site.paired()
    site.until(board, lambda b: b.state == pb.BOARD_STATE_ONLINE, "online")
    made = site.release(name="first")
    assert (made.counter, made.state, made.target) == (1, pb.RELEASE_STATE_ROLLING_OUT, "k210-kmodel-v3")

    desired = next(d for d in iter(lambda: board.desired.get(timeout=PATIENCE), None) if d["release"])
    assert desired["release"] == made.id
    board.report("DOWNLOADING", made.id)
    got = receive(board, desired, block=2048)
    assert got.model == MODEL
    assert got.golden == b"".join(INPUTS)
    assert got.manifest["golden"]["outputs"] == OUTPUTS
    assert got.manifest["labels"] == ["functional", "defective"]
    assert (got.manifest["board_type"], got.manifest["format"], got.manifest["counter"]) == ("k210", "kmodel_v3", 1)
    assert got.manifest["input"] == {"width": 32, "height": 32, "channels": 3}
    assert site.get(board).update_progress == 1.0

    board.report("TRYING", made.id)
    board.disconnect()
    assert board.connect() == 0
    board.release, board.counter = made.id, 1
    board.hello()
    board.report("COMMITTED", made.id)
    after = site.until(board, lambda b: b.release_id == made.id, "committed")
    assert after.update_state == pb.UPDATE_STATE_COMMITTED
    done = site.get_release(made)
    assert done.state == pb.RELEASE_STATE_DONE
    assert [(one.board_id, one.state) for one in done.boards] == [(board.id, pb.UPDATE_STATE_COMMITTED)]

    board.send_json(
        Kind.RESULT,
        {"release": made.id, "scores": [[0, 0.9]], "logits": [2.51, -0.11], "frame": "00" * 8, "ms": 41},
    )
    (result,) = wait_for(
        lambda: site.boards.ListResults(pb.ListResultsRequest(project_id=site.project)).results, "the result"
    )
    assert (result.board_id, result.release_id, result.top, result.milliseconds) == (board.id, made.id, 0, 41)
    assert list(result.logits) == [2.51, -0.11]
    assert result.score == pytest.approx(1 / (1 + math.exp(-2.62)))
