from __future__ import annotations

import numpy as np
import pytest
import torch

from services.trainer.detector import Detector, detector_graph
from services.trainer.heads.yolo2 import Yolo2Head
from services.trainer.model import normalised

ANCHORS = ((0.5, 1.0), (1.0, 0.5), (1.0, 1.0), (2.0, 2.0), (3.0, 2.0))


@pytest.mark.parametrize("backbone", ["mobilenet_v1_0.25", "mobilenet_v2_0.35", "resnet18_0.25", "darknet_slim_0.5"])
def test_the_graph_computes_what_the_detector_computes(backbone: str) -> None:
    torch.manual_seed(1)
    model = Detector(backbone, 3, ANCHORS, neck=24).eval()
    torch.nn.init.normal_(model.head.predict.weight, std=0.2)
    pixels = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8)
    with torch.no_grad():
        expected = model(normalised(pixels)).flatten(1).numpy()
    graph = detector_graph(model, ("a", "b", "c"), 96, 128)
    assert graph.shapes()[-1] == (5 * (5 + 3), 3, 4)
    assert graph.anchors == ANCHORS and graph.labels == ("a", "b", "c")
    assert np.allclose(graph.run_float(pixels.numpy()), expected, atol=1e-4)


def test_an_untrained_head_hardly_sees_anything() -> None:
    head = Yolo2Head(8, 5, 3, 16, Detector("tiny_cnn", 1, ANCHORS).backbone.activation).eval()
    last = head(torch.zeros(1, 8, 4, 4)).view(5, 8, 4, 4)
    assert torch.allclose(last[:, 4].sigmoid(), torch.tensor(0.01)) and (last[:, 5:] == 0).all()
