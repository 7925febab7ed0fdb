"""Our end of the worker: requests, answers, time limits, and what its crashes mean."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from services.common.errors import DeadlineExceeded, UnsupportedModel
from services.trainer.convert.kmodel_v5.environment import WORKER, clean_environment, environment

__all__ = ["Worker"]

LAST_LINES, LAST_BYTES = 3, 4096


class Worker:
    """A Python 3.10 with nncase `version`, running until `close` or until nobody holds it any more."""

    def __init__(self, version: str) -> None:
        """Errors: see `environment`."""
        python = environment(version)
        self.version = version
        self._folder = tempfile.TemporaryDirectory(prefix="boardloop-nncase-")
        self.folder = Path(self._folder.name)
        self._words = self.folder / "stderr"
        with self._words.open("wb") as words:
            self._process = subprocess.Popen(
                [str(python), "-I", str(WORKER), "serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                env=clean_environment(),
                cwd=self.folder,
            )
        self.pid = self._process.pid
        self.close = weakref.finalize(self, _end, self._process, self._folder)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, do: str, limit_seconds: float, **request: Any) -> dict[str, Any]:
        """The answer to one request. Afterwards the worker is good for another, unless it died.

        UnsupportedModel: nncase refuses the network or the file, or aborts on it (with its last words).
        DeadlineExceeded: no answer within the limit; the worker is killed.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(limit_seconds, end)
        timer.start()
        try:
            self._process.stdin.write(json.dumps({"do": do} | request, default=str).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            timer.cancel()
        if late.is_set():
            raise DeadlineExceeded(
                "NNCASE_TOO_SLOW",
                f"nncase {self.version} gave no answer ({do}) within {limit_seconds:.0f} s.",
                fix="Give fewer calibration images or a smaller network, or try again on an idle machine.",
            )
        if not line:
            raise self._refused(f"it ended {self._how()} ({do}): {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise self._refused(str(answer["error"]))
        return answer

    def _how(self) -> str:
        code = self._process.wait()
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"

    def _last_words(self) -> str:
        lines = self._words.read_bytes()[-LAST_BYTES:].decode(errors="replace").strip().splitlines()
        return " / ".join(lines[-LAST_LINES:]) or "no message"

    def _refused(self, words: str) -> UnsupportedModel:
        return UnsupportedModel(
            "NNCASE_REFUSED",
            f"nncase {self.version} does not take this model: {words}",
            fix="Use the layers that docs/targets.md lists for this target, or convert to k210-kmodel-v3.",
        )


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
    folder.cleanup()
