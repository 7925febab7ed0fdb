from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.convert import convert, simulator
from services.trainer.convert.onnx_file.simulate import OnnxSimulator
from services.trainer.convert.onnx_file.write import to_onnx
from services.trainer.graph import Graph
from tests.trainer.convert.networks import pictures, small
from tests.trainer.convert.onnx_file.test_write import residual


@pytest.mark.parametrize("network", [small(), residual()], ids=["classifier", "map"])
def test_the_file_answers_like_the_float_network(network: Graph) -> None:
    model = convert(network, "web-onnx", pictures(8)[0])
    assert (model.format, model.file_name) == ("onnx", "net.onnx")
    report = model.report
    assert report.agreement == 1.0 and report.output_snr_db > 90
    assert [layer.name for layer in report.layers] == [x.name for x in network.layers if x.name != "softmax"]
    images = pictures(5, seed=1)[0]
    got = simulator("web-onnx", model.data).run(images)
    assert got.dtype == np.float32 and got.shape == (5, np.prod(report.layers[-1].output_shape))
    assert len(simulator("web-onnx", model.data).run(images[:0])) == 0


def test_working_memory_is_what_the_maps_take_at_the_worst_moment() -> None:
    report = convert(residual(), "web-onnx", pictures(4)[0]).report
    image, map_ = 3 * 32 * 32, 8 * 16 * 16
    assert report.main_memory == 4 * max(image + map_, 3 * map_)


def test_a_page_finds_labels_and_anchors_in_the_file() -> None:
    network = replace(residual(), labels=("a", "b", "c"), anchors=((1.0, 1.0), (2.0, 2.5)))
    model = onnx.load_from_string(convert(network, "web-onnx", pictures(4)[0]).data)
    props = json.loads(model.metadata_props[0].value)
    assert (props["labels"], props["anchors"]) == (["a", "b", "c"], [[1.0, 1.0], [2.0, 2.5]])
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 32, 32]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file is empty"),
        (b"kmodel" * 30, "ONNX"),
        (to_onnx(small()), "a file for the web has input of tensor.uint8."),
        (to_onnx(small(), pixels="uint8")[:-400], "ONNX"),
    ],
)
def test_files_of_another_kind_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says):
        OnnxSimulator(data)


def test_images_of_another_size_are_refused() -> None:
    chip = OnnxSimulator(to_onnx(small(), pixels="uint8"))
    with pytest.raises(InvalidInput, match="eats uint8"):
        chip.run(pictures(1, size=16)[0])


def test_the_simulator_needs_no_torch() -> None:
    code = (
        "import sys; from services.trainer.convert import simulator\n"
        "try: simulator('web-onnx', b'')\n"
        "except Exception as e: assert e.reason == 'ONNX_MALFORMED', e\n"
        "assert 'onnxruntime' in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_onnxruntime_web_gives_the_same_logits(tmp_path: Path) -> None:
    """Its wasm build under node; no browser is involved."""
    modules, node = os.environ.get("BOARDLOOP_ORT_WEB", ""), shutil.which("node")
    if not modules or not node:
        pytest.skip("needs node, and BOARDLOOP_ORT_WEB=<folder>/node_modules with npm's onnxruntime-web")
    images = pictures(4)[0]
    data = convert(small(), "web-onnx", images).data
    (tmp_path / "model.onnx").write_bytes(data)
    (tmp_path / "images.bin").write_bytes(images.tobytes())
    script = Path(__file__).with_name("run_in_node.mjs")
    command = [node, script, modules, tmp_path / "model.onnx", tmp_path / "images.bin", *map(str, images.shape)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert np.allclose(json.loads(done.stdout), OnnxSimulator(data).run(images), atol=1e-4)
