"""`python -m services.trainer.cluster FOLDER OPTIONS MODULE arguments…`: a child process like any, working elsewhere.

It ends with its parent, and Ray ends the workers of a driver that is gone; should neither be noticed, a worker ends
itself when nobody has asked for its events for a minute. SIGTERM is handed on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from services.common.errors import BoardloopError
from services.trainer.children import error_event
from services.trainer.cluster.connection import connect, watch
from services.trainer.cluster.driver import Driver, Stopped
from services.trainer.cluster.options import Options

_LOCK = threading.Lock()


def _print(line: bytes) -> None:
    with _LOCK:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


def _fail(error: BoardloopError) -> None:
    """Tell it and end, whatever Ray's threads are waiting for."""
    _print(json.dumps(error_event(error)).encode() + b"\n")
    os._exit(1)


def _end_with_parent() -> None:
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def main(folder: Path, options: Options, module: str, arguments: tuple[str, ...]) -> int:
    """Events on stdout, as the module prints them; exit status as services.trainer.children expects."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
    _end_with_parent()

    def say(message: str) -> None:
        _print(json.dumps({"type": "log", "message": message}).encode() + b"\n")

    try:
        ray = connect(options)
        signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))  # Ray has put its own in place
        watch(options, _fail)
        status = Driver(ray, options, say, _print, lambda: bool(stop)).run(folder, module, arguments)
        ray.shutdown()
        return status
    except Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    except BoardloopError as error:
        _fail(error)
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Options.model_validate_json(sys.argv[2]), sys.argv[3], tuple(sys.argv[4:])))
