from __future__ import annotations

import errno

import pytest

from services.common.errors import Unavailable
from services.trainer.children import ChildKilled
from services.trainer.jobs import _outcome
from services.trainer.pipeline import Aborted, Run


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (Aborted(), "STOPPED", ""),
        (ChildKilled("WORKER_DIED", "killed by signal 9."), "INTERRUPTED", "signal 9"),
        (Unavailable("COLLECTOR_AWAY", "The collector is away.", fix="Start it."), "FAILED", "Start it"),
        (OSError(errno.ENOSPC, "No space left on device", "jobs/x.jpg"), "FAILED", "Free space"),
        (KeyError("surprise"), "FAILED", "surprise"),
    ],
)
def test_every_end_has_its_state_and_words(error: Exception, state: str, words: str) -> None:
    told_state, told_words = _outcome(error, Run("job"))
    assert told_state == state and words in told_words


def test_whatever_breaks_when_the_server_ends_is_an_interruption() -> None:
    run = Run("job")
    run.kill()
    assert _outcome(KeyError("child"), run)[0] == "INTERRUPTED"
