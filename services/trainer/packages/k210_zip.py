"""k210-zip: the files of an SD card for a K210 with the maker's own firmware, MaixPy-v1 or CanMV.

main.py finds out on which of the two it runs. It needs nothing else of Boardloop.
"""

from __future__ import annotations

from services.common.errors import UnsupportedModel
from services.trainer.packages.content import Package, PackageContent
from services.trainer.packages.program import program, shown_names
from services.trainer.packages.report import labels_txt, report_json

__all__ = ["PACKAGE"]

ANCHORS = 5  # MaixPy computes the number of classes as channels / 5 - 5 (sipeed_yolo2.c, region_layer_init)
CAMERA = (320, 240)  # px, QVGA
SQUARE = (224, 224)  # px, the window that boards capture in


def window(width: int, height: int) -> tuple[int, int]:
    """The part of the camera's picture that the network is shown, before it is shrunk to the network's input.

    As in captures for a square input, else the largest of the input's shape.
    """
    if width == height <= SQUARE[0]:
        return SQUARE
    scale = min(CAMERA[0] / width, CAMERA[1] / height)
    return round(width * scale), round(height * scale)


def _contents(content: PackageContent) -> dict[str, bytes]:
    model = f"{content.stem}.kmodel"
    return {
        "main.py": _main(content, model),
        model: content.data,
        "labels.txt": labels_txt(content),
        "report.json": report_json(content),
    }


def _main(content: PackageContent, model: str) -> bytes:
    width, height = content.input.width, content.input.height
    settings = {
        "MODEL": model,
        "LABELS": list(content.labels),
        "NAMES": shown_names(content.labels),
        "INPUT": (width, height),
        "WINDOW": window(width, height),
    }
    if not content.anchors:
        return program("k210_classify.py", settings)
    content.check_cells()
    if len(content.anchors) != ANCHORS:
        raise UnsupportedModel(
            "DETECTOR_ANCHORS",
            f"MaixPy's decoder works with {ANCHORS} anchors; the model has {len(content.anchors)} anchors.",
            fix=f"Train a detector with {ANCHORS} anchors.",
        )
    return program("k210_detect.py", {**settings, "ANCHORS": content.flat_anchors})


PACKAGE = Package("k210-zip", "-k210.zip", lambda target: target.format == "kmodel_v3", _contents)
