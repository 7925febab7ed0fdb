"""The two heads of a detector on the same unseen scenes, in float: the same backbone, pictures, epochs and seed.

`python -m bench.heads --steps 400` trains each as a job does and prints a line for it; the last line is JSON. Steps are
rounded to whole epochs. The anchor-free network ends at a sixteenth of the picture, YOLOv2's at a thirty-second.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from bench.scene_job import scene_config, scene_graph, tell_epochs, write_job
from bench.scenes import LABELS, make_scenes, stamps_folder
from services.trainer.detection import average_precision
from services.trainer.detector import detections
from services.trainer.loop import train
from services.trainer.settings import user_cache_dir

TEST_SCENES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    cache = user_cache_dir()
    stamps = stamps_folder(cache)
    test = make_scenes(stamps, TEST_SCENES, asked.size, asked.seed, "test")
    results = {}
    for head in ("yolo2", "anchor_free"):
        config = scene_config(cache, asked.scenes, asked.steps, head=head, input_size=asked.size, seed=asked.seed)
        with tempfile.TemporaryDirectory() as place:
            write_job(job := Path(place) / "job", stamps, asked.scenes, config)
            began = time.monotonic()
            train(job, tell_epochs)
            seconds = time.monotonic() - began
            graph = scene_graph(job / "best.pt")
        score = average_precision(detections(graph.run_float(test.images), graph), test.truths, LABELS)
        print(f"{head}: mAP50 {score.map50:.4f}, mAP50-95 {score.map50_95:.4f}, {graph.multiply_adds()} multiply-adds, "
              f"{graph.parameters()} parameters, {seconds:.0f} s", flush=True)  # fmt: skip
        results[head] = {"map50": score.map50, "map50_95": score.map50_95, "seconds": round(seconds, 1)}
    print(json.dumps({"scenes": asked.scenes, "size": asked.size, "steps": asked.steps, **results}))


if __name__ == "__main__":
    main()
