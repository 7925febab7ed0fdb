"""The two heads of a detector on the same unseen scenes, in float: the same backbone, pictures, steps and seed.

`python -m bench.heads --steps 400` prints a line for each head; the last line is JSON. The anchor-free network ends at
a sixteenth of the picture, the YOLOv2 network at a thirty-second, as jobs train them.
"""

from __future__ import annotations

import argparse
import json
import time

from bench.scenes import LABELS, make_scenes, stamps_folder
from services.trainer.anchor_free import anchor_free_graph, train_anchor_free
from services.trainer.detection import average_precision
from services.trainer.detection_loop import DetectionTraining, train_detector
from services.trainer.detector import detections, detector_graph
from services.trainer.settings import user_cache_dir
from services.trainer.weights import fetch_default, load_file

TEST_SCENES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    size, training = asked.size, DetectionTraining(steps=asked.steps, seed=asked.seed)
    stamps, weights = stamps_folder(user_cache_dir()), load_file(fetch_default(user_cache_dir()))
    train = make_scenes(stamps, asked.scenes, size, asked.seed, "train")
    test = make_scenes(stamps, TEST_SCENES, size, asked.seed, "test")
    results = {}
    for head in ("yolo2", "anchor_free"):
        began = time.monotonic()
        if head == "yolo2":
            model = train_detector(train.images, train.truths, len(LABELS), training, weights)
            graph = detector_graph(model, LABELS, size, size)
        else:
            free = train_anchor_free(train.images, train.truths, len(LABELS), training, weights)
            graph = anchor_free_graph(free, LABELS, size, size)
        seconds = time.monotonic() - began
        score = average_precision(detections(graph.run_float(test.images), graph), test.truths, LABELS)
        print(f"{head}: mAP50 {score.map50:.4f}, mAP50-95 {score.map50_95:.4f}, {graph.multiply_adds()} multiply-adds, "
              f"{graph.parameters()} parameters, {seconds:.0f} s", flush=True)  # fmt: skip
        results[head] = {"map50": score.map50, "map50_95": score.map50_95, "seconds": round(seconds, 1)}
    print(json.dumps({"scenes": asked.scenes, "size": size, "steps": asked.steps, **results}))


if __name__ == "__main__":
    main()
