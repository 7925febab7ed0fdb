from __future__ import annotations

import pytest

from services.common.errors import UnsupportedModel
from services.trainer.anchor_free import AnchorFreeDetector, anchor_free_graph
from services.trainer.convert import TARGETS, convert
from services.trainer.convert.ncnn.archive import Archive
from services.trainer.convert.onnx_file.read import from_onnx
from tests.trainer.detection.drawn import LABELS, drawn_scenes

SIZE = 96


def test_the_files_say_what_their_map_is() -> None:
    graph = anchor_free_graph(AnchorFreeDetector("mobilenet_v1_0.25", 2, 16).eval(), LABELS, SIZE, SIZE)
    pictures = drawn_scenes(8, SIZE)[0]
    assert from_onnx(convert(graph, "web-onnx", pictures).data).head == "anchor_free"
    assert Archive.read(convert(graph, "linux-ncnn-fp16", pictures).data).description.head == "anchor_free"


@pytest.mark.parametrize("target", [one for one in TARGETS if one.startswith(("k210", "v831", "mcu"))])
def test_chips_whose_decoders_know_yolo2_only_refuse_it_in_words(target: str) -> None:
    graph = anchor_free_graph(AnchorFreeDetector("tiny_cnn", 2, 16).eval(), LABELS, SIZE, SIZE)
    with pytest.raises(UnsupportedModel, match="YOLOv2 only"):
        convert(graph, target, drawn_scenes(4, SIZE)[0])
