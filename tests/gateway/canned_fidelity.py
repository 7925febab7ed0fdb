"""A converted file's figures as the trainer would give them: a MobileNetV1 of 27 layers over 80 pictures."""

from __future__ import annotations

import random

from services.common.fidelity import Answer, Change, ClassChange, Fidelity, Histogram, LayerNoise, Score

__all__ = ["canned_fidelity", "canned_report"]

WEAK = "conv7_dw"


def canned_fidelity(target: str, labels: list[str]) -> Fidelity:
    chance = random.Random(3)
    layers, decibels = [], 38.0
    for number in range(14):
        for part in ("dw", "pw") if number else ("",):
            name = f"conv{number}_{part}" if part else "conv0"
            decibels = 24.0 if name == WEAK else decibels - 0.35 + 0.5 * chance.random()
            kind = "depthwise 3x3 relu6" if part == "dw" else "conv 1x1 relu6"
            layers.append(LayerNoise(name, kind, "KPU", round(decibels, 2)))
    layers.append(LayerNoise("pool", "GlobalAveragePool", "CPU", None))
    first, second = labels[:2]
    change = Change(f"{3:032x}", first, Answer(first, 0.71), Answer(second, 0.64))
    counts = [0, 0, 0, 1, 0, 1, 2, 4, 9, 14, 21, 13, 7, 4, 2, 1, 0, 1, 0, 0, 0]
    return Fidelity(
        target=target,
        task="classifier",
        images=80,
        scores=(Score("accuracy", 0.8875, 0.875),),
        max_accuracy_drop=0.02,
        agreement=0.9875,
        output_snr_db=27.4,
        layers=tuple(layers),
        weakest_layer=WEAK,
        changed_count=1,
        changed=(change,),
        confidence=Histogram(tuple(round(-0.2 + 0.4 * i / 21, 6) for i in range(22)), tuple(counts)),
        classes=(ClassChange(first, 45, 0.9111, 0.9111), ClassChange(second, 35, 0.8571, 0.8286)),
    )


def canned_report(target: str) -> dict[str, object]:
    """ConversionReport.to_json(), as far as pages read it."""
    return {
        "target": target,
        "file_size": 870_432,
        "main_memory": 397_568,
        "kpu_rows": 1024,
        "kpu_rows_available": 32768,
        "board_memory": [
            {"firmware": "MaixPy-v1", "bytes": 1_268_256},
            {"firmware": "CanMV", "bytes": 1_268_000},
        ],
        "layers": [],
        "off_accelerator": [["pool", "the KPU has no mean over a whole map"]],
        "calibration_images": 64,
        "agreement": 1.0,
        "output_snr_db": 28.0,
        "rounding": {"agreement": 1.0, "largest_difference": 0.02},
        "warnings": ["the model takes 1268000 bytes of RAM; a full MaixPy build may have as little as 1048576 free."],
        "notes": ["the classifier became a 1x1 convolution before the average"],
    }
