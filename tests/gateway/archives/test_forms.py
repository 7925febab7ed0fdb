"""The forms: how each is told, what its annotations mean, how what is wrong is named."""

from __future__ import annotations

import json

import pytest

from services.common.errors import InvalidInput
from services.gateway.archives.entries import Entry, Parsed, RawBox
from services.gateway.archives.opening import Archive
from services.gateway.archives.recognise import recognise
from services.gateway.archives.voc import safe_xml
from tests.gateway.archives.making import Files, pack, picture, voc, yolo

JPEG = b"\xff\xd8 a picture that nobody opens here"


def read(files: Files) -> tuple[Parsed, dict[str, Entry]]:
    parsed = recognise(Archive(pack(files)))
    return parsed, {entry.picture: entry for entry in parsed.entries()}


def coco(annotations: list[object], **more: object) -> str:
    images = [{"id": 1, "file_name": "a.jpg", "width": 80, "height": 40}]
    whole = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "cat"}]}
    return json.dumps(whole | more)


def test_yolo() -> None:
    more = {"images/train/none.jpg": JPEG, "images/train/empty.jpg": JPEG, "labels/train/empty.txt": ""}
    stray = {"labels/train/stray.txt": "0 0 0 1 1"}
    parsed, entries = read(yolo(2) | {f"set/{name}": data for name, data in (more | stray).items()})
    assert (parsed.form, parsed.labels()) == ("yolo", ["cat", "dog"])
    assert entries["set/images/train/1.jpg"].boxes == [RawBox("dog", 0, 0, 0.5, 0.5)]
    assert entries["set/images/train/none.jpg"].boxes is None
    assert entries["set/images/train/empty.jpg"].boxes == []
    assert [file for file, _ in parsed.notes] == ["set/labels/train/stray.txt"]


@pytest.mark.parametrize(
    ("files", "label"),
    [
        ({"data.yaml": "names:\n  0: cat\n  1: dog\n"}, "dog"),
        ({"data.yaml": "names:\n  - cat\n  - dog\n"}, "dog"),
        ({"classes.txt": "cat\ndog\n"}, "dog"),
        ({}, "class 1"),
    ],
)
def test_the_classes_of_yolo_are_named_in_several_ways(files: dict[str, str], label: str) -> None:
    _, entries = read({"images/a.jpg": JPEG, "labels/a.txt": "1 0.1 0.1 0.9 0.1 0.5 0.8", **files})
    assert entries["images/a.jpg"].boxes == [RawBox(label, 0.1, 0.1, 0.9, 0.8)]  # a polygon's bounding box


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 nan 0.1 0.1", "line 2, column 3 is nan"),
        ("0 0.5 0.5 x 0.1", "line 2, column 4 is 'x'"),
        ("2 0.5 0.5 0.1 0.1", "line 2: no class 2; there are 2"),
        ("-1 0.5 0.5 0.1 0.1", "no class -1"),
        ("0 0.5 0.5 0.1 0.1 0.99", "line 2 has 6 columns"),
        ("0 1e999 0.5 0.1 0.1", "is inf, not a number"),
    ],
)
def test_a_bad_line_of_yolo_refuses_its_picture_alone(line: str, words: str) -> None:
    _, entries = read(yolo(2) | {"set/labels/train/0.txt": f"0 0.5 0.5 0.1 0.1\n{line}\n"})
    assert words in entries["set/images/train/0.jpg"].trouble
    assert entries["set/images/train/1.jpg"].trouble == ""


@pytest.mark.parametrize("names", ["names: 7", "names: [[1]]", "names: {0: a, 2: b}", "names: [unclosed"])
def test_names_that_cannot_be_read_refuse_the_archive(names: str) -> None:
    with pytest.raises(InvalidInput, match=r"data\.yaml"):
        read(yolo(1) | {"set/data.yaml": names})


def test_coco() -> None:
    files = {
        "annotations/train.json": coco(
            [{"image_id": 1, "category_id": 7, "bbox": [8, 4, 16, 12]},
             {"image_id": 1, "category_id": 7, "bbox": [0, 0, 80, 40], "iscrowd": 1},
             {"image_id": 9, "category_id": 7, "bbox": [0, 0, 8, 4]}]
        ),
        "captions.json": "{}", "images/a.jpg": JPEG, "images/b.jpg": JPEG,
    }  # fmt: skip
    parsed, entries = read(files)
    assert parsed.form == "coco"
    assert entries["images/a.jpg"] == Entry("images/a.jpg", "", [RawBox("cat", 8, 4, 24, 16)], True, (80, 40))
    assert entries["images/b.jpg"].boxes is None
    assert [text.split()[0] for _, text in parsed.notes] == ["annotation", "1", "this"]


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"bbox": [0, 0, float("nan"), 1]}, "bbox of annotation 0 is nan"),
        ({"bbox": [0, 0, True, 1]}, "is True, not a number"),
        ({"bbox": [0, 0, 1]}, "no bbox of four numbers"),
        ({"bbox": [0, 0, 1, 1], "category_id": 8}, "category 8"),
    ],
)
def test_a_bad_annotation_of_coco_refuses_its_picture(annotation: dict[str, object], words: str) -> None:
    _, entries = read({"t.json": coco([{"image_id": 1, "category_id": 7} | annotation]), "a.jpg": JPEG})
    assert words in entries["a.jpg"].trouble


@pytest.mark.parametrize("text", ["{", "[" * 100_000, coco([], categories=3), coco([], images=[{"id": None}])])
def test_a_json_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"t\.json"):
        read({"t.json": text, "a.jpg": JPEG})


def test_a_picture_that_coco_lists_and_the_archive_lacks_is_named() -> None:
    _, entries = read({"t.json": coco([]), "b.jpg": JPEG})
    assert "does not have it" in entries["a.jpg"].trouble


def test_voc_counts_pixels_from_one() -> None:
    files = {"VOC/Annotations/a.xml": voc(), "VOC/JPEGImages/a.jpg": JPEG, "VOC/JPEGImages/b.jpg": JPEG}
    parsed, entries = read(files)
    assert (parsed.form, parsed.labels()) == ("voc", ["cat"])
    assert entries["VOC/JPEGImages/a.jpg"].boxes == [RawBox("cat", 0, 0, 40, 20)]
    assert entries["VOC/JPEGImages/b.jpg"].boxes is None


@pytest.mark.parametrize(
    ("xml", "words"),
    [(voc(box=("nan", 1, 2, 3)), "xmin of object 1 is nan"), (voc(box=("", 1, 2, 3)), "xmin of object 1"),
     (voc()[:-5], "broken"), (voc().replace("<name>cat</name>", ""), "object 1 has no name")],
)  # fmt: skip
def test_a_bad_xml_refuses_its_picture(xml: str, words: str) -> None:
    _, entries = read({"a.xml": xml, "a.jpg": JPEG})
    assert words in entries["a.jpg"].trouble


@pytest.mark.parametrize(
    "doctype",
    ['<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
     '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]><annotation>&y;</annotation>',
     '<!DOCTYPE a SYSTEM "http://example.com/a.dtd"><annotation/>'],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_never_looked_at(doctype: str, encoding: str) -> None:
    with pytest.raises(InvalidInput, match="DOCTYPE"):
        safe_xml(doctype.encode(encoding))


def test_folders_are_labels() -> None:
    parsed, entries = read(
        {"set/train/cat/1.jpg": JPEG, "set/val/dog/2.PNG": picture(kind="PNG"), "set/val/3.jpg": JPEG}
    )
    assert (parsed.form, parsed.labels()) == ("folders", ["cat", "dog"])
    assert {name: entry.label for name, entry in entries.items()} == {
        "set/train/cat/1.jpg": "cat", "set/val/dog/2.PNG": "dog", "set/val/3.jpg": "",
    }  # fmt: skip
    assert "1 pictures lie in no folder" in parsed.notes[0][1]


def test_an_archive_without_pictures_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1 files and no picture"):
        read({"readme.txt": "hello"})


def test_of_two_pictures_of_one_name_the_nearer_is_meant() -> None:
    _, entries = read({"train/annotations/a.xml": voc(), "train/images/a.jpg": JPEG, "test/images/a.jpg": JPEG})
    assert entries["train/images/a.jpg"].boxes and entries["test/images/a.jpg"].boxes is None
