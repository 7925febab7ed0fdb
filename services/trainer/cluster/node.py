"""The actor on a node. Standard library only, for it travels by value: the code it runs comes with the job.

FOLDER of the worker   job/    the job folder        code/   services/…
                       sent/   hard links that hold a changed file still while it is read
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["Block", "Changed", "Worker"]

Block = list[tuple[str, int, bytes]]  # file, offset, bytes
Changed = tuple[str, str, int]  # file relative to the job folder, name to read it by, size

_PREFIX = "boardloop-worker-"
_UNCHANGING = ("images/", "weights/")  # of a job folder: only read
_TAIL_BYTES = 400


class Worker:
    """Holds a copy of a job folder and runs one module on it. When nobody asks for `lease` seconds, it ends itself."""

    def __init__(self, lease: float) -> None:
        _clear()
        self._root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self._job = self._root / "job"
        for name in ("job", "code", "sent"):
            (self._root / name).mkdir()
        self._lease, self._asked = lease, time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._known: dict[str, tuple[int, int]] = {}
        self._links = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def hello(self, packages: tuple[str, ...]) -> dict[str, Any]:
        """Where this is, and which versions it has of the packages; "" = not installed."""
        versions = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
        for name in packages:
            try:
                versions[name] = importlib.metadata.version(name).partition("+")[0]
            except importlib.metadata.PackageNotFoundError:
                versions[name] = ""
        return {"host": socket.gethostname(), "versions": versions}

    def write(self, block: Block) -> None:
        """Put parts of files below the worker's folder. OSError when the disk is full."""
        self._asked = time.monotonic()
        for name, offset, data in block:
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if offset else "wb") as file:
                file.seek(offset)
                file.write(data)

    def start(self, module: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        """Run `python -m module JOB arguments…` with the code that was sent."""
        self._changes()  # what is there now is no news
        with (self._root / "stderr").open("wb") as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(self._job), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=words,
                cwd=self._job,  # the configuration names the weights relative to it
                env=os.environ | {"PYTHONPATH": str(self._root / "code")} | environment,
            )
        threading.Thread(target=self._read, daemon=True).start()

    def poll(self, wait: float) -> tuple[list[bytes], list[Changed], int | None]:
        """Lines printed and files changed since the last call, within `wait` seconds; the exit status, once ended."""
        self._asked = time.monotonic()
        assert self._process is not None
        lines = []
        with contextlib.suppress(queue.Empty):
            lines.append(self._lines.get(timeout=wait))
            while True:
                lines.append(self._lines.get_nowait())
        ended = b"" in lines  # after it nothing is printed or written any more
        status = self._process.wait() if ended else None
        return [line for line in lines if line], self._changes(), status

    def read(self, name: str, offset: int, length: int) -> bytes:
        """A part of a changed file."""
        with (self._root / "sent" / name).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def address(self) -> tuple[str, int]:
        """Where the workers of a group meet: this node's address in the cluster, and a port that is free now."""
        import ray

        host = str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
        with socket.create_server((host, 0)) as server:
            return host, int(server.getsockname()[1])

    def tail(self) -> str:
        """The end of what the module said on stderr."""
        return (self._root / "stderr").read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()

    def stop(self) -> None:
        """Ask the module to end after its current step."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Kill the module and leave nothing on the disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._root, ignore_errors=True)

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _watch(self) -> None:
        while time.monotonic() - self._asked < self._lease:
            time.sleep(1)
        self.end()
        os._exit(1)

    def _changes(self) -> list[Changed]:
        """Links to the files that changed. A best.pt is never older than the last.pt that it comes with."""
        found = []
        for path in sorted(self._job.rglob("*"), key=lambda path: path.name != "last.pt"):
            name = path.relative_to(self._job).as_posix()
            if name.startswith(_UNCHANGING) or path.suffix == ".part":
                continue
            with contextlib.suppress(FileNotFoundError):
                state = path.stat()
                if not path.is_file() or self._known.get(name) == (state.st_mtime_ns, state.st_size):
                    continue
                self._links += 1
                link = self._root / "sent" / str(self._links)
                os.link(path, link)
                self._known[name] = (state.st_mtime_ns, state.st_size)
                found.append((name, link.name, link.stat().st_size))
        return found[::-1]


def _clear() -> None:
    """Remove the folders of workers on this node that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = re.match(rf"{_PREFIX}(\d+)-", path.name)
        if owner and not Path("/proc", owner[1]).exists():
            shutil.rmtree(path, ignore_errors=True)
