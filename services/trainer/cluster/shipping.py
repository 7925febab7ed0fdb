"""A job folder and the code to work on it, in blocks to a node; what changes there, back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import services
from services.trainer.cluster.node import Block

__all__ = ["BLOCK_BYTES", "blocks", "stored"]

BLOCK_BYTES = 8 * 2**20  # so much of a folder is in memory at a time
_CODE = ("trainer", "common", "rpc")  # the packages that a task's process imports
_WEIGHTS = ("weights", "distil_weights")  # fields of config.json
_LEFT_OUT = (".part", ".log", ".pyc")


def blocks(folder: Path, threads: int) -> Iterator[Block]:
    """Everything a worker writes below its folder: job/… with its weights, code/services/…

    config.json goes out with weights named relative to the job folder, and `threads` where it says 0.
    """
    block: Block = []
    size = 0
    for name, source in _files(folder):
        content = _config(folder, threads) if name == "job/config.json" else None
        for offset, data in _parts(source, content):
            block.append((name, offset, data))
            size += len(data)
            if size >= BLOCK_BYTES:
                yield block
                block, size = [], 0
    if block:
        yield block


def stored(folder: Path, name: str, parts: Iterator[bytes]) -> None:
    """A file that changed on the node, whole or not at all. ValueError for a name that leaves the folder."""
    path = folder / name
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise ValueError(f"a node sent {name!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        for data in parts:
            file.write(data)
    part.replace(path)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in _LEFT_OUT:
            yield f"job/{path.relative_to(folder).as_posix()}", path
    for path in set(_weights(folder).values()):
        if not path.is_relative_to(folder):
            yield f"job/weights/{path.name}", path
    root = Path(next(iter(services.__path__)))
    yield "code/services/__init__.py", root / "__init__.py"
    for package in _CODE:
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and path.suffix not in _LEFT_OUT:
                yield f"code/services/{path.relative_to(root).as_posix()}", path


def _parts(path: Path, content: bytes | None) -> Iterator[tuple[int, bytes]]:
    if content is not None:
        yield 0, content
        return
    with path.open("rb") as file:
        offset = 0
        while (data := file.read(BLOCK_BYTES)) or not offset:
            yield offset, data
            offset += len(data)
            if len(data) < BLOCK_BYTES:
                return


def _weights(folder: Path) -> dict[str, Path]:
    """The files of weights that the configuration names, by its field."""
    config = folder / "config.json"
    named = json.loads(config.read_text()) if config.exists() else {}
    return {field: Path(named[field]) for field in _WEIGHTS if named.get(field)}


def _config(folder: Path, threads: int) -> bytes:
    config = json.loads((folder / "config.json").read_text())
    for field, path in _weights(folder).items():
        inside = path.is_relative_to(folder)
        config[field] = path.relative_to(folder).as_posix() if inside else f"weights/{path.name}"
    config["threads"] = config.get("threads") or threads
    return json.dumps(config).encode()
