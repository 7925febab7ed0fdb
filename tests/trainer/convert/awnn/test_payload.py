from __future__ import annotations

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.awnn.payload import IntWeights, read_payload, write_payload
from services.trainer.convert.ncnn_text import ParamLayer

FC = ParamLayer("InnerProduct", "f", ("x",), ("y",), {0: 9, 1: 1, 2: 9 * 33 * 6, 24: 2, 25: 1})
SHAPES = {"x": (33, 2, 3)}


def weights() -> IntWeights:
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (9, 33, 2, 3)).astype(np.int8)
    return IntWeights(weight, np.arange(9, dtype=np.int16), np.arange(100, 109, dtype=np.int16))


def test_weights_lie_in_blocks_of_8_by_32_channels_pixel_by_pixel() -> None:
    """The order as nested loops over single weights."""
    given = weights()
    flat = []
    for o in range(0, 9, 8):
        for i in range(0, 33, 32):
            for y in range(2):
                for x in range(3):
                    block = given.weight[o : o + 8, i : i + 32, y, x]
                    flat += [int(v) for row in block for v in row]
    data = write_payload([FC], {"f": given})
    assert data[:4] == bytes.fromhex("384b0d00")
    assert np.frombuffer(data, np.int8, len(flat), 4).tolist() == flat
    end = 4 + len(flat) + -len(flat) % 4
    assert data[end : end + 4] == bytes.fromhex("38440d00") and len(data) % 4 == 0


def test_a_payload_comes_back_as_it_was() -> None:
    given = weights()
    got = read_payload([FC], SHAPES, write_payload([FC], {"f": given}))["f"]
    assert got.bias is not None and got.factor is not None
    np.testing.assert_array_equal(got.weight, given.weight)
    assert got.bias.tolist() == list(range(9)) and got.factor.tolist() == list(range(100, 109))


@pytest.mark.parametrize(
    ("change", "offset", "says"),
    [
        (lambda data: data[:200], 0, "layer f needs 1788 bytes, 200 are left"),
        (lambda data: b"\0\0\0\0" + data[4:], 0, "0x00000000 stands where the tag 0x000d4b38 belongs"),
        (lambda data: data + b"\0\0", 1836, "2 bytes are left behind the last layer"),
        (lambda data: data[:1789], 1788, "needs 24 bytes, 1 are left"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_with_the_offset(change, offset: int, says: str) -> None:  # type: ignore[no-untyped-def]
    data = write_payload([FC], {"f": weights()})
    with pytest.raises(UnsupportedModel, match=says) as caught:
        read_payload([FC], SHAPES, change(data))
    assert caught.value.metadata["offset"] == str(offset)
