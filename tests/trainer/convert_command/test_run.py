from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from services.common.errors import BoardloopError, UnsupportedModel
from services.common.fidelity import Fidelity
from services.common.i18n import Language, Translator
from services.trainer.choices import Choices
from services.trainer.convert import simulator
from services.trainer.convert.onnx_file.write import to_onnx
from services.trainer.convert_command import Request, run_convert
from services.trainer.graph import Conv, Graph
from tests.trainer.convert.networks import SHAPES, conv, graph, pictures, small
from tests.trainer.convert_command.conftest import Folder

TARGET = "k210-kmodel-v3"


def run(model: Path, images: Path | None, out: Path, language: Language = "en", **more: Any) -> str:
    """What the command prints."""
    fields = {"labels": "", "mean": "", "std": "", "choices": Choices(), "package": "", "url": "", "token": ""}
    request = Request(str(model), images=images, out=out, **{"target": TARGET, **fields, **more})
    console = Console(file=io.StringIO(), width=120)
    run_convert(request, console, Translator(language))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_onnx_file_becomes_a_measured_model(onnx_file: Path, picture_folder: Folder, tmp_path: Path) -> None:
    printed = run(onnx_file, picture_folder(200), tmp_path / "out")
    fidelity = Fidelity.from_json(json.loads((tmp_path / "out" / "fidelity.json").read_text()))
    assert fidelity.images == 136 and fidelity.agreement >= 0.97
    assert fidelity.scores[0].floating > 0.9 and fidelity.scores[0].converted > 0.88
    for words in ("Accuracy, converted", f"{fidelity.scores[0].converted * 100:.1f} %", "64 / 136", "MaixPy-v1"):
        assert words in printed
    file = tmp_path / "out" / "shapes.kmodel"
    assert simulator(TARGET, file.read_bytes()).run(pictures(2)[0]).shape == (2, 4)
    assert json.loads((tmp_path / "out" / "conversion.json").read_text())["file_size"] == file.stat().st_size


def test_its_page_needs_no_other_file(onnx_file: Path, picture_folder: Folder, tmp_path: Path) -> None:
    run(onnx_file, picture_folder(200), tmp_path, language="zh")
    page = (tmp_path / "fidelity.html").read_text()
    assert "<svg" in page and "各层信噪比" in page
    assert not re.search(r'(src|href)="(?!data:)|url\(|@import', page)


def test_without_labels_only_agreement_is_measured(onnx_file: Path, picture_folder: Folder, tmp_path: Path) -> None:
    printed = run(onnx_file, picture_folder(12, flat=True), tmp_path / "out")
    assert "no labels given" in printed and "Only 12 pictures" in printed
    assert json.loads((tmp_path / "out" / "fidelity.json").read_text())["scores"] == []


def test_a_package_comes_along(onnx_file: Path, picture_folder: Folder, tmp_path: Path) -> None:
    run(onnx_file, picture_folder(8, flat=True), tmp_path / "out", package="k210-zip")
    assert len(list((tmp_path / "out").glob("*.zip"))) == 1


def test_what_a_board_reads_is_not_written_over(picture_folder: Folder, tmp_path: Path) -> None:
    model = tmp_path / "relu6.onnx"
    model.write_bytes(to_onnx(small()))
    run(
        model,
        picture_folder(8, flat=True),
        tmp_path / "out",
        target="v831-awnn-int8",
        choices=Choices(max_accuracy_drop=1),
    )
    assert "label_type" in json.loads((tmp_path / "out" / "report.json").read_text())
    assert "layers" in json.loads((tmp_path / "out" / "conversion.json").read_text())


def test_the_terminal_is_spoken_to_in_chinese(onnx_file: Path, picture_folder: Folder, tmp_path: Path) -> None:
    assert "输出信噪比" in run(onnx_file, picture_folder(8, flat=True), tmp_path / "out", language="zh")


def spoilt(network: Graph) -> Graph:
    """The same function in float; but in 8 bits most channels of `pw1` are nothing beside the first."""
    factors = np.ones(32, np.float32)
    factors[0] = 3e4

    def scaled(layer: Any) -> Any:
        if layer.name == "pw1":
            return replace(layer, weight=layer.weight * factors[:, None, None, None], bias=layer.bias * factors)
        if layer.name == "dw2":
            return replace(layer, weight=layer.weight / factors[:, None, None, None])
        return layer

    assert any(isinstance(layer, Conv) and layer.name == "dw2" for layer in network.layers)
    return replace(network, layers=tuple(scaled(layer) for layer in network.layers))


def test_a_conversion_that_costs_too_much_names_its_layer_and_writes_no_model(
    network: Graph, picture_folder: Folder, tmp_path: Path
) -> None:
    model = tmp_path / "spoilt.onnx"
    model.write_bytes(to_onnx(spoilt(network)))
    pictures_of_shapes = picture_folder(120)
    with pytest.raises(UnsupportedModel, match=r"Layer dw2 .* after pw1 to") as told:
        run(model, pictures_of_shapes, tmp_path / "out")
    assert told.value.reason == "ACCURACY_DROP"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "conversion.json",
        "fidelity.html",
        "fidelity.json",
    ]
    assert "data:image/jpeg" in (tmp_path / "out" / "fidelity.html").read_text()
    run(model, pictures_of_shapes, tmp_path / "out", choices=Choices(max_accuracy_drop=1))
    assert (tmp_path / "out" / "spoilt.kmodel").exists()


@pytest.mark.parametrize(
    ("fields", "reason", "word"),
    [
        ({"target": "z80"}, "UNKNOWN_TARGET", "k210-kmodel-v3"),
        ({"images": None}, "NO_IMAGES", "--images"),
        ({"images": Path("nowhere")}, "IMAGES_NOT_FOUND", "nowhere"),
        ({"model": Path("nothing.onnx")}, "MODEL_NOT_FOUND", "nothing.onnx"),
        ({"labels": "a,b,c"}, "MODEL_LABELS", "3 labels"),
        ({"labels": "a,a,b,c"}, "LABELS_BROKEN", "3 of them different"),
        ({"labels": "a,b,c,d"}, "LABEL_UNKNOWN", "disc"),
        ({"mean": "much"}, "NOT_NUMBERS", "--mean"),
        ({"package": "box"}, "UNKNOWN_PACKAGE", "box"),
        ({"url": "http://127.0.0.1:9", "images": None}, "BAD_MODEL_ID", "model id"),
        ({"model": Path("0" * 12), "url": "http://127.0.0.1:9"}, "NOT_FOR_SERVERS", "--images"),
        ({"model": Path("0" * 12), "url": "http://127.0.0.1:9", "images": None}, "GATEWAY_UNREACHABLE", "127.0.0.1:9"),
    ],
)
def test_what_cannot_be_right_is_refused_in_words(
    onnx_file: Path, picture_folder: Folder, tmp_path: Path, fields: dict[str, Any], reason: str, word: str
) -> None:
    asked = {"model": onnx_file, "images": picture_folder(8), "out": tmp_path / "out", **fields}
    with pytest.raises(BoardloopError) as told:
        run(**asked)
    assert told.value.reason == reason and word in str(told.value) and told.value.fix
    assert not (tmp_path / "out").exists()


def test_a_network_without_labels_asks_for_them(network: Graph, picture_folder: Folder, tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(to_onnx(replace(network, labels=())))
    with pytest.raises(BoardloopError, match="--labels"):
        run(model, picture_folder(8), tmp_path / "out")
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(SHAPES) + "\n")
    assert "Accuracy, float network" in run(model, picture_folder(8), tmp_path / "out", labels=str(labels))


def test_an_output_folder_that_is_a_file_is_told(onnx_file: Path, picture_folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(BoardloopError, match="--out"):
        run(onnx_file, picture_folder(8), tmp_path / "out")


def test_a_detector_is_measured_by_the_objects_beside_its_pictures(picture_folder: Folder, tmp_path: Path) -> None:
    body = graph(conv("stem", (3, 8), stride=2), conv("down", (8, 16), stride=2), conv("head", (16, 7), kernel=1))
    detector = replace(body, labels=("shape", "other"), anchors=((2.0, 2.0),))
    model = tmp_path / "detector.onnx"
    model.write_bytes(to_onnx(detector))
    folder = picture_folder(12, flat=True)
    assert "no labels given" in run(model, folder, tmp_path / "out", choices=Choices(max_accuracy_drop=1))
    for picture in folder.glob("*.png"):
        picture.with_suffix(".txt").write_text("0 0.5 0.5 0.4 0.4\n")
    printed = run(model, folder, tmp_path / "out", choices=Choices(max_accuracy_drop=1))
    assert "mAP50, converted" in printed and "mAP50-95, float network" in printed
    found = Fidelity.from_json(json.loads((tmp_path / "out" / "fidelity.json").read_text()))
    assert (found.task, found.classes[0].support) == ("detector", 12)
