from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import FailedPrecondition, InvalidInput, NotFound, Unavailable
from services.trainer import weights
from tests.trainer.conftest import frozen_arrays, frozen_graph


def broken(tmp_path: Path, data: bytes) -> InvalidInput:
    path = tmp_path / "net.pb"
    path.write_bytes(data)
    with pytest.raises(InvalidInput) as caught:
        weights.load_file(path)
    assert "net.pb" in caught.value.message
    return caught.value


def test_reads_every_layer_in_torch_layout(small_weights: Path) -> None:
    backbone = weights.load_file(small_weights)
    source = frozen_arrays(0.25)
    assert backbone.alpha == 0.25 and len(backbone.layers) == 27
    first, depthwise, pointwise = backbone.layers[:3]
    assert first.weight.shape == (8, 3, 3, 3)
    assert first.weight[5, 2, 0, 1] == source["Conv2d_0/weights"][0, 1, 2, 5]
    assert (
        depthwise.depthwise
        and depthwise.weight[7, 0, 2, 1] == source["Conv2d_1_depthwise/depthwise_weights"][2, 1, 7, 0]
    )
    assert pointwise.weight[15, 6, 0, 0] == source["Conv2d_1_pointwise/weights"][0, 0, 6, 15]
    assert np.array_equal(backbone.layers[26].variance, source["Conv2d_13_pointwise/BatchNorm/moving_variance"])


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04" + bytes(100), b"<!DOCTYPE html><p>404", b"\n\xff\xff\xff\xff\x0f", b"\n\x03abc"]
)
def test_another_file_is_no_graph(tmp_path: Path, data: bytes) -> None:
    assert broken(tmp_path, data).reason == "WEIGHTS_NOT_A_GRAPH"


def test_a_cut_off_file_is_told_with_its_size(tmp_path: Path, small_weights: Path) -> None:
    data = small_weights.read_bytes()
    error = broken(tmp_path, data[: len(data) // 2])
    assert error.reason == "WEIGHTS_TRUNCATED" and str(len(data) // 2) in error.message


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    arrays = frozen_arrays(0.25)
    del arrays["Conv2d_7_depthwise/BatchNorm/gamma"]
    error = broken(tmp_path, frozen_graph(arrays))
    assert error.reason == "WEIGHTS_MISSING" and "Conv2d_7_depthwise/BatchNorm/gamma" in error.message


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    arrays = frozen_arrays(0.25)
    arrays["Conv2d_3_pointwise/weights"] = arrays["Conv2d_3_pointwise/weights"][:, :, :5]
    error = broken(tmp_path, frozen_graph(arrays))
    assert error.reason == "WEIGHTS_SHAPE" and "Conv2d_3_pointwise/weights" in error.message


def test_a_tensor_whose_bytes_do_not_fit_its_shape_is_named(tmp_path: Path) -> None:
    arrays = frozen_arrays(0.25)
    data = frozen_graph(arrays)
    graph = weights_graph(data)
    graph.node[0].attr[0].value.tensor.shape.dim[0].size = 4
    error = broken(tmp_path, graph.SerializeToString())
    assert error.reason == "WEIGHTS_SHAPE" and "Conv2d_0/weights" in error.message


def weights_graph(data: bytes):  # type: ignore[no-untyped-def]
    from services.trainer.graphdef import graph_class

    graph = graph_class()()
    graph.ParseFromString(data)
    return graph


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"services\.trainer\.weights fetch"):
        weights.load(str(tmp_path / "nothing.pb"), tmp_path)


def test_a_wrong_sha256_is_refused(tmp_path: Path, small_weights: Path) -> None:
    with pytest.raises(InvalidInput, match="sha256"):
        weights.load(str(small_weights), tmp_path, "0" * 64)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_is_downloaded_once(tmp_path: Path, small_weights: Path) -> None:
    digest = hashlib.sha256(small_weights.read_bytes()).hexdigest()
    with served(small_weights.parent) as address:
        assert weights.load(f"{address}/small.pb", tmp_path, digest).alpha == 0.25
    assert weights.load(f"{address}/small.pb", tmp_path, digest).alpha == 0.25  # the server is gone


def test_an_address_without_the_file_leaves_nothing_behind(tmp_path: Path) -> None:
    with served(tmp_path) as address, pytest.raises(Unavailable, match="404"):
        weights.load(f"{address}/none.pb", tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.p*"))


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, small_weights: Path) -> None:
    (tmp_path / "weights").write_text("a file where the folder should be")
    with served(small_weights.parent) as address, pytest.raises(FailedPrecondition, match="BOARDLOOP_CACHE_DIR"):
        weights.load(f"{address}/small.pb", tmp_path)


def test_imagenet_weights_are_fetched_once(imagenet_weights: Path) -> None:
    before = imagenet_weights.stat().st_mtime_ns
    assert weights.fetch_default(imagenet_weights.parent.parent) == imagenet_weights
    assert imagenet_weights.stat().st_mtime_ns == before
    backbone = weights.load_file(imagenet_weights)
    assert backbone.alpha == 1.0 and backbone.layers[26].weight.shape == (1024, 1024, 1, 1)


def test_the_imagenet_classifier_is_the_backbone_with_its_head(tmp_path: Path) -> None:
    arrays = frozen_arrays(0.25)
    rng = np.random.default_rng(0)
    head = {"weights": rng.normal(size=(1, 1, 256, 1001)), "biases": rng.normal(size=1001)}
    path = tmp_path / "net.pb"
    path.write_bytes(
        frozen_graph(arrays | {f"Logits/Conv2d_1c_1x1/{k}": v.astype(np.float32) for k, v in head.items()})
    )
    graph = weights.imagenet_classifier(path, size=64)
    assert graph.shapes()[-3:] == [(256, 2, 2), (256,), (1001,)]
    assert np.allclose(graph.layers[-1].weight[7], head["weights"][0, 0, :, 7])
    image = rng.integers(0, 256, (2, 3, 64, 64), np.uint8)
    assert np.isfinite(graph.run_float(image)).all()
    path.write_bytes(frozen_graph(arrays))
    with pytest.raises(InvalidInput, match="Logits") as caught:
        weights.imagenet_classifier(path)
    assert caught.value.reason == "WEIGHTS_MISSING"
