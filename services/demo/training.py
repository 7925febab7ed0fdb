"""Captures become a data set version, the version a model, the model a kmodel, the kmodel a release."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from services.client import Client
from services.common.errors import Internal
from services.demo.capturing import bars
from services.demo.report import Report
from services.demo.waiting import wait_until

__all__ = ["TARGET", "release", "train"]

TARGET = "k210-kmodel-v3"
SEED = 7
VALIDATION_SHARE = 0.25
TRAINING_SECONDS = 1800.0
ROLLOUT_SECONDS = 300.0
ENDED = ("DONE", "FAILED", "STOPPED", "INTERRUPTED")


def train(console: Console, client: Client, project: str, report: Report) -> dict[str, Any]:
    """The registered model, as /models/{id} gives it."""
    split = {"seed": SEED, "validation_share": VALIDATION_SHARE}
    version = client.post(f"/projects/{project}/versions", split)
    again = client.post(f"/projects/{project}/versions", split)
    report.check("the same seed freezes the same data set", version["sha256"] == again["sha256"])
    report.figure("train_images", "training images", version["train_count"])
    report.figure("validation_images", "validation images", version["validation_count"])
    parameters = {
        "backbone": "mobilenet_v1_0.5",
        "input_size": 128,
        "seed": SEED,
        "weights": "imagenet",
        "target": TARGET,
    }
    job = client.post(f"/projects/{project}/jobs", {"version_id": version["id"], "parameters": parameters})
    job = _follow(console, client, job["id"])
    if job["state"] != "DONE":
        raise Internal(
            "TRAINING_FAILED", f"The training ended as {job['state']}: {job['error']}", fix="See the job's log."
        )
    model: dict[str, Any] = client.get(f"/models/{job['model_id']}")
    _figures(model, report)
    return model


def _follow(console: Console, client: Client, job_id: str) -> dict[str, Any]:
    with bars(console) as progress:
        bar = progress.add_task("training", total=100, note="")

        def ended() -> dict[str, Any] | None:
            job: dict[str, Any] = client.get(f"/jobs/{job_id}")
            last = job["epochs"][-1] if job["epochs"] else None
            note = job["state"].lower()
            if last:
                note += f"  epoch {last['epoch']}  loss {last['train_loss']:.3f}"
                note += f"  accuracy {last['validation_accuracy']:.3f}"
            progress.update(bar, completed=round(100 * job["progress"]), note=note)
            return job if job["state"] in ENDED else None

        found = wait_until(ended, TRAINING_SECONDS, "the training")
    assert found is not None
    return found


def _figures(model: dict[str, Any], report: Report) -> None:
    file = next(file for file in model["files"] if file["target"] == TARGET)
    accuracy, converted = model["evaluation"]["accuracy"], file["evaluation"]["accuracy"]
    report.figure("float_accuracy", "accuracy, float network", round(accuracy, 4), f"{accuracy:.1%}")
    report.figure("kmodel_accuracy", "accuracy, kmodel simulated bit by bit", round(converted, 4), f"{converted:.1%}")
    report.figure("kmodel_images", "validation images simulated", file["evaluation"]["images"])
    report.figure(
        "agreement", "kmodel gives the float network's answer", round(file["agreement"], 4), f"{file['agreement']:.1%}"
    )
    report.figure("kmodel_bytes", "kmodel file", file["size_bytes"], f"{file['size_bytes'] / 1000:.0f} kB")
    report.figure("ram_bytes", "estimated RAM on the board", file["ram_bytes"], f"{file['ram_bytes'] / 1000:.0f} kB")
    simulated = file["evaluation"]["images"] == model["evaluation"]["images"] > 0
    report.check("the whole validation split went through the kmodel's simulator", simulated)


def release(console: Console, client: Client, project: str, model: dict[str, Any], report: Report) -> str:
    """Release id, once every board has committed it (or failed to)."""
    new = client.post(f"/projects/{project}/releases", {"model_id": model["id"], "target": TARGET, "name": "demo"})
    with bars(console) as progress:
        boards = [update["board_id"] for update in new["boards"]]
        tasks = {board: progress.add_task(board, total=100, note="") for board in boards}

        def done() -> dict[str, Any] | None:
            for board, bar in tasks.items():
                state = client.get(f"/boards/{board}")
                finished = state["update_state"] in ("COMMITTED", "FAILED")
                percent = 100 if finished else round(100 * state["update_progress"])
                progress.update(
                    bar, completed=percent, note=f"{state['update_state'].lower()} {state['update_reason']}"
                )
            now: dict[str, Any] = client.get(f"/releases/{new['id']}")
            return now if now["state"] == "DONE" else None

        ended = wait_until(done, ROLLOUT_SECONDS, "the boards to take the release")
    assert ended is not None
    committed = [update["state"] == "COMMITTED" for update in ended["boards"]]
    report.figure(
        "release_bytes",
        "encrypted payload of the release",
        ended["payload_bytes"],
        f"{ended['payload_bytes'] / 1000:.0f} kB",
    )
    report.figure("boards_committed", "boards that verified, tried and committed it", sum(committed))
    report.check("both boards run the released model", len(committed) == 2 and all(committed))
    return str(ended["id"])
