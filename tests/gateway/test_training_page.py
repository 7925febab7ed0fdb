"""The page Training: the form, what it starts, and the job that is watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as t
from tests.browser import Tab
from tests.gateway.page_site import Site, keep, start, started


def test_a_version_is_made_and_trained(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    number = len(site.world.collector.versions) + 1
    tab.at("new-version").click()
    tab.at("version-share").fill("25")
    tab.at("version-create").click()
    expect(tab.at("version").first).to_contain_text(f"v{number}")
    assert site.world.collector.versions[0].validation_share == 0.25
    tab.at("version-train").first.click()
    expect(tab.page.get_by_text(f"Version {number} · ")).to_be_visible()
    tab.at("train-epochs").fill("6")
    tab.at("train-more").click()
    tab.at("train-drop").fill("3.5")
    tab.at("train-advanced").click()
    tab.at("train-dropout").fill("0.4")
    tab.at("train-balance_classes").click()
    tab.choose("train-pooling", "peaks")
    job = site.world.trainer.jobs[start(site, tab)]
    assert (job.parameters.epochs, job.version_id) == (6, site.world.collector.versions[0].id)
    assert job.parameters.max_accuracy_drop == 0.035
    assert (job.parameters.dropout, job.parameters.balance_classes, job.parameters.ema) == (0.4, True, 0.99)
    assert job.parameters.pooling == "peaks"


def test_a_training_goes_on_from_a_model_with_its_parameters(tab: Tab, site: Site) -> None:
    trained = started(site, tab)
    parameters = site.world.trainer.jobs[trained].parameters
    parameters.epochs, parameters.dropout, parameters.optimizer = 7, 0.35, "sgd"
    model = site.world.trainer.finish(trained)
    tab.go(f"/projects/{site.project}/models?model={model}")
    tab.at("model-train-on").click()
    expect(tab.at("train-epochs")).to_have_value("7")
    asked = site.world.trainer.jobs[start(site, tab)].parameters
    assert (asked.weights, asked.epochs, asked.dropout, asked.optimizer) == (f"model:{model}", 7, 0.35, "sgd")


def test_a_training_is_seen_live_until_its_model(tab: Tab, site: Site) -> None:
    job = started(site, tab)
    site.world.trainer.advance(job, 9)
    expect(tab.at("job-view")).to_contain_text("Epoch 9 / 15")
    expect(tab.at("job-log")).to_contain_text("epoch 9: loss")
    expect(tab.at("chart").locator("canvas")).to_have_count(2)
    model = site.world.trainer.finish(job)
    expect(tab.at("job-state", state="DONE")).to_be_visible()
    expect(tab.at("job-stop")).to_be_hidden()
    tab.at("job-model").click()
    expect(tab.at("model-view", id=model)).to_be_visible()


@pytest.fixture
def boxed(site: Site) -> Iterator[None]:
    """The versions have boxes."""
    versions = site.world.collector.versions
    for version in versions:
        version.task = c.TASK_DETECTION
    yield
    for version in versions:
        version.task = c.TASK_CLASSIFICATION


def test_the_form_has_the_defaults_of_the_version_s_task(tab: Tab, site: Site, boxed: None) -> None:
    started(site, tab)
    asked = next(reversed(site.world.trainer.jobs.values())).parameters
    assert (asked.zoom, asked.weight_decay, asked.rotate, asked.head) == (0.35, 0.02, 0, "yolo2")


def test_the_head_is_chosen_where_the_chip_reads_several_and_the_cost_follows_it(
    tab: Tab, site: Site, boxed: None
) -> None:
    tab.go(f"/projects/{site.project}/training")
    expect(tab.at("networks-title")).to_contain_text("YOLOv2 detector")
    expect(tab.at("train-head")).to_be_hidden()  # a K210 reads one only
    expect(tab.at("train-target")).to_contain_text("K210, MaixPy")
    tab.choose("train-target", "ONNX")
    tab.choose("train-head", "Anchor-free detector (ncnn, ONNX)")
    expect(tab.at("networks-title")).to_contain_text("Anchor-free detector")
    expect(tab.at("network-estimate")).to_contain_text("Anchor-free detector")
    expect(tab.at("network-estimate")).to_contain_text("61 million multiply-adds")
    keep(tab, "training-heads")
    assert site.world.trainer.jobs[start(site, tab)].parameters.head == "anchor_free"
    tab.choose("train-target", "V831, AWNN int8")
    expect(tab.at("network-estimate")).to_contain_text("49 million multiply-adds")
    expect(tab.at("networks-title")).to_contain_text("YOLOv2 detector")


def test_a_training_from_a_model_keeps_its_head(tab: Tab, site: Site, boxed: None) -> None:
    trainer = site.world.trainer
    job = started(site, tab)
    trainer.jobs[job].parameters.target = "web-onnx"
    model = trainer.finish(job)
    trainer.models[model].task, trainer.models[model].head = "detection", "anchor_free"
    tab.go(f"/projects/{site.project}/training?model={model}")
    expect(tab.at("network-estimate")).to_contain_text("Anchor-free detector")


def test_labels_need_no_choice_of_a_head(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/training")
    expect(tab.at("train-target")).to_contain_text("K210, MaixPy")
    tab.choose("train-target", "ONNX")
    expect(tab.at("networks-title")).to_contain_text("Classifier")
    expect(tab.at("train-head")).to_be_hidden()


def test_a_waiting_training_shows_its_place_and_takes_a_priority(tab: Tab, site: Site) -> None:
    job = started(site, tab)
    expect(tab.at("job-view")).to_contain_text("place 1 in the queue")
    tab.choose("job-priority", "High")
    expect(tab.at("job-view")).to_contain_text("priority 10")
    assert site.world.trainer.jobs[job].priority == 10
    site.world.trainer.advance(job, 1)
    expect(tab.at("job-priority")).to_be_hidden()


def test_a_training_is_stopped_and_a_failed_one_resumed(tab: Tab, site: Site) -> None:
    job = started(site, tab)
    tab.at("job-stop").click()
    expect(tab.at("job-state", state="STOPPED")).to_be_visible()
    one = site.world.trainer.jobs[job]
    one.state, one.error = 6, "loss became NaN in epoch 3"
    expect(tab.at("job-error")).to_have_text("loss became NaN in epoch 3")
    tab.at("job-resume").click()
    expect(tab.at("job-state", state="QUEUED")).to_be_visible()
    expect(tab.at("job-error")).to_be_hidden()


def test_a_click_takes_a_proposed_network_and_the_estimate_follows_the_form(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/training")
    expect(tab.at("network")).to_have_count(3)
    expect(tab.at("network").first).to_contain_text("recommended")
    expect(tab.at("network").last).to_be_disabled()
    expect(tab.at("network").last).to_contain_text("1887436")
    tab.at("network").nth(1).click()
    expect(tab.at("network-estimate")).to_contain_text("MobileNetV1 0.25 · 160 × 160")
    tab.at("train-more").click()
    tab.at("train-input").click()
    tab.page.get_by_role("option", name="96 × 96").click()
    expect(tab.at("network-estimate")).to_contain_text("the KPU needs at least 4x4")
    tab.at("network").first.click()
    asked = site.world.trainer.jobs[start(site, tab)].parameters
    assert (asked.backbone, asked.input_size, asked.input_height) == ("mobilenet_v1_0.5", 224, 224)


def test_the_estimate_follows_the_pooling_of_a_classifier(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/training")
    tab.at("train-advanced").click()
    tab.choose("train-pooling", "peaks")
    expect(tab.at("network-estimate")).to_contain_text("do not halve into 4x4")
    tab.at("train-more").click()
    tab.choose("train-input", "256 × 256")
    expect(tab.at("network-estimate")).not_to_contain_text("do not halve")
    expect(tab.at("network-estimate")).to_contain_text("256 × 256")


def test_the_check_shows_problems_and_an_error_keeps_the_training_from_starting(tab: Tab, site: Site) -> None:
    trainer = site.world.trainer
    facts = {"most": "functional", "least": "defective", "ratio": "3.2"}
    warning = t.TrainingProblem(severity=t.SEVERITY_WARNING, code="imbalance", facts=facts)
    error = t.TrainingProblem(severity=t.SEVERITY_ERROR, code="of_tomorrow", message="It rains.", fix="Wait.")
    trainer.problems = [error, warning]
    tab.go(f"/projects/{site.project}/training")
    before = len(trainer.jobs)
    tab.at("train-start").click()
    expect(tab.at("problem")).to_have_count(2)
    expect(tab.at("problem").first).to_contain_text("It rains.")
    expect(tab.at("problem").last).to_contain_text("3.2 times as many of functional as of defective")
    expect(tab.at("preflight-counts")).to_contain_text("defective")
    assert len(trainer.jobs) == before
    trainer.problems = [warning]
    tab.at("train-check").click()
    expect(tab.at("problem")).to_have_count(1)
    start(site, tab)
    trainer.problems = []
