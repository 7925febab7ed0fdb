"""Evaluations and model cards over REST, against the trainer's contract."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.canned import TARGET, World
from tests.gateway.canned_evaluations import classified, detected
from tests.gateway.conftest import Door

VERSION = "000000000001"


@pytest.fixture
def model(door: Door, world: World) -> str:
    project = world.collector.fill(30)
    job = door.admin.post(f"/projects/{project}/jobs", json={"version_id": VERSION, "parameters": {"epochs": 2}}).json()
    return world.trainer.finish(job["id"])


def start(door: Door, model: str, **body: Any) -> dict[str, Any]:
    answer = door.admin.post(f"/models/{model}/evaluations", json={"version_id": VERSION} | body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_an_evaluation_is_started_and_has_figures_once_it_is_done(door: Door, world: World, model: str) -> None:
    made = start(door, model, target=TARGET, part="all", skip_unreadable=True)
    assert made["skip_unreadable"] and world.trainer.evaluations[made["id"]].skip_unreadable
    assert (made["target"], made["part"], made["state"], made["figures"]) == (TARGET, "all", "QUEUED", None)
    assert start(door, model)["target"] == ""  # "float" is the default
    world.trainer.end(made["id"], classified())
    figures = door.admin.get(f"/evaluations/{made['id']}").json()["figures"]
    assert figures["labels"] == ["functional", "defective"] and sum(figures["confusion"]) == figures["images"] == 80
    quality = figures["qualities"][1]
    assert quality["threshold"]["enough"] and len(quality["curve_recall"]) == len(quality["curve_confidence"]) > 5
    assert figures["subsets"][0]["finding"] and figures["subsets"][0]["kind"] in ("label", "board", "brightness")
    assert [one["id"] for one in door.admin.get(f"/models/{model}/evaluations").json()][1] == made["id"]


def test_an_evaluation_is_stopped_and_resumed(door: Door, model: str) -> None:
    made = start(door, model)
    assert door.admin.post(f"/evaluations/{made['id']}/stop").json()["state"] == "STOPPED"
    assert door.admin.post(f"/evaluations/{made['id']}/resume").json()["state"] == "QUEUED"


def test_outcomes_of_a_detection_have_their_boxes(door: Door, world: World, model: str) -> None:
    made = start(door, model)
    world.trainer.end(made["id"], detected())
    url = f"/evaluations/{made['id']}/outcomes"
    missed = door.admin.get(url, params={"kind": "missed", "page_size": 2}).json()
    assert missed["total"] > 2 and missed["next_page_token"] and len(missed["outcomes"]) == 2
    box = next(box for box in missed["outcomes"][0]["boxes"] if box["kind"] == "missed")
    assert len(box["truth_box"]) == 4 and box["found_box"] == [] and box["predicted"] == ""
    several = door.admin.get(url, params={"subset_kind": "count", "subset_name": "2–3"}).json()
    assert several["total"] == 14 and all(len(one["boxes"]) >= 2 for one in several["outcomes"])
    cell = door.admin.get(url, params={"truth": "", "predicted": "functional"}).json()["outcomes"]
    assert all(any(box["kind"] == "false" for box in one["boxes"]) for one in cell) and cell


def test_two_evaluations_are_compared(door: Door, world: World, model: str) -> None:
    first, second = start(door, model)["id"], start(door, model)["id"]
    world.trainer.end(first, classified(1))
    world.trainer.end(second, classified(2))
    made = door.admin.get(f"/evaluations/{first}/compare/{second}").json()
    assert made["common_images"] == 80 and made["first"]["id"] == first
    assert made["second_right"] - made["first_right"] == len(made["mended"]) - len(made["broken"])


@pytest.mark.parametrize(
    "body", [{"part": "test"}, {"confidence": 1.0}, {"confidence": -0.1}, {"version_id": "../etc"}, {"target": "a b"}]
)
def test_a_wrong_request_is_refused(door: Door, model: str, body: dict[str, Any]) -> None:
    answer = door.admin.post(f"/models/{model}/evaluations", json={"version_id": VERSION} | body)
    assert answer.status_code == 422 and answer.json()["error"]["fix"] is not None


def test_an_unknown_kind_of_outcome_is_refused(door: Door, model: str) -> None:
    answer = door.admin.get(f"/evaluations/{start(door, model)['id']}/outcomes", params={"kind": "strange"})
    assert answer.status_code == 422


def test_a_card_is_json_for_programs(door: Door, model: str) -> None:
    card = door.admin.get(f"/models/{model}/card").json()
    assert card["code_version"] == "git 0123456789ab" and card["parameters"]["epochs"] == 2
    assert [one["name"] for one in card["lineage"]] == ["solar-cells-1", "solar-cells-0"]
    assert "Apache-2.0" in card["model"]["weights_source"] and card["version_number"] == 1


def test_a_card_is_markdown_for_people(door: Door, world: World, model: str) -> None:
    world.trainer.models[model].name = "cells | <b>one</b>"
    world.trainer.end(start(door, model)["id"], classified())
    answer = door.admin.get(f"/models/{model}/card.md")
    assert (
        answer.headers["content-type"].startswith("text/markdown")
        and "attachment" in answer.headers["content-disposition"]
    )
    lines = answer.text.splitlines()
    assert lines[0] == "# cells \\| &lt;b>one&lt;/b>"
    assert "* Code: git 0123456789ab" in lines and any("Apache-2.0" in line for line in lines)
    assert any(line.startswith("* Lineage:") and "solar-cells-0 (imagenet)" in line for line in lines)
    assert any(line.startswith("| Float network | version 000000000001, validation part |") for line in lines)
    assert "| epochs | 2 |" in lines and "simulator" in answer.text
    chinese = door.admin.get(f"/models/{model}/card.md", headers={"Accept-Language": "zh-CN"}).text
    assert "* 代码: git 0123456789ab" in chinese
