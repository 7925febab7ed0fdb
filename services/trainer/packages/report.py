"""report.json and labels.txt: the keys that MaixHub's programs read, and ours under "boardloop".

MaixHub's app on a V831 reads `labels`, `inputs`, `anchors` and `label_type`; other people's programs read some of the
rest (sources: app_maixhub_client of sipeed/MaixPy, and reports in public repositories).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from services.trainer.convert import TARGETS
from services.trainer.packages.content import PackageContent

__all__ = ["labels_txt", "report_json"]

BYTE = 255  # MaixHub's mean and std count in pixel values, the trainer's in shares of them
SUMMARY = ("images", "scores", "max_accuracy_drop", "agreement", "output_snr_db", "weakest_layer", "changed_count")


def report_json(content: PackageContent) -> bytes:
    """UTF-8 JSON; `val_acc` is the converted file's score on the validation split, where it was measured."""
    spec = content.input
    values: dict[str, Any] = {
        "label_type": content.task,
        "data_type": "image",
        "labels": list(content.labels),
        "inputs": {"input0": [spec.height, spec.width, spec.channels]},
        "outputs": {"output0": _output(content)},
        "anchors": list(content.flat_anchors),
        "mean": [BYTE * mean for mean in spec.mean],
        "std": [BYTE * std for std in spec.std],
    }
    if content.fidelity.get("scores"):
        values["val_acc"] = content.fidelity["scores"][0]["converted"]
    values["boardloop"] = {
        "model": content.model_id,
        "name": content.name,
        "target": content.target,
        "format": TARGETS[content.target].format,
        "sha256": hashlib.sha256(content.data).hexdigest(),
        "fidelity": {key: content.fidelity[key] for key in SUMMARY if key in content.fidelity},
        "conversion": content.report,
    }
    return (json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def labels_txt(content: PackageContent) -> bytes:
    """MaixHub's form, a line of Python: `labels = ["cat", "dog"]`."""
    return f"labels = {json.dumps(list(content.labels), ensure_ascii=False)}\n".encode()


def _output(content: PackageContent) -> list[int]:
    """h, w, c."""
    if not content.anchors:
        return [1, 1, len(content.labels)]
    channels = len(content.anchors) * (5 + len(content.labels))
    return [*content.grid, channels]
