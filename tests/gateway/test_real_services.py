"""The same REST API over the real collector, trainer and deployer with the embedded broker."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import zxingcpp
from PIL import Image

from tests.gateway.canned import LABELS, TARGET, cell_jpeg

TIMEOUT = 60.0  # seconds


@pytest.fixture(scope="module")
def project(api: httpx.Client) -> str:
    """A project with 12 uploaded captures."""
    project = str(created(api.post("/projects", json={"name": "Cells", "labels": LABELS}))["id"])
    for label in LABELS:
        bad = label == LABELS[1]
        files = [("files", (f"{seed}.jpg", cell_jpeg(seed + 100 * bad, bad))) for seed in range(6)]
        created(api.post(f"/projects/{project}/captures", files=files, data={"label": label}))
    return project


def created(answer: httpx.Response) -> Any:
    assert answer.status_code == 201, answer.text
    return answer.json()


def wait_for(question: Callable[[], Any]) -> Any:
    """Asks until the answer is true."""
    end = time.monotonic() + TIMEOUT
    while not (answer := question()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)
    return answer


def test_all_services_answer(api: httpx.Client) -> None:
    assert api.get("/status").json()["services"] == {"collector": True, "trainer": True, "deployer": True}


def test_uploads_are_counted_shown_and_frozen(api: httpx.Client, project: str) -> None:
    counts = api.get(f"/projects/{project}/captures/counts").json()
    assert counts["total"] == 12
    capture = api.get(f"/projects/{project}/captures", params={"label": LABELS[1], "page_size": 1}).json()["captures"][
        0
    ]
    thumbnail = api.get(f"/captures/{capture['id']}/thumbnail", params={"size": 96})
    assert Image.open(io.BytesIO(thumbnail.content)).size == (96, 96)
    version = created(api.post(f"/projects/{project}/versions", json={"seed": 3, "validation_share": 0.25}))
    assert version["train_count"] + version["validation_count"] == 12
    assert api.get(f"/projects/{project}/versions").json()[0]["sha256"] == version["sha256"]


def test_the_same_picture_twice_is_a_duplicate(api: httpx.Client, project: str) -> None:
    again = {"files": ("0.jpg", cell_jpeg(0, False))}
    assert created(api.post(f"/projects/{project}/captures", files=again, data={"label": LABELS[0]}))[0]["duplicate"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/projects", {"name": "Cells", "labels": ["twice", "twice"]}),
        ("/projects/{project}/jobs", {"version_id": "ffffffffffff"}),
        ("/projects/{project}/releases", {"model_id": "ffffffffffff"}),
        ("/boards/aaaaaaaaaa/pairing", {}),
        ("/captures/label", {"capture_ids": ["f" * 32], "label": "no such label"}),
        ("/wifi-codes", {"ssid": "shop", "password": "short"}),
    ],
)
def test_what_services_refuse_keeps_the_one_shape(
    api: httpx.Client, project: str, path: str, body: dict[str, object]
) -> None:
    answer = api.post(path.format(project=project), json=body)
    error = answer.json()["error"]
    assert answer.status_code in (404, 409, 422), answer.text
    assert error["reason"].isupper() and error["message"] and list(error) == ["reason", "message", "fix", "metadata"]


def test_a_pairing_code_is_what_its_picture_says(api: httpx.Client, project: str) -> None:
    made = created(api.post(f"/projects/{project}/boards", json={"name": "line 1"}))
    picture = base64.b64decode(made["qr_data_url"].partition(",")[2])
    assert zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))[0].text == made["code"]
    assert api.get(f"/boards/{made['board']['id']}").json()["state"] == "PAIRING"
    assert api.post(f"/boards/{made['board']['id']}/revoke").json()["state"] == "REVOKED"


def test_a_training_runs_and_is_stopped(api: httpx.Client, project: str) -> None:
    version = created(api.post(f"/projects/{project}/versions", json={"seed": 4}))["id"]
    parameters = {"weights": "none", "epochs": 500, "input_size": 128, "batch_size": 4, "backbone": "mobilenet_v1_0.5"}
    job = created(api.post(f"/projects/{project}/jobs", json={"version_id": version, "parameters": parameters}))
    assert job["parameters"]["target"] == TARGET
    wait_for(lambda: api.get(f"/jobs/{job['id']}").json()["log"])
    assert api.post(f"/jobs/{job['id']}/stop").status_code == 200
    ended = wait_for(lambda: (now := api.get(f"/jobs/{job['id']}").json())["ended_at"] and now)
    assert ended["state"] == "STOPPED", ended["error"]


def test_targets_are_those_of_the_trainer(api: httpx.Client) -> None:
    assert TARGET in [one["id"] for one in api.get("/targets").json()]
