"""What head and backbone make of an input."""

from __future__ import annotations

import pytest
import torch

from services.trainer.config import Backbone, TrainingConfig
from services.trainer.networks import build, grid_of


@pytest.mark.parametrize("backbone", ["mobilenet_v1_0.25", "mobilenet_v1_1.0_cut8", "tiny_cnn"])
def test_anchors_are_fitted_to_the_cells_that_a_detector_really_has(backbone: Backbone) -> None:
    config = TrainingConfig(backbone=backbone, head="yolo2", input_size=160, input_height=96)
    model = build(config, 2, ((1.0, 1.0),) * 5).eval()
    with torch.no_grad():
        assert tuple(model(torch.zeros(1, 3, 96, 160)).shape[2:]) == grid_of(config)
