"""TinyMaix itself, compiled by gcc, answers as the simulator does. TINYMAIX_SRC names its source."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from services.trainer.convert import convert, simulator
from services.trainer.convert.tinymaix.reader import read
from services.trainer.convert.tinymaix.simulate import TmdlSimulator
from services.trainer.convert.tinymaix.writer import write
from services.trainer.graph import Activation
from tests.trainer.convert.networks import pictures, small
from tests.trainer.convert.tinymaix.judge import Judge
from tests.trainer.convert.tinymaix.nets import noise, random_net, residual

NOT_OURS = ("fp8", "_be", "mnist_dw_f")  # number formats, byte order and a depth multiplier of 2, which are refused


@pytest.mark.parametrize("seed", range(12))
def test_int8_is_tinymaix_bit_for_bit(judge: Judge, seed: int) -> None:
    graph = random_net(seed)
    images = np.concatenate([noise(graph, 6, 2), np.random.default_rng(3).integers(0, 256, noise(graph, 6).shape)])
    images = images.astype(np.uint8)
    model = convert(graph, "mcu-tinymaix-int8", noise(graph, 16, 1))
    ours = simulator("mcu-tinymaix-int8", model.data).run(images)
    assert ours.std() > 0
    np.testing.assert_array_equal(ours, judge(model.data, images))


@pytest.mark.parametrize("seed", range(12, 20))
def test_fp32_differs_by_the_order_of_additions_only(judge: Judge, seed: int) -> None:
    graph = random_net(seed, (Activation.none(), Activation.relu()))
    images = noise(graph, 8, 2)
    model = convert(graph, "mcu-tinymaix-fp32", noise(graph, 8, 1))
    ours, theirs = simulator("mcu-tinymaix-fp32", model.data).run(images), judge(model.data, images)
    assert np.abs(ours - theirs).max() <= 2e-6 * np.abs(theirs).max()


@pytest.mark.parametrize("target", ["mcu-tinymaix-int8", "mcu-tinymaix-fp32"])
def test_residual_networks_run_in_tinymaix(judge: Judge, target: str) -> None:
    graph = residual()
    images = noise(graph, 12, 2)
    model = convert(graph, target, noise(graph, 16, 1))
    np.testing.assert_allclose(simulator(target, model.data).run(images), judge(model.data, images), rtol=0, atol=5e-6)


def test_white_and_black_pictures_saturate_in_tinymaix_too(judge: Judge) -> None:
    """Calibrated on dull pictures, run on the brightest: nothing wraps around."""
    graph = small(Activation.relu())
    dull = (pictures(16)[0] // 4 + 96).astype(np.uint8)
    images = np.stack([np.zeros((3, 32, 32), np.uint8), np.full((3, 32, 32), 255, np.uint8)])
    model = convert(graph, "mcu-tinymaix-int8", dull)
    np.testing.assert_array_equal(simulator("mcu-tinymaix-int8", model.data).run(images), judge(model.data, images))


def test_the_makers_own_files_are_read_written_and_run_alike(judge: Judge, tinymaix_source: Path) -> None:
    """Their tools wrote them from TensorFlow models: softmax, reshape, fully connected, one residual network."""
    files = [f for f in (tinymaix_source / "tools" / "tmdl").glob("*.h") if not any(n in f.name for n in NOT_OURS)]
    if not files:
        pytest.skip(f"{tinymaix_source} has no tools/tmdl/*.h")
    for file in files:
        text = file.read_text().partition("mdl_data")[2]
        data = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})\b", text))
        assert write(read(data)) == data, file.name
        simulated = TmdlSimulator(data)
        images = np.random.default_rng(0).integers(0, 256, (3, *simulated.input_shape)).astype(np.uint8)
        tolerance = 0 if read(data).unit == 1 else 2e-6
        np.testing.assert_allclose(simulated.run(images), judge(data, images), rtol=0, atol=tolerance)
