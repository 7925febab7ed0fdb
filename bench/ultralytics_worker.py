"""Runs in Ultralytics' own environment (bench/ultralytics_peer.py): trains for given seconds, answers about pictures.

    classify  {"data": folder of train/, val/ and test/ with a folder a label, "size", "batch", "seconds"}
    detect    {"data": data.yaml, "test": folder of pictures, "size", "batch", "seconds"}

It starts from the weights that Ultralytics downloads for the model where they lie in the working folder, else from
random ones. The last line of the output is one JSON object.
"""

import json
import sys
import time
from pathlib import Path

import torch


def nms(boxes, scores, threshold):
    """Non-maximum suppression as torchvision.ops.nms defines it: indices of the kept (n, 4) boxes, surest first."""
    kept, left = [], scores.argsort(descending=True)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        low, high = torch.max(boxes[first, :2], boxes[left, :2]), torch.min(boxes[first, 2:], boxes[left, 2:])
        both = (high - low).clamp(min=0).prod(1)
        left = left[both <= threshold * (areas[first] + areas[left] - both)]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)


try:
    import torchvision
except RuntimeError:  # pip's build of it is for CUDA and torch is not: its own operators are missing
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):  # that it asks for while it is imported
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    import torchvision

    torchvision.ops.nms = nms

from ultralytics import YOLO, settings  # noqa: E402

CLASSIFIER, DETECTOR = "yolo11n-cls", "yolo11n"


def trained(name, asked, val=True):
    """The model of the best epoch (without `val`: the last), {"images_per_s", "seconds", "epochs", "pretrained"}."""
    settings.update({"sync": False})
    weights = Path(f"{name}.pt")
    model = YOLO(str(weights) if weights.exists() else f"{name}.yaml")
    clock = {}
    model.add_callback("on_train_start", lambda trainer: clock.setdefault("began", time.monotonic()))

    def ended(trainer):
        clock["seconds"] = time.monotonic() - clock["began"]
        clock["epochs"] = trainer.epoch + 1
        clock["images"] = len(trainer.train_loader.dataset) * (trainer.epoch + 1)

    model.add_callback("on_fit_epoch_end", lambda trainer: ended(trainer) if "began" in clock else None)
    model.train(
        data=asked["data"], imgsz=asked["size"], batch=asked["batch"], time=asked["seconds"] / 3600, device="cpu",
        workers=2, seed=0, plots=False, verbose=False, exist_ok=True, val=val,
    )  # fmt: skip
    told = {
        "images_per_s": clock["images"] / clock["seconds"],
        "seconds": clock["seconds"],
        "epochs": clock["epochs"],
        "pretrained": weights.exists(),
    }
    return YOLO(str(model.trainer.best if val else model.trainer.last)), told


def classify(asked):
    model, told = trained(CLASSIFIER, asked)
    pictures = sorted(Path(asked["data"], "test").glob("*/*"))
    right = 0
    for picture in pictures:
        answer = model.predict(str(picture), imgsz=asked["size"], device="cpu", verbose=False)[0]
        right += answer.names[answer.probs.top1] == picture.parent.name
    return {**told, "accuracy": right / len(pictures), "test": len(pictures)}


def detect(asked):
    model, told = trained(DETECTOR, asked, val=False)
    found = []
    for picture in sorted(Path(asked["test"]).iterdir()):
        answer = model.predict(str(picture), imgsz=asked["size"], conf=0.005, device="cpu", verbose=False)[0]
        boxes = answer.boxes
        rows = zip(boxes.cls.tolist(), boxes.conf.tolist(), boxes.xyxyn.tolist(), strict=True)
        found.append([[int(label), confidence, *corners] for label, confidence, corners in rows])
    return {**told, "found": found}


if __name__ == "__main__":
    print(json.dumps({"classify": classify, "detect": detect}[sys.argv[1]](json.loads(sys.argv[2]))))
