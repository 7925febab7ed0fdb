"""Each resource over REST, against the services' contracts."""

from __future__ import annotations

import base64
import io

import pytest
import zxingcpp
from PIL import Image

from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from tests.gateway.canned import BOARDS, LABELS, MODEL_FILE, RELEASE, TARGET, World, cell_jpeg
from tests.gateway.canned_detection import detector
from tests.gateway.conftest import Door


@pytest.fixture
def project(world: World) -> str:
    """A project with 30 captures, a version, two boards and a release."""
    project = world.collector.fill(30)
    world.deployer.fill(project)
    return project


@pytest.fixture
def job(door: Door, project: str) -> str:
    body = {"version_id": "000000000001", "parameters": {"epochs": 4, "seed": 7}}
    answer = door.admin.post(f"/projects/{project}/jobs", json=body)
    assert answer.status_code == 201
    return str(answer.json()["id"])


def test_projects(door: Door) -> None:
    made = door.admin.post("/projects", json={"name": "Cells", "labels": ["good", "bad"]}).json()
    assert made["labels"] == ["good", "bad"] and made["created_at"].endswith("Z")
    assert door.admin.get("/projects").json() == [made]
    changed = door.admin.put(f"/projects/{made['id']}/labels", json={"labels": ["good", "bad", "ugly"]}).json()
    assert changed == door.admin.get(f"/projects/{made['id']}").json() == made | {"labels": ["good", "bad", "ugly"]}


def test_captures_are_listed_page_by_page_newest_first(door: Door, project: str) -> None:
    url = f"/projects/{project}/captures"
    first = door.admin.get(url, params={"page_size": 20}).json()
    second = door.admin.get(url, params={"page_size": 20, "page_token": first["next_page_token"]}).json()
    ids = [one["id"] for one in first["captures"] + second["captures"]]
    assert len(ids) == 30 and ids == sorted(ids, reverse=True) and second["next_page_token"] == ""


@pytest.mark.parametrize(
    ("query", "count"), [({"label": "defective"}, 7), ({"label": ""}, 3), ({"board_id": BOARDS[0]}, 15), ({}, 30)]
)
def test_captures_are_filtered(door: Door, project: str, query: dict[str, str], count: int) -> None:
    assert len(door.admin.get(f"/projects/{project}/captures", params=query).json()["captures"]) == count


def test_counts(door: Door, project: str) -> None:
    counts = door.admin.get(f"/projects/{project}/captures/counts").json()
    assert counts["total"] == 30
    assert {one["label"]: one["count"] for one in counts["labels"]} == {"": 3, "functional": 20, "defective": 7}
    assert {one["board_id"]: one["count"] for one in counts["boards"]} == dict.fromkeys(BOARDS, 15)


def test_pictures_may_be_kept_by_the_browser(door: Door, world: World, project: str) -> None:
    key = f"{3:032x}"
    whole = door.admin.get(f"/captures/{key}/image")
    assert (whole.content, whole.headers["content-type"]) == (world.collector.jpegs[key], "image/jpeg")
    assert whole.headers["cache-control"] == "private, max-age=31536000, immutable"
    small = door.admin.get(f"/captures/{key}/thumbnail", params={"size": 64})
    assert Image.open(io.BytesIO(small.content)).size == (64, 64)


def test_upload_relabel_delete(door: Door, project: str) -> None:
    new = cell_jpeg(900, True)
    files = [("files", ("new.jpg", new)), ("files", ("again.jpg", new))]
    answer = door.admin.post(f"/projects/{project}/captures", files=files, data={"label": "defective"})
    assert [one["duplicate"] for one in answer.json()] == [False, True]
    capture = answer.json()[0]["capture"]
    assert (capture["label"], capture["board_id"]) == ("defective", "")
    body = {"capture_ids": [capture["id"]], "label": "functional"}
    assert door.admin.post("/captures/label", json=body).json() == {"changed": 1}
    assert door.admin.get(f"/captures/{capture['id']}").json()["label"] == "functional"
    assert door.admin.post("/captures/delete", json={"capture_ids": [capture["id"]]}).json() == {"changed": 1}
    assert door.admin.get(f"/captures/{capture['id']}").status_code == 404


def test_an_upload_that_is_no_picture_is_refused_in_words(door: Door, project: str) -> None:
    answer = door.admin.post(f"/projects/{project}/captures", files={"files": ("a.jpg", b"GIF89a")})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (422, "NOT_JPEG")


def test_versions(door: Door, project: str) -> None:
    made = door.admin.post(f"/projects/{project}/versions", json={"seed": 5, "validation_share": 0.3}).json()
    assert (made["number"], made["seed"], made["train_count"], made["validation_count"]) == (2, 5, 19, 8)
    assert door.admin.get(f"/projects/{project}/versions").json()[0] == made
    assert door.admin.get(f"/versions/{made['id']}").json() == made


def test_boxes_are_set_shown_filtered_and_taken_away(door: Door, project: str) -> None:
    url, box = f"/captures/{3:032x}", {"label": "defective", "x": 0.25, "y": 0.5, "width": 0.5, "height": 0.25}
    assert door.admin.get(url).json()["boxed"] is False
    changed = door.admin.put(f"{url}/boxes", json={"boxes": [box]}).json()
    assert (changed["boxes"], changed["boxed"]) == ([box], True)
    assert door.admin.get(url).json() == changed
    for boxed, count in (("true", 1), ("false", 29)):
        assert len(door.admin.get(f"/projects/{project}/captures?boxed={boxed}").json()["captures"]) == count
    assert door.admin.get(f"/projects/{project}/captures/counts").json()["boxed"] == 1
    assert door.admin.put(f"{url}/boxes", json={"boxes": []}).json()["boxed"] is True
    assert door.admin.delete(f"{url}/boxes").json()["boxed"] is False


@pytest.mark.parametrize(
    ("box", "reason"),
    [({"x": 0.9}, "BAD_BOX"), ({"x": "far"}, "INVALID_REQUEST"), ({"label": "x" * 33}, "INVALID_REQUEST")],
)
def test_a_wrong_box_is_refused_in_the_one_shape(door: Door, project: str, box: dict[str, object], reason: str) -> None:
    whole = {"label": "defective", "x": 0.25, "y": 0.5, "width": 0.5, "height": 0.25} | box
    answer = door.admin.put(f"/captures/{3:032x}/boxes", json={"boxes": [whole]})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (422, reason)


def test_a_version_is_for_classification_or_for_detection(door: Door, project: str) -> None:
    url = f"/projects/{project}/versions"
    assert door.admin.post(url, json={}).json()["task"] == "CLASSIFICATION"
    assert door.admin.post(url, json={"task": "DETECTION"}).json()["task"] == "DETECTION"
    assert door.admin.post(url, json={"task": "GUESSING"}).status_code == 422


@pytest.mark.parametrize("share", [0, 1, -0.1, "much"])
def test_a_share_outside_its_range_is_refused(door: Door, project: str, share: object) -> None:
    answer = door.admin.post(f"/projects/{project}/versions", json={"validation_share": share})
    assert answer.json()["error"]["metadata"] == {"field": "body.validation_share"}


def test_a_job_is_started_watched_stopped_and_resumed(door: Door, world: World, project: str, job: str) -> None:
    assert door.admin.get(f"/jobs/{job}").json()["state"] == "QUEUED"
    world.trainer.advance(job, 2)
    now = door.admin.get(f"/jobs/{job}").json()
    assert (now["state"], len(now["epochs"]), now["ended_at"], now["parameters"]["seed"]) == ("TRAINING", 2, None, 7)
    assert door.admin.post(f"/jobs/{job}/stop").json()["state"] == "STOPPED"
    assert door.admin.post(f"/jobs/{job}/resume").json()["state"] == "QUEUED"
    assert [one["id"] for one in door.admin.get(f"/projects/{project}/jobs").json()] == [job]


def test_a_queued_job_is_moved_in_the_queue(door: Door, job: str) -> None:
    before = door.admin.get(f"/jobs/{job}").json()
    assert (before["priority"], before["queue_position"]) == (0, 1)
    assert door.admin.put(f"/jobs/{job}/priority", json={"priority": -3}).json()["priority"] == -3
    refused = door.admin.put(f"/jobs/{job}/priority", json={"priority": 101}).json()["error"]
    assert refused["metadata"] == {"field": "body.priority"}


def test_stopping_a_job_that_has_ended_is_a_conflict(door: Door, world: World, job: str) -> None:
    world.trainer.finish(job)
    answer = door.admin.post(f"/jobs/{job}/stop")
    assert (answer.status_code, answer.json()["error"]["reason"]) == (409, "JOB_ENDED")


def test_a_model_with_its_figures(door: Door, world: World, project: str, job: str) -> None:
    model = door.admin.get(f"/models/{world.trainer.finish(job)}").json()
    assert door.admin.get(f"/projects/{project}/models").json() == [model]
    assert model["evaluation"]["confusion"] == [41, 4, 5, 30]
    assert model["files"][0]["agreement"] == 0.9875
    assert door.admin.get("/targets").json()[0]["id"] == TARGET
    converted = door.admin.post(f"/models/{model['id']}/convert", json={"target": TARGET})
    assert (converted.status_code, converted.json()) == (201, model["files"][0])


def test_a_conversion_is_told_what_it_may_do(door: Door, world: World, job: str) -> None:
    model = world.trainer.finish(job)
    body = {"target": "web-onnx", "max_accuracy_drop": 0, "allow_oversize": True, "weight_range": "mse"}
    refused = door.admin.post(f"/models/{model}/convert", json=body)
    assert (refused.status_code, refused.json()["error"]["reason"]) == (422, "ACCURACY_DROP")
    assert refused.json()["error"]["metadata"] == {"layer": "conv7_dw"}
    asked = world.trainer.conversion
    assert (asked.HasField("max_accuracy_drop"), asked.allow_oversize, asked.weight_range) == (True, True, "mse")
    assert door.admin.post(f"/models/{model}/convert", json=body | {"max_accuracy_drop": 0.5}).status_code == 201
    door.admin.post(f"/models/{model}/convert", json={"target": TARGET})
    assert not world.trainer.conversion.HasField("max_accuracy_drop")


@pytest.mark.parametrize("body", [{"max_accuracy_drop": 1.5}, {"max_accuracy_drop": -1}, {"weight_range": "all"}])
def test_a_conversion_with_a_wrong_wish_is_refused(door: Door, world: World, job: str, body: dict[str, object]) -> None:
    answer = door.admin.post(f"/models/{world.trainer.finish(job)}/convert", json={"target": TARGET, **body})
    assert (answer.status_code, answer.json()["error"]["metadata"]) == (422, {"field": f"body.{next(iter(body))}"})


def test_the_fidelity_of_a_file(door: Door, world: World, job: str) -> None:
    model = world.trainer.finish(job)
    found = door.admin.get(f"/models/{model}/files/{TARGET}/fidelity").json()
    assert found["scores"] == [{"name": "accuracy", "floating": 0.8875, "converted": 0.875}]
    assert len(found["layers"]) == 28 and found["changed"][0]["converted"]["label"] == "defective"
    missing = door.admin.get(f"/models/{model}/files/web-onnx/fidelity")
    assert (missing.status_code, missing.json()["error"]["reason"]) == (404, "FILE_NOT_FOUND")
    world.trainer.models[model].files[0].fidelity_json = "{}"
    old = door.admin.get(f"/models/{model}/files/{TARGET}/fidelity")
    assert (old.status_code, old.json()["error"]["reason"]) == (404, "NOT_COMPARED")


@pytest.mark.parametrize(("target", "name"), [(TARGET, "model.kmodel"), ("float", "float__1_.pt")])
def test_a_model_file_comes_whole(door: Door, world: World, job: str, target: str, name: str) -> None:
    answer = door.admin.get(f"/models/{world.trainer.finish(job)}/files/{target}")
    assert answer.content == MODEL_FILE
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


def test_a_file_comes_packed_for_its_board(door: Door, world: World, job: str) -> None:
    model = world.trainer.finish(job)
    assert door.admin.get(f"/models/{model}").json()["files"][0]["packages"] == ["k210-zip", "kfpkg"]
    answer = door.admin.get(f"/models/{model}/files/{TARGET}/packages/kfpkg", params={"address": 0x500000})
    assert answer.content == MODEL_FILE
    assert answer.headers["content-disposition"] == 'attachment; filename="model-k210.zip"'
    asked = world.trainer.asked
    assert (asked.target, asked.package, asked.flash_address) == (TARGET, "kfpkg", 0x500000)
    wrong = door.admin.get(f"/models/{model}/files/{TARGET}/packages/kfpkg", params={"address": -1})
    assert (wrong.status_code, wrong.json()["error"]["metadata"]) == (422, {"field": "query.address"})


def test_a_download_that_fails_does_so_before_the_first_byte(door: Door) -> None:
    answer = door.admin.get("/models/0123456789ab/files/float")
    assert (answer.status_code, answer.json()["error"]["reason"]) == (404, "UNKNOWN_MODEL")


def test_prediction_names_the_best_label(door: Door, world: World, job: str) -> None:
    url = f"/models/{world.trainer.finish(job)}/predict"
    answer = door.admin.post(url, files={"file": ("a.jpg", cell_jpeg(1, False))}, params={"target": TARGET}).json()
    assert answer == {
        "label": "functional",
        "scores": dict(zip(LABELS, (0.953, 0.047), strict=True)),
        "logits": [2, -1],
        "objects": [],
        "seconds": 0.25,
        "input_data_url": "data:image/png;base64,UE5H",
    }


def test_prediction_of_a_detector_says_what_is_where(door: Door, world: World, job: str) -> None:
    model = world.trainer.finish(job)
    detector(world.trainer.models[model])
    found = pb.FoundObject(label="defective", confidence=0.75, left=0.25, top=0.5, right=0.5, bottom=1)
    world.trainer.prediction = pb.PredictResponse(objects=[found])
    answer = door.admin.post(f"/models/{model}/predict", files={"file": ("a.jpg", cell_jpeg(1, False))}).json()
    assert (answer["label"], answer["scores"], answer["logits"]) == ("defective", {}, [])
    assert answer["objects"] == [
        {"label": "defective", "confidence": 0.75, "left": 0.25, "top": 0.5, "right": 0.5, "bottom": 1.0}
    ]
    public = door.admin.get(f"/models/{model}").json()
    assert (public["task"], public["evaluation"]["mean_average_precision"]) == ("detection", 0.625)
    assert [one["ap50"] for one in public["evaluation"]["classes"]] == [0.625, None]


def test_pairing_gives_a_code_as_text_and_as_pictures(door: Door, project: str) -> None:
    answer = door.admin.post(f"/projects/{project}/boards", json={"name": "line 3", "host": "10.0.0.5"})
    made = answer.json()
    assert answer.status_code == 201 and made["code"].startswith("BL1:10.0.0.5:")
    assert (made["board"]["state"], made["board"]["board_type"]) == ("PAIRING", "k210")
    inline = base64.b64decode(made["qr_data_url"].removeprefix("data:image/png;base64,"))
    at_url = door.admin.get(made["qr_url"].removeprefix("/api/v1"))
    assert at_url.content == inline and at_url.headers["cache-control"] == "no-store"
    assert zxingcpp.read_barcodes(Image.open(io.BytesIO(inline)))[0].text == made["code"]
    again = door.admin.post(f"/boards/{made['board']['id']}/pairing", json={}).json()
    assert again["board"]["id"] == made["board"]["id"] and again["board"]["name"] == "line 3"


def test_a_wifi_code(door: Door) -> None:
    made = door.admin.post("/wifi-codes", json={"ssid": "shop", "password": "secret-wifi"}).json()
    assert made["code"] == "WIFI:T:WPA;S:shop;P:secret-wifi;;"


def test_a_forgotten_picture_is_gone(door: Door) -> None:
    answer = door.admin.get("/qr/unknown.png")
    assert (answer.status_code, answer.json()["error"]["reason"]) == (404, "QR_GONE")


def test_boards_and_their_results(door: Door, project: str) -> None:
    boards = door.admin.get(f"/projects/{project}/boards").json()
    assert [(one["state"], one["update_state"]) for one in boards] == [
        ("ONLINE", "COMMITTED"),
        ("ONLINE", "DOWNLOADING"),
    ]
    assert boards[1] == door.admin.get(f"/boards/{BOARDS[1]}").json()
    assert door.admin.post(f"/boards/{BOARDS[1]}/revoke").json()["state"] == "REVOKED"
    results = door.admin.get(f"/projects/{project}/results", params={"limit": 3}).json()
    assert [one["top"] for one in results] == [0, 1, 0] and results[0]["logits"] == [2.5, -0.1]


def test_a_release_waits_for_its_signature(door: Door, world: World, project: str) -> None:
    body = {"model_id": "0000000000a1", "name": "first", "expires_at": "2027-01-01T00:00:00Z"}
    answer = door.admin.post(f"/projects/{project}/releases", json=body)
    release = answer.json()
    assert (answer.status_code, release["state"], release["target"]) == (201, "AWAITING_SIGNATURE", TARGET)
    manifest = door.admin.get(f"/releases/{release['id']}/manifest")
    assert manifest.json() == {"release": release["id"]}
    signature = base64.b64encode(b"s" * 384).decode()
    signed = door.admin.put(f"/releases/{release['id']}/signature", json={"signature": signature})
    assert signed.json()["state"] == "ROLLING_OUT" and world.deployer.signature == b"s" * 384
    assert [one["id"] for one in door.admin.get(f"/projects/{project}/releases").json()] == [release["id"], RELEASE]


def test_status_names_the_service_that_is_away(door: Door, world: World) -> None:
    assert door.admin.get("/status").json()["services"] == {"collector": True, "trainer": True, "deployer": True}
    world.take("trainer")
    assert door.admin.get("/status").json()["services"] == {"collector": True, "trainer": False, "deployer": True}


def test_networks_are_proposed_estimated_and_a_training_is_checked(door: Door, world: World, project: str) -> None:
    query = {"label": ["functional", "defective"], "target": "k210-kmodel-v3"}
    first, *_, last = door.admin.get("/networks", params=query).json()
    assert first["recommended"] and last["estimate"]["oversize"] and last["why"] == last["estimate"]["refusal"]
    small = door.admin.get("/networks/estimate", params=query | {"input_width": 96}).json()
    assert "4x4" in small["refusal"] and small["input_height"] == 96
    peaks = door.admin.get("/networks/estimate", params=query | {"pooling": "peaks"})
    assert "halve" in peaks.json()["refusal"]
    assert door.admin.get("/networks/estimate", params=query | {"pooling": "loudest"}).status_code == 422
    assert door.admin.get("/networks").status_code == 422
    headed = query | {"head": "yolo2"}
    assert [one["estimate"]["head"] for one in door.admin.get("/networks", params=headed).json()] == ["yolo2"] * 3
    assert door.admin.get("/networks/estimate", params=headed).json()["head"] == "yolo2"
    assert door.admin.get("/networks", params=query | {"head": "yolo9"}).status_code == 422
    assert door.admin.get("/targets").json()[-1]["heads"] == ["classifier", "yolo2", "anchor_free"]
    facts = {"ratio": "3.2"}
    world.trainer.problems = [pb.TrainingProblem(severity=pb.SEVERITY_WARNING, code="imbalance", facts=facts)]
    version = door.admin.get(f"/projects/{project}/versions").json()[0]["id"]
    answer = door.admin.post(f"/projects/{project}/jobs/check", json={"version_id": version}).json()
    assert [(one["severity"], one["facts"]) for one in answer["problems"]] == [("WARNING", facts)]
    assert answer["labels"][0] == {"label": "functional", "train": 47, "validation": 12}
