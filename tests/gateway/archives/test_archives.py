"""Archives over REST into a real collector and out again."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pycocotools.coco import COCO

from services.collector.service import Collector
from services.collector.settings import CollectorSettings
from services.common.errors import StorageFull
from services.gateway.archives.importing import import_archive
from services.gateway.service import Gateway
from services.gateway.settings import GatewaySettings
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb
from tests.gateway.archives.making import Files, pack, picture, voc, yolo
from tests.gateway.conftest import make_token
from tests.servers import free_port


@pytest.fixture(scope="module")
def api(service_key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A gateway over a real collector; people need no broker."""
    common = {"data_dir": tmp_path_factory.mktemp("archives"), "service_key": service_key}
    mqtt = {"grpc_address": "127.0.0.1:0", "mqtt_url": f"mqtt://127.0.0.1:{free_port()}"}
    collector = Collector(CollectorSettings(**common, **mqtt))  # type: ignore[arg-type]
    address = f"127.0.0.1:{collector.start()}"
    gateway = Gateway(GatewaySettings(**common, port=0, collector_address=address), pages=False)  # type: ignore[arg-type]
    gateway.start()
    bearer = {"Authorization": f"Bearer {make_token(gateway)}"}
    with httpx.Client(base_url=f"{gateway.url}/api/v1", headers=bearer, timeout=60) as client:
        yield client
    gateway.stop()
    collector.stop()


@pytest.fixture
def project(api: httpx.Client, request: pytest.FixtureRequest) -> str:
    return make_project(api, request.node.name)


def make_project(api: httpx.Client, name: str) -> str:
    return str(api.post("/projects", json={"name": name[:64], "labels": ["dog"]}).json()["id"])


def send(api: httpx.Client, project: str, files: Files | io.BytesIO) -> Any:
    archive = files if isinstance(files, io.BytesIO) else pack(files)
    answer = api.post(f"/projects/{project}/archives", files={"file": ("set.zip", archive)})
    assert answer.status_code == 201, answer.text
    return answer.json()


def shown(api: httpx.Client, project: str) -> list[tuple[float, ...]]:
    """Every box of the project, rounded to what VOC's whole pixels hold."""
    captures = api.get(f"/projects/{project}/captures").json()["captures"]
    sides = ("x", "y", "width", "height")
    return sorted(tuple(round(box[side], 3) for side in sides) for one in captures for box in one["boxes"])


def test_an_archive_is_imported_once_and_every_loss_is_named(api: httpx.Client, project: str) -> None:
    files = yolo(3) | {
        "set/images/train/bad.jpg": b"\xff\xd8 broken", "set/labels/train/bad.txt": "",
        "set/images/train/nan.jpg": picture(8), "set/labels/train/nan.txt": "0 nan 0 0 0",
        "set/images/train/out.png": picture(9, kind="PNG"), "set/labels/train/out.txt": "0 0 0 0.5 0.5\n0 3 3 1 1",
        "set/images/train/empty.jpg": picture(10), "set/labels/train/empty.txt": "",
        "set/images/train/none.jpg": picture(11),
    }  # fmt: skip
    report = send(api, project, files)
    figures = ("form", "pictures", "imported", "refused", "duplicates", "boxes", "background", "not_boxed", "stopped")
    assert [report[name] for name in figures] == ["yolo", 8, 6, 2, 0, 4, 1, 1, ""]
    assert report["labels_added"] == ["cat"]
    assert sorted((line["kind"], line["file"].rpartition("/")[2]) for line in report["lines"]) == [
        ("CLIPPED", "out.png"), ("CLIPPED", "out.png"), ("REFUSED", "bad.jpg"), ("REFUSED", "nan.jpg"),
    ]  # fmt: skip
    assert api.get(f"/projects/{project}").json()["labels"] == ["dog", "cat"]
    assert api.get(f"/projects/{project}/captures/counts").json()["boxed"] == 5
    again = send(api, project, files)
    assert (again["imported"], again["duplicates"], again["labels_added"]) == (0, 6, [])


def test_boxes_that_a_person_changed_are_kept_and_it_is_said(api: httpx.Client, project: str) -> None:
    send(api, project, yolo(1))
    [capture] = api.get(f"/projects/{project}/captures").json()["captures"]
    api.put(f"/captures/{capture['id']}/boxes", json={"boxes": []})
    assert [line["kind"] for line in send(api, project, yolo(1))["lines"]] == ["KEPT"]
    assert api.get(f"/captures/{capture['id']}").json()["boxes"] == []


@pytest.mark.parametrize("form", ["yolo", "coco", "voc"])
def test_a_version_goes_out_and_comes_back_in_each_form(api: httpx.Client, project: str, form: str) -> None:
    files = yolo(6) | {"set/images/train/e.jpg": picture(77), "set/labels/train/e.txt": ""}
    send(api, project, files)
    made = api.post(f"/projects/{project}/versions", json={"task": "DETECTION", "validation_share": 0.4}).json()
    answer = api.get(f"/versions/{made['id']}/archive", params={"form": form})
    assert answer.headers["content-disposition"] == f'attachment; filename="version-1-{form}.zip"'
    other = make_project(api, f"back {form}")
    report = send(api, other, io.BytesIO(answer.content))
    assert (report["form"], report["imported"], report["background"], report["refused"]) == (form, 7, 1, 0)
    assert shown(api, other) == shown(api, project) and len(shown(api, other)) == 6
    again = api.post(f"/projects/{other}/versions", json={"task": "DETECTION", "validation_share": 0.4}).json()
    assert (again["train_count"], again["validation_count"]) == (made["train_count"], made["validation_count"])


def test_the_coco_that_goes_out_is_what_pycocotools_reads(api: httpx.Client, project: str) -> None:
    send(api, project, yolo(4))
    version = api.post(f"/projects/{project}/versions", json={"task": "DETECTION"}).json()["id"]
    zipped = zipfile.ZipFile(io.BytesIO(api.get(f"/versions/{version}/archive?form=coco").content))
    found = []
    for split in ("train", "val"):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(zipped.read(f"annotations/instances_{split}.json").decode())
            file.flush()
            coco = COCO(file.name)
        found += [coco.anns[one]["bbox"] for one in coco.getAnnIds()]
        assert {f"images/{one['file_name']}" for one in coco.imgs.values()} <= set(zipped.namelist())
    assert found == [[0, 0, 40, 20]] * 4


def test_folders_are_imported_and_a_version_of_them_goes_out(api: httpx.Client, project: str) -> None:
    files = {
        f"{label}/{seed}.jpg": picture(seed + 50 * (label == "cat")) for label in ("cat", "dog") for seed in range(3)
    }
    report = send(api, project, files)
    assert (report["form"], report["imported"], report["labels_added"]) == ("folders", 6, ["cat"])
    version = api.post(f"/projects/{project}/versions", json={}).json()["id"]
    names = zipfile.ZipFile(io.BytesIO(api.get(f"/versions/{version}/archive").content)).namelist()
    assert sorted({name.split("/")[1] for name in names}) == ["cat", "dog"] and len(names) == 6
    wrong = api.get(f"/versions/{version}/archive", params={"form": "voc"})
    assert (wrong.status_code, wrong.json()["error"]["reason"]) == (422, "WRONG_FORM")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"../a.jpg": picture()}, "ARCHIVE_UNSAFE"),
        ({"a.txt": "hello"}, "ARCHIVE_UNKNOWN"),
        ({"x" * 33 + "/a.jpg": picture()}, "BAD_LABEL"),
    ],
)
def test_an_archive_that_cannot_be_used_changes_nothing(
    api: httpx.Client, project: str, files: Files, reason: str
) -> None:
    answer = api.post(f"/projects/{project}/archives", files={"file": ("set.zip", pack(files))})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (422, reason)
    assert api.get(f"/projects/{project}/captures/counts").json()["total"] == 0


def test_voc_with_a_hostile_entity_refuses_that_picture_alone(api: httpx.Client, project: str) -> None:
    hostile = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + voc("b").replace("cat", "&x;")
    files = {"a.xml": voc("a"), "a.jpg": picture(1), "b.xml": hostile, "b.jpg": picture(2)}
    report = send(api, project, files)
    assert (report["imported"], report["refused"], report["labels_added"]) == (1, 1, ["cat"])
    assert "DOCTYPE" in report["lines"][0]["text"]


def test_a_full_disk_stops_the_import_and_the_report_says_where() -> None:
    sent: list[str] = []

    async def project(_: object) -> pb.GetProjectResponse:
        return pb.GetProjectResponse(project=pb.Project(id="p", labels=["cat", "dog"]))

    async def upload(request: pb.UploadCaptureRequest) -> pb.UploadCaptureResponse:
        sent.append(request.project_id)
        if len(sent) > 10:
            raise StorageFull("STORAGE_FULL", "the disk is full", fix="Free some space.")
        return pb.UploadCaptureResponse()

    upstream: Any = SimpleNamespace(
        projects=SimpleNamespace(GetProject=project), captures=SimpleNamespace(UploadCapture=upload)
    )
    report = asyncio.run(import_archive(upstream, "p", pack(yolo(40))))
    assert (report.imported, report.refused, report.pictures) == (10, 6, 16)
    assert "the disk is full" in report.stopped


def test_a_full_temporary_folder_is_told_in_words(
    api: httpx.Client, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: io.FileIO("/dev/full", "r+"))
    files = {"file": ("set.zip", bytes(3_000_000))}  # over what is kept in memory
    answer = api.post(f"/projects/{project}/archives", files=files)
    error = answer.json()["error"]
    assert answer.status_code == 507 and error["reason"] == "STORAGE_FULL" and "TMPDIR" in error["fix"]


def test_nobody_without_a_login_is_listened_to(api: httpx.Client) -> None:
    """Only the head of a request is sent: the answer comes before the gigabytes."""
    head = (
        f"POST /api/v1/projects/0123456789ab/archives HTTP/1.1\r\nHost: {api.base_url.netloc.decode()}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000000\r\n\r\n"
    )
    with socket.create_connection((api.base_url.host, api.base_url.port or 80), timeout=10) as line:
        line.sendall(head.encode())
        assert line.recv(12) == b"HTTP/1.1 401"


@pytest.mark.parametrize("left", [0.6, 1.5, 2.5])
def test_a_box_of_one_pixel_survives_whole_pixels(api: httpx.Client, project: str, left: float) -> None:
    for seed in range(2):
        sent = {"files": ("a.jpg", picture(seed))}
        capture = api.post(f"/projects/{project}/captures", files=sent).json()[0]["capture"]["id"]
        box = {"label": "dog", "x": left / 80, "y": 0, "width": 1 / 80, "height": 1}
        assert api.put(f"/captures/{capture}/boxes", json={"boxes": [box]}).status_code == 200
    version = api.post(f"/projects/{project}/versions", json={"task": "DETECTION"}).json()["id"]
    archive = io.BytesIO(api.get(f"/versions/{version}/archive?form=voc").content)
    assert send(api, make_project(api, f"pixel {left}"), archive)["boxes"] == 2


def test_the_file_is_asked_for_by_name(api: httpx.Client, project: str, tmp_path: Path) -> None:
    for sent in ({"data": {"a": "b"}}, {"content": b"x"}, {"files": {"other": ("a.zip", b"x")}}):
        answer = api.post(f"/projects/{project}/archives", **sent)  # type: ignore[arg-type]
        assert answer.status_code == 422
        assert json.loads(answer.text)["error"]["metadata"] == {"field": "body.file"}
