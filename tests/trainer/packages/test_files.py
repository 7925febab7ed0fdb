"""The zip of every target that has no other."""

from __future__ import annotations

import json
from collections.abc import Callable

from services.trainer.convert import simulator
from services.trainer.packages import PackageContent, build
from tests.trainer.packages.conftest import unpack

Content = Callable[..., PackageContent]


def test_the_targets_files_come_with_labels_report_and_a_page_to_read(content: Content) -> None:
    pack = content("web-onnx")
    name, archive = build("files", pack)
    files = unpack(archive)
    assert name == "model-1f2e3d4c5b6a-files.zip"
    assert list(files) == ["README.txt", "model-1f2e3d4c5b6a.onnx", "labels.txt", "report.json"]
    assert simulator("web-onnx", files["model-1f2e3d4c5b6a.onnx"]).input_shape == (3, 32, 32)
    assert json.loads(files["report.json"])["boardloop"]["target"] == "web-onnx"


def test_the_page_says_what_goes_in_what_comes_out_and_what_loads_it(content: Content) -> None:
    text = unpack(build("files", content("web-onnx"))[1])["README.txt"].decode()
    for words in (
        "model-1f2e3d4c5b6a.onnx",
        "32 high, 32 wide",
        "mean (0.5, 0.5, 0.5)",
        "4 logits",
        "InferenceSession",
    ):
        assert words in text
    assert all(note in text for note in content("web-onnx").report["notes"])
    detector = unpack(build("files", content("web-onnx", "detection"))[1])["README.txt"].decode()
    assert "YOLOv2" in detector
