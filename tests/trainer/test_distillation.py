from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from services.trainer import loop
from services.trainer.distillation import soft_loss

JobFolder = Callable[..., Path]
Events = list[dict[str, Any]]
TEACHER = "mobilenet_v1_0.5"


def messages(events: Events) -> str:
    return " ".join(event.get("message", "") for event in events)


def test_the_soft_loss_is_least_where_the_teacher_is() -> None:
    answers = torch.tensor([[2.0, 0.0, -1.0]])
    hard, plain = torch.ones(1), torch.zeros(1, dtype=torch.bool)
    same, other = soft_loss(hard, answers, answers, plain), soft_loss(hard, -answers, answers, plain)
    assert same.item() == pytest.approx(0.3) and other > same


def test_of_a_mixture_the_teacher_alone_tells() -> None:
    answers = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    loss = soft_loss(torch.ones(2), answers, answers, torch.tensor([False, True]))
    assert loss.tolist() == pytest.approx([0.3, 0.0])


def test_three_trainings_in_a_row_and_the_better_is_kept(job_folder: JobFolder) -> None:
    folder = job_folder(train=32, validation=12, epochs=4, distil=TEACHER, learning_rate=2e-3, backbone="tiny_cnn")
    events: Events = []
    loop.train(folder, events.append)
    reached = {p: loop.load_checkpoint(folder / p / "best.pt") for p in ("plain", "teacher")}
    assert reached["teacher"].config.backbone == TEACHER and reached["plain"].config.backbone == "tiny_cnn"
    epochs = [event["epoch"] for event in events if event["type"] == "epoch"]
    taught = reached["teacher"].score > reached["plain"].score
    assert epochs == list(range(1, 13 if taught else 9))
    assert all(event["epochs"] == 12 for event in events if event["type"] == "epoch")
    kept = loop.load_checkpoint(folder / "best.pt")
    assert kept.score >= reached["plain"].score and kept.config.backbone == "tiny_cnn"
    assert ("network is kept" if taught else "no better than the plain") in messages(events)


def test_a_teacher_averages_whatever_its_pupil_does(job_folder: JobFolder) -> None:
    pooling = {"backbone": "mobilenet_v1_1.0_cut8", "input_size": 128, "pooling": "peaks"}
    folder = job_folder(train=8, validation=4, epochs=1, distil="tiny_cnn", **pooling)
    loop.train(folder, lambda event: None)
    made = [loop.load_checkpoint(folder / phase / "best.pt").config.pooling for phase in ("plain", "teacher")]
    assert made == ["peaks", "average"]


def test_a_stop_keeps_the_plain_network(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=4, epochs=3, distil=TEACHER)
    events: Events = []
    loop.train(folder, events.append, stopping=lambda: any(event["type"] == "epoch" for event in events))
    assert (folder / "best.pt").read_bytes() == (folder / "plain" / "best.pt").read_bytes()
    assert not (folder / "teacher" / "best.pt").exists() and events[-1]["stopped"]


def test_a_run_started_again_goes_on_in_its_phase(job_folder: JobFolder) -> None:
    folder = job_folder(train=16, validation=4, epochs=2, distil=TEACHER)

    class Killed(Exception):
        pass

    def die(event: dict[str, Any]) -> None:
        if event["type"] == "epoch" and event["epoch"] == 4:
            raise Killed

    with pytest.raises(Killed):
        loop.train(folder, die)
    events: Events = []
    loop.train(folder, events.append)
    assert next(event["epoch"] for event in events if event["type"] == "epoch") == 4


@pytest.mark.parametrize("own", [True, False])
def test_a_teacher_starts_from_its_own_weights_or_else_the_networks(
    job_folder: JobFolder, small_weights: Path, tmp_path: Path, own: bool
) -> None:
    large = tmp_path / "large.pb"
    large.write_bytes(small_weights.read_bytes())
    named = {"weights": str(small_weights), "distil_weights": str(large) if own else ""}
    folder = job_folder(train=8, validation=4, epochs=1, distil="mobilenet_v1_0.25", **named)
    events: Events = []
    loop.train(folder, events.append)
    starts = [event["message"] for event in events if " train and " in event.get("message", "")]
    assert "from small.pb" in starts[0] and f"from {'large' if own else 'small'}.pb" in starts[1]
    assert all("from small.pb" in start for start in starts[2:])
