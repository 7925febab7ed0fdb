"""`python -m services.trainer.workers COUNT MODULE FOLDER arguments…`: one task by several processes of this machine.

The first works in FOLDER and speaks; the others have the same input and files of their own in FOLDER/.workers. When one
dies, all begin again after the last finished epoch. SIGTERM goes to the first, which tells the others.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from services.trainer.children import ChildKilled, error_event

RETRIES = 3  # in a row without a finished epoch
_FOLDER = ".workers"
_ENDING_SECONDS = 30.0
_LOCALHOST = "127.0.0.1"


class Workers:
    """The processes of one attempt."""

    def __init__(self, count: int, module: str, folder: Path, arguments: Sequence[str]) -> None:
        shutil.rmtree(folder / _FOLDER, ignore_errors=True)
        ranks = {"WORLD_SIZE": str(count), "MASTER_ADDR": _LOCALHOST, "MASTER_PORT": str(_free_port())}
        self.progressed = self._told = False
        self._processes = []
        for rank in range(count):
            own = _folder(folder, rank)
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", module, str(own), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL if rank else subprocess.PIPE,
                    env=os.environ | ranks | {"RANK": str(rank)},
                )
            )

    def stop(self) -> None:
        self._processes[0].terminate()

    def follow(self) -> int | None:
        """Passes on what the first says; its status, or None when a process died without a word."""
        first = self._processes[0]
        assert first.stdout is not None
        try:
            for line in first.stdout:
                self.progressed = self.progressed or b'"type": "epoch"' in line
                self._told = self._told or b'"type": "error"' in line
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            status = first.wait()
            died = any((process.poll() or 0) < 0 for process in self._processes)
            return None if died and not self._told else status
        finally:
            self.end()

    def end(self) -> None:
        """The others end with the first; what does not is ended."""
        for process in self._processes:
            try:
                process.wait(_ENDING_SECONDS if self._processes[0].poll() == 0 else 0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main(count: int, module: str, folder: Path, arguments: Sequence[str]) -> int:
    """0 when done; what the first process ended with, of a failure."""
    stopped: list[int] = []
    running: list[Workers] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        if running:
            running[-1].stop()

    signal.signal(signal.SIGTERM, stop)
    failures = 0
    while True:
        running.append(Workers(count, module, folder, arguments))
        if stopped:
            running[-1].stop()
        status = running[-1].follow()
        if status is not None:
            return status
        failures = 1 if running[-1].progressed else failures + 1
        if failures > RETRIES or stopped:
            break
        message = f"A worker process died. All go on from the last finished epoch (attempt {failures} of {RETRIES})."
        print(json.dumps({"type": "log", "message": message}), flush=True)
    fix = "Resume the job; when it happens again, choose fewer workers, or a smaller batch or input."
    died = ChildKilled("WORKER_DIED", "Worker processes died (out of memory?), and no attempt is left.", fix=fix)
    print(json.dumps(error_event(died)), flush=True)
    return 1


def _folder(folder: Path, rank: int) -> Path:
    """The job folder of a rank: input by link, checkpoints of its own."""
    if rank == 0:
        return folder
    own = folder / _FOLDER / str(rank)
    own.mkdir(parents=True)
    for path in folder.iterdir():
        if path.is_dir() and path.name in ("plain", "teacher", "student"):  # the phases of a distillation
            shutil.copytree(path, own / path.name)
        elif path.suffix == ".pt":
            shutil.copyfile(path, own / path.name)
        elif path.name != _FOLDER and path.suffix not in (".part", ".log"):
            (own / path.name).symlink_to(path)
    return own


def _free_port() -> int:
    with socket.create_server((_LOCALHOST, 0)) as server:
        port: int = server.getsockname()[1]
    return port


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).resolve(), sys.argv[4:]))
