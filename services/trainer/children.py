"""A child process of a job: it prints one JSON event a line and ends with 0, or with an "error" event and 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import services
from services.common import errors
from services.common.errors import BoardloopError, FailedPrecondition, Unavailable

__all__ = ["ENVIRONMENT", "Child", "ChildKilled", "Event", "error_event"]

Event = dict[str, Any]
_STDERR_TAIL = 400
ENVIRONMENT = {
    # torch's threads else spin while they wait for each other: beside other busy processes a training took 4 times as
    # long, a conversion 10 times
    "OMP_WAIT_POLICY": "PASSIVE",
    # activations of some MB come and go in every step: kept by malloc, in huge pages, instead of asked of the kernel
    # and filled with zeros each time, a step takes an eighth less; in one arena, as those of further threads keep
    # nothing above 64 MB
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1073741824"
    ":glibc.malloc.trim_threshold=4294967296:glibc.malloc.arena_max=1",
}


class ChildKilled(Unavailable):
    """The child died without a word: killed from outside, or out of memory."""


class Child:
    """Runs `python -m module arguments…`. When the parent dies, it ends: its next event finds the pipe closed."""

    def __init__(self, module: str, *arguments: str, stderr: Path) -> None:
        self._stderr = stderr
        self._killed = threading.Event()
        root = str(Path(next(iter(services.__path__))).parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        with stderr.open("wb") as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=words,
                env=ENVIRONMENT | os.environ | {"PYTHONPATH": path},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def events(self) -> Iterator[Event]:
        """Every event but "error", until the child has ended.

        ChildKilled: it was killed. The error that it told. FailedPrecondition (WORKER_CRASHED): it crashed, with the
        end of its stderr.
        """
        error: Event | None = None
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                event = _parsed(line)
                if event.get("type") == "error":
                    error = event
                elif event:
                    yield event
            status = self._process.wait()
        finally:
            self.kill()
            self._process.stdout.close()
        if error is not None:
            raise _rebuilt(error)
        if status < 0:
            raise ChildKilled(
                "WORKER_DIED",
                f"The worker process was killed by signal {-status} (9 can mean: out of memory).",
                fix="Resume the job; when it dies again, choose a smaller batch or input.",
            )
        if status:
            tail = self._stderr.read_bytes()[-_STDERR_TAIL:].decode(errors="replace").strip()
            raise FailedPrecondition("WORKER_CRASHED", f"The worker process ended with status {status}: …{tail}")

    def stop(self) -> None:
        """Ask it to end after the current step."""
        self._process.terminate()

    def kill(self) -> None:
        """End it now and wait until it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def error_event(error: BoardloopError) -> Event:
    """How a child tells its parent of an error before it ends with 1."""
    told = {"reason": error.reason, "message": error.message, "fix": error.fix, "metadata": error.metadata}
    return {"type": "error", "kind": type(error).__name__, **told}


def _rebuilt(event: Event) -> BoardloopError:
    name = event.get("kind", "")
    kind = ChildKilled if name == ChildKilled.__name__ else FailedPrecondition
    kind = getattr(errors, name) if name in errors.__all__ else kind
    told: BoardloopError = kind(event["reason"], event["message"], fix=event["fix"], **event.get("metadata", {}))
    return told


def _parsed(line: bytes) -> Event:
    """A line that is no event (a library's print) is skipped."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
