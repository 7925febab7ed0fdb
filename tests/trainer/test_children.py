from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import FailedPrecondition
from services.trainer.children import Child, ChildKilled


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Starts a module with the given code."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def start(code: str) -> Child:
        (tmp_path / "worker_under_test.py").write_text(f"import os, signal, sys, time\n{code}\n")
        return Child("worker_under_test", stderr=tmp_path / "stderr.log")

    return start


def test_events_come_in_order_and_other_lines_are_skipped(child) -> None:  # type: ignore[no-untyped-def]
    code = 'for line in (\'{"type": "a"}\', \'a library says hello\', \'{"type": "b"}\'): print(line)'
    events = list(child(code).events())
    assert [event["type"] for event in events] == ["a", "b"]


def test_a_told_error_keeps_its_reason_and_fix(child) -> None:  # type: ignore[no-untyped-def]
    code = 'print(\'{"type": "error", "reason": "R", "message": "went wrong.", "fix": "Mend it."}\'); sys.exit(1)'
    with pytest.raises(FailedPrecondition, match=r"went wrong\. Mend it\.") as caught:
        list(child(code).events())
    assert caught.value.reason == "R"


def test_a_crash_shows_the_end_of_its_stderr(child) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FailedPrecondition, match="ZeroDivisionError"):
        list(child("1 / 0").events())


def test_a_killed_child_is_told_apart_from_a_failed_one(child) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ChildKilled, match="signal 9"):
        list(child("os.kill(os.getpid(), signal.SIGKILL)").events())


def test_a_child_ends_when_its_parent_is_gone(child) -> None:  # type: ignore[no-untyped-def]
    started = child("while True: print('{}', flush=True)")
    assert started._process.stdout is not None
    started._process.stdout.close()  # what the death of the parent does to the pipe
    assert started._process.wait(30) == 1
    assert "BrokenPipeError" in started._stderr.read_text()


def test_an_abandoned_stream_of_events_ends_the_child(child) -> None:  # type: ignore[no-untyped-def]
    started = child('while True: print(\'{"type": "x"}\', flush=True)')
    events = started.events()
    next(events)
    events.close()
    assert started._process.returncode == -9
