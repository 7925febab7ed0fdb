from __future__ import annotations

import json
from dataclasses import replace

import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert import TARGETS
from services.trainer.convert.awnn.container import Container, pack, parse
from services.trainer.convert.awnn.mud import mud, report_json

MODEL = Container(
    b"7767517\n", b"weights", (224, 320, 3), (7, 10, 30), (127.5, 123.67512, 0.0), (0.0078125, 0.0074963, 0.0039139),
    "birds", ("owl", "wren"), ((1.5, 2.25), (3.0, 4.0), (0.5, 1.0)),
)  # fmt: skip


def test_a_container_comes_back_as_it_was() -> None:
    data = pack(MODEL)
    assert parse(data) == MODEL
    size = int.from_bytes(data[:4], "big")
    about = json.loads(data[4 : 4 + size])
    assert about["param"] == 8 and about["input"] == [224, 320, 3] and data[4 + size :] == b"7767517\nweights"


def test_nn_load_gets_what_maixpy3_documents() -> None:
    names, options = MODEL.nn_load("/root/m.param", "/root/m.bin")
    assert names == {"param": "/root/m.param", "bin": "/root/m.bin"}
    assert options["model_type"] == "awnn" and options["inputs"] == {"input0": (224, 320, 3)}
    assert options["outputs"] == {"output0": (7, 10, 30)} and options["norm"] == list(MODEL.norm)


def test_the_mud_keeps_to_what_libmaix_can_parse() -> None:
    text = mud(MODEL, "model-1").decode()
    assert text == (
        "[basic]\ntype = awnn\nparam = model-1.param\nbin = model-1.bin\n\n"
        "[inputs]\ninput0 = 224,320,3,127.5,123.67512,0,0.0078125,0.0074963,0.0039139\n\n"
        "[outputs]\noutput0 = 7,10,30\n\n[extra]\noutputs_scale =\ninputs_scale =\n"
    )
    for line in text.splitlines():
        key, _, value = line.partition(" = ")
        assert len(key) <= 31 and (key in ("param", "bin") or all(len(number) <= 9 for number in value.split(",")))


def test_numbers_of_a_mud_never_have_an_exponent() -> None:
    small = replace(MODEL, norm=(1e-5, 0.123456789, 12.3456789), mean=(254.99999, 100.0, 1e-7))
    line = mud(small, "m").decode().split("\n")[6]
    assert line == "input0 = 224,320,3,254.99999,100,0.0000001,0.00001,0.1234568,12.345679"


def test_the_report_has_the_keys_that_maixhubs_app_reads() -> None:
    report = json.loads(report_json(MODEL))
    assert report["labels"] == ["owl", "wren"] and report["label_type"] == "detection"
    assert report["inputs"] == {"input0": [224, 320, 3]} and report["anchors"] == [1.5, 2.25, 3.0, 4.0, 0.5, 1.0]
    assert json.loads(report_json(replace(MODEL, anchors=())))["label_type"] == "classification"


def test_the_target_unpacks_into_the_files_of_the_boards_programs() -> None:
    files = TARGETS["v831-awnn-int8"].unpack(pack(MODEL), "m", ".awnn")
    assert sorted(files) == ["m.bin", "m.mud", "m.param", "report.json"]
    assert (files["m.param"], files["m.bin"]) == (MODEL.param, MODEL.bin)


def container(**changes: object) -> bytes:
    about = {"param": 3, "input": [4, 8, 3], "output": [1, 1, 2], "mean": [1] * 3, "norm": [1] * 3} | changes
    head = json.dumps(about).encode()
    return len(head).to_bytes(4, "big") + head + b"parbin"


@pytest.mark.parametrize(
    ("data", "offset", "says"),
    [
        (b"\0\0", 0, "ends inside the JSON's length"),
        (b"\xff\xff\xff\xff", 0, "4294967295 bytes of JSON are announced, 0 follow"),
        (b"\0\0\0\5no js", 4, "no JSON"),
        (b"\0\0\0\2[]", 4, "the JSON is no object"),
        (b"\0\0\x27\x10" + b"[" * 10_000, 4, "no JSON"),
        (container(param=7), 4, "param, the size of .param, is 7; 6 bytes follow"),
        (container(param=True), 4, "param, the size of .param, is True"),
        (container(input=[4, 8]), 4, r"input is \[4, 8\], not \[h, w, c\]"),
        (container(input=[4, 8, 2]), 4, "an input of 2 channels"),
        (container(output=[1, 1, -2]), 4, "output is"),
        (container(norm=[1, 1]), 4, "norm is .*not 3 numbers"),
        (container(mean=[1, 1, float("nan")]), 4, "mean is"),
        (container(mean=[1, 1, 10**400]), 4, "mean is"),
        (container(labels="ab"), 4, "labels is 'ab', not a list of texts"),
        (container(anchors=[[1]]), 4, "anchors is"),
        (container(name=3), 4, "name is 3"),
    ],
)
def test_a_damaged_container_is_refused_with_the_offset(data: bytes, offset: int, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says) as caught:
        parse(data)
    assert caught.value.reason == "AWNN_MALFORMED" and caught.value.metadata["offset"] == str(offset)
