"""Captures become a data set version, the version a model, the model a kmodel, the kmodel a release."""

from __future__ import annotations

from typing import Any

from services.client import Client
from services.common.errors import Internal
from services.demo.report import Report
from services.demo.story import Story
from services.demo.waiting import wait_until

__all__ = ["TARGET", "release", "train"]

TARGET = "k210-kmodel-v3"
SEED = 7
VALIDATION_SHARE = 0.25
TRAINING_SECONDS = 1800.0
ROLLOUT_SECONDS = 300.0
ENDED = ("DONE", "FAILED", "STOPPED", "INTERRUPTED")


def train(story: Story, client: Client, project: str) -> dict[str, Any]:
    """The registered model, as /models/{id} gives it."""
    split = {"seed": SEED, "validation_share": VALIDATION_SHARE}
    version = client.post(f"/projects/{project}/versions", split)
    again = client.post(f"/projects/{project}/versions", split)
    story.report.check("same_version", version["sha256"] == again["sha256"])
    story.report.figure("train_images", version["train_count"])
    story.report.figure("validation_images", version["validation_count"])
    parameters = {
        "backbone": "mobilenet_v1_0.5",
        "input_size": 128,
        "seed": SEED,
        "weights": "imagenet",
        "target": TARGET,
    }
    job = client.post(f"/projects/{project}/jobs", {"version_id": version["id"], "parameters": parameters})
    job = _follow(story, client, job["id"])
    if job["state"] != "DONE":
        raise Internal(
            "TRAINING_FAILED", f"The training ended as {job['state']}: {job['error']}", fix="See the job's log."
        )
    model: dict[str, Any] = client.get(f"/models/{job['model_id']}")
    _figures(model, story.report)
    return model


def _follow(story: Story, client: Client, job_id: str) -> dict[str, Any]:
    with story.bars() as progress:
        bar = progress.add_task(story.t("demo.training"), total=100, note="")

        def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = client.get(f"/jobs/{job_id}")
            last = job["epochs"][-1] if job["epochs"] else None
            note = story.t(f"job.{job['state']}")
            if last:
                loss, accuracy = f"{last['train_loss']:.3f}", f"{last['validation_accuracy']:.3f}"
                note += "  " + story.t("demo.epoch", epoch=last["epoch"], loss=loss, accuracy=accuracy)
            progress.update(bar, completed=round(100 * job["progress"]), note=note)
            return job if job["state"] in ENDED else None

        found = wait_until(ended, TRAINING_SECONDS, "the training")
    assert found is not None
    return found


def _figures(model: dict[str, Any], report: Report) -> None:
    file = next(file for file in model["files"] if file["target"] == TARGET)
    accuracy, converted = model["evaluation"]["accuracy"], file["evaluation"]["accuracy"]
    report.figure("float_accuracy", round(accuracy, 4), f"{accuracy:.1%}")
    report.figure("kmodel_accuracy", round(converted, 4), f"{converted:.1%}")
    report.figure("kmodel_images", file["evaluation"]["images"])
    report.figure("agreement", round(file["agreement"], 4), f"{file['agreement']:.1%}")
    report.figure("kmodel_bytes", file["size_bytes"], f"{file['size_bytes'] / 1000:.0f} kB")
    report.figure("ram_bytes", file["ram_bytes"], f"{file['ram_bytes'] / 1000:.0f} kB")
    simulated = file["evaluation"]["images"] == model["evaluation"]["images"] > 0
    report.check("all_simulated", simulated)


def release(story: Story, client: Client, project: str, model: dict[str, Any]) -> str:
    """Release id, once every board has committed it (or failed to)."""
    new = client.post(f"/projects/{project}/releases", {"model_id": model["id"], "target": TARGET, "name": "demo"})
    with story.bars() as progress:
        boards = [update["board_id"] for update in new["boards"]]
        tasks = {board: progress.add_task(board, total=100, note="") for board in boards}

        def done() -> dict[str, Any] | None:
            for board, bar in tasks.items():
                state = client.get(f"/boards/{board}")
                finished = state["update_state"] in ("COMMITTED", "FAILED")
                percent = 100 if finished else round(100 * state["update_progress"])
                progress.update(
                    bar,
                    completed=percent,
                    note=f"{story.t('update.' + state['update_state'])} {state['update_reason']}",
                )
            now: dict[str, Any] = client.get(f"/releases/{new['id']}")
            return now if now["state"] == "DONE" else None

        ended = wait_until(done, ROLLOUT_SECONDS, "the boards to take the release")
    assert ended is not None
    committed = [update["state"] == "COMMITTED" for update in ended["boards"]]
    story.report.figure(
        "release_bytes",
        ended["payload_bytes"],
        f"{ended['payload_bytes'] / 1000:.0f} kB",
    )
    story.report.figure("boards_committed", sum(committed))
    story.report.check("committed", len(committed) == 2 and all(committed))
    return str(ended["id"])
