"""Tasks on a real Ray cluster of two nodes on this machine; it takes some ten seconds to come up, once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from services.common.errors import FailedPrecondition, StorageFull, Unavailable
from services.trainer.children import ChildKilled
from services.trainer.cluster import connection
from services.trainer.cluster.driver import _told
from services.trainer.cluster.options import Options
from services.trainer.cluster.shipping import stored
from services.trainer.engine import LocalEngine, RayEngine
from tests.trainer.world import World, pb

LOOP = "services.trainer.loop"
NOBODY = "127.0.0.1:9"
pytest.importorskip("ray", reason="Ray is not installed: pip install 'boardloop[ray]'")


class Nodes:
    """ray_cluster.py and its commands."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ray_cluster.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.address = self._line()

    def ask(self, command: str) -> str:
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)
        return self._line()

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.close()


def weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(path, weights_only=True)["model"])


def test_a_job_whose_node_dies_ends_with_the_weights_of_an_undisturbed_one(
    nodes: Nodes, job_folder: Callable[..., Path], small_weights: Path
) -> None:
    folder = job_folder(epochs=5, threads=1, weights=str(small_weights))
    for _ in LocalEngine().start(LOOP, folder, log="train.log").events():
        pass
    undisturbed = weights(folder / "last.pt")
    for name in ("last.pt", "best.pt"):
        (folder / name).unlink()
    events, killed = [], ""
    for event in RayEngine(Options(address=nodes.address, cpus=1)).start(LOOP, folder, log="train.log").events():
        events.append(event)
        if event["type"] == "epoch" and event["epoch"] == 2 and not killed:
            killed = nodes.ask("kill")
    words = " ".join(event.get("message", "") for event in events)
    assert "is gone" in words and "going on after epoch" in words
    assert events[-1]["type"] == "done"
    again = weights(folder / "last.pt")
    assert all(torch.equal(undisturbed[name], again[name]) for name in undisturbed)


def test_workers_end_with_the_trainer_that_sent_them(nodes: Nodes, job_folder: Callable[..., Path]) -> None:
    task = RayEngine(Options(address=nodes.address, cpus=1)).start(LOOP, job_folder(epochs=500), log="train.log")
    events = task.events()
    while next(events)["type"] != "epoch":
        pass
    assert nodes.ask("busy") == "1"
    task.kill()
    until = time.monotonic() + 30
    while nodes.ask("busy") != "0":
        assert time.monotonic() < until
        time.sleep(0.2)


def test_two_workers_on_two_nodes_share_one_training(nodes: Nodes, job_folder: Callable[..., Path]) -> None:
    folder = job_folder(epochs=1, workers=2)
    engine, busy = RayEngine(Options(address=nodes.address, cpus=1)), ""
    for event in engine.start(LOOP, folder, log="train.log", workers=2).events():
        busy = busy or (nodes.ask("busy") if event["type"] == "step" else "")
    assert (event["type"], busy) == ("done", "2") and (folder / "last.pt").exists()


def test_a_job_waits_for_cpus_in_words_and_can_be_stopped(nodes: Nodes, job_folder: Callable[..., Path]) -> None:
    task = RayEngine(Options(address=nodes.address, cpus=64)).start(LOOP, job_folder(), log="train.log")
    events = task.events()
    assert "1 x 64 CPUs are needed" in next(events)["message"]
    task.stop()
    with pytest.raises(ChildKilled):
        list(events)


def test_the_trainer_sends_a_whole_job_to_the_cluster(nodes: Nodes, tmp_path: Path) -> None:
    world = World(tmp_path, ray_address=nodes.address, ray_cpus=1)
    try:
        small = {"backbone": "mobilenet_v1_0.25", "input_size": 128, "epochs": 1, "weights": "none"}
        job = world.wait(world.start_job(count=12, max_accuracy_drop=1.0, **small))
        assert job.state == pb.JOB_STATE_DONE, job.error
        assert world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model.files
    finally:
        world.close()


def test_an_address_where_nothing_answers_is_told_at_once(job_folder: Callable[..., Path]) -> None:
    with pytest.raises(Unavailable, match="BOARDLOOP_RAY_ADDRESS is right") as caught:
        list(RayEngine(Options(address=NOBODY)).start(LOOP, job_folder(), log="train.log").events())
    assert caught.value.reason == "RAY_UNREACHABLE"


def test_a_cluster_that_falls_silent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_PROBE_SECONDS", 0.01)
    told: list[Exception] = []
    connection.watch(Options(address=NOBODY), told.append)
    until = time.monotonic() + 10
    while not told and time.monotonic() < until:
        time.sleep(0.01)
    assert "does not answer any more" in str(told[0])


def test_a_node_with_other_packages_is_refused_by_name() -> None:
    with pytest.raises(FailedPrecondition, match=r"node far has .*torch none \(here \d"):
        connection.check_versions("far", {"python": "3.11", "torch": "", "numpy": "1.0", "pillow": "1"})


def test_a_nodes_full_disk_is_told_as_such() -> None:
    error = _told(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "far")
    assert isinstance(error, StorageFull) and "node far" in str(error)


def test_a_node_writes_nothing_outside_the_job_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        stored(tmp_path / "job", "../elsewhere", iter([b"x"]))
    assert not (tmp_path / "elsewhere").exists()
