"""What goes out to a node: both files of weights, named where they lie there."""

from __future__ import annotations

import json
from pathlib import Path

from services.trainer.cluster.shipping import blocks


def shipped(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for block in blocks(folder, threads=3):
        for name, offset, data in block:
            assert offset == len(files.get(name, b""))
            files[name] = files.get(name, b"") + data
    return files


def test_the_weights_of_network_and_teacher_travel(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    named = {"weights": tmp_path / "net.pb", "distil_weights": tmp_path / "large.pth"}
    for name, path in named.items():
        path.write_text(name)
    (folder / "config.json").write_text(json.dumps({field: str(path) for field, path in named.items()}))
    files = shipped(folder)
    assert files["job/weights/net.pb"] == b"weights" and files["job/weights/large.pth"] == b"distil_weights"
    told = json.loads(files["job/config.json"])
    assert told == {"weights": "weights/net.pb", "distil_weights": "weights/large.pth", "threads": 3}


def test_weights_inside_the_folder_go_with_it(tmp_path: Path) -> None:
    (tmp_path / "start.pt").write_bytes(b"a model")
    (tmp_path / "config.json").write_text(json.dumps({"weights": str(tmp_path / "start.pt"), "threads": 1}))
    files = shipped(tmp_path)
    assert files["job/start.pt"] == b"a model" and "job/weights/start.pt" not in files
    assert json.loads(files["job/config.json"]) == {"weights": "start.pt", "threads": 1}
