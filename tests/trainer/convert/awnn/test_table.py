from __future__ import annotations

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert.awnn.table import Scales, read_table, write_table


def test_a_table_comes_back_as_it_was() -> None:
    given = Scales({"input0": np.float32(127)}, {"conv": np.array([1.5, 336.968262], np.float32)})
    text = write_table(given)
    assert text == "input0 127.000000\nconv_param_0 1.500000 336.968262\n"
    got = read_table(text.encode())
    assert got.blobs == given.blobs and got.weights["conv"].tolist() == given.weights["conv"].tolist()


@pytest.mark.parametrize("line", ["b -1", "b 0", "b nan", "b 1e99", "b x", "b", "b 1 2", "c_param_0"])
def test_what_is_no_scale_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(UnsupportedModel, match=r"\(line 2\)") as caught:
        read_table(f"input0 127\n{line}\n")
    assert caught.value.reason == "AWNN_TABLE"
