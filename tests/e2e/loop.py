"""A running Boardloop, the person who uses it, and the boards at its doors."""

from __future__ import annotations

import base64
import hashlib
import io
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from PIL import Image

from services.allinone import AllInOneSettings
from services.client import Client
from services.demo.capturing import turn_wheel
from services.virtualboard import Profile, VirtualBoard, VirtualBoards, camera
from tests.e2e.pictures import LABELS, cell

__all__ = [
    "PASSWORD", "SECONDS", "Person", "Shot", "Station", "eventually", "fingerprint", "first_login", "settings_in",
    "uploaded",
]  # fmt: skip

T = TypeVar("T")
PASSWORD = "correct horse battery"
SECONDS = 90.0  # for anything that boards do, on a busy machine
TRAINING_SECONDS = 300.0
LOOK_AGAIN = 0.1
TINY = {"backbone": "mobilenet_v1_0.25", "input_size": 128, "epochs": 1, "weights": "none", "seed": 3, "batch_size": 8}

Shot = tuple[str, str]
"""Label and SHA-256 of the JPEG: what makes one press recognisable in a data set."""


def eventually(look: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
    """The first true value of `look`; fails with what was waited for."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(LOOK_AGAIN)
    return value


def settings_in(data_dir: Path, **more: Any) -> AllInOneSettings:
    """Free ports on loopback only."""
    own = {"host": "127.0.0.1", "port": 0, "mqtt_host": "127.0.0.1", "mqtt_port": 0, "board_host": "127.0.0.1"}
    return AllInOneSettings(data_dir=data_dir, **{**own, **more})


def fingerprint(label: str, picture: bytes) -> Shot:
    """What a press with `picture` before the camera must become."""
    return label, hashlib.sha256(camera.capture(picture)).hexdigest()


def first_login(url: str, one_time: str | None) -> Client:
    """Chooses PASSWORD with the one-time password of a first start."""
    assert one_time, "a first start gives a one-time password"
    Client.change_password(url, "admin", one_time, PASSWORD)
    return Client.login(url, "admin", PASSWORD, "e2e")


def uploaded(url: str, project: str, count: int) -> None:
    """`count` drawn cells come into the data set over REST, half of each label: something to learn, quickly."""
    with httpx.Client(base_url=f"{url}/api/v1", headers={"X-Boardloop": "1"}, timeout=60) as http:
        http.post("/account/login", json={"name": "admin", "password": PASSWORD}).raise_for_status()
        for label in LABELS:
            files = [("files", (f"{n}.jpg", _jpeg(cell(label, 5000 + n)), "image/jpeg")) for n in range(count // 2)]
            answer = http.post(f"/projects/{project}/captures", files=files, data={"label": label})
            answer.raise_for_status()


def _jpeg(png: bytes) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(out, "JPEG", quality=90)
    return out.getvalue()


@dataclass
class Station:
    """A paired board: its id at the server, and the thing itself."""

    id: str
    board: VirtualBoard


@dataclass
class Person:
    """Somebody with a token, a project and boards in hand."""

    client: Client
    project: str

    @classmethod
    def with_project(cls, client: Client, name: str = "Cells") -> Person:
        return cls(client, client.post("/projects", {"name": name, "labels": list(LABELS)})["id"])

    # ---- boards

    def pair(self, fleet: VirtualBoards, name: str, profile: Profile | None = None, *, cable: bool = False) -> Station:
        """A new board, paired by the pixels of its code, online."""
        board = fleet.add(name, profile, cable=cable)
        code = self.client.post(f"/projects/{self.project}/boards", {"name": name})
        board.look_at(base64.b64decode(code["qr_data_url"].partition(",")[2]))
        board.start()
        station = Station(str(code["board"]["id"]), board)
        self.wait_online(station)
        board.wait_shown("Label:", SECONDS)
        return station

    def look(self, station: Station) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/boards/{station.id}")
        return found

    def wait_online(self, *stations: Station) -> None:
        for station in stations:
            eventually(lambda: self.look(station)["state"] == "ONLINE", f"{station.board.name} online")  # noqa: B023

    @staticmethod
    def press(station: Station, label: str, pictures: Iterable[bytes]) -> list[Shot]:
        """One capture of each picture, saved on the board's card when this returns."""
        turn_wheel(station.board, label)
        shots = []
        for picture in pictures:
            station.board.snap(picture, timeout=SECONDS)
            station.board.wait_shown("Saved", SECONDS)
            shots.append(fingerprint(label, picture))
        return shots

    # ---- the data set

    def stored(self) -> Counter[Shot]:
        """How often each press is in the data set."""
        return Counter(self._shots())

    def _shots(self) -> Iterator[Shot]:
        token = ""
        while True:
            page = self.client.get(f"/projects/{self.project}/captures", page_size=500, page_token=token)
            for capture in page["captures"]:
                jpeg = self.client.download(f"/captures/{capture['id']}/image")
                yield capture["label"], hashlib.sha256(jpeg).hexdigest()
            token = page["next_page_token"]
            if not token:
                return

    def wait_outbox_empty(self, *stations: Station) -> None:
        """Nothing waits on the boards' cards any more."""
        for station in stations:
            outbox = station.board.storage / "outbox"
            eventually(lambda: not list(outbox.glob("*.blc")), f"{station.board.name} to have sent all")  # noqa: B023

    # ---- models and releases

    def train(self, **parameters: Any) -> dict[str, Any]:
        """The model of a tiny training on everything that is labelled."""
        version = self.client.post(f"/projects/{self.project}/versions", {"seed": 1, "validation_share": 0.25})
        body = {"version_id": version["id"], "parameters": {**TINY, **parameters}}
        job = self.client.post(f"/projects/{self.project}/jobs", body)["id"]
        ended = ("DONE", "FAILED", "STOPPED", "INTERRUPTED")
        done = eventually(lambda: self._job_in(job, ended), "the training", TRAINING_SECONDS)
        assert done["state"] == "DONE", done["log"]
        model: dict[str, Any] = self.client.get(f"/models/{done['model_id']}")
        return model

    def _job_in(self, job_id: str, states: tuple[str, ...]) -> dict[str, Any] | None:
        job: dict[str, Any] = self.client.get(f"/jobs/{job_id}")
        return job if job["state"] in states else None

    def release(self, model: dict[str, Any], *stations: Station, name: str = "") -> str:
        """Id of a new release of `model` to these boards; to all without any."""
        body = {"model_id": model["id"], "name": name, "board_ids": [station.id for station in stations]}
        return str(self.client.post(f"/projects/{self.project}/releases", body)["id"])

    def wait_release(self, release: str) -> dict[str, tuple[str, str]]:
        """State and reason by board id, once every board has ended it."""
        look = f"/releases/{release}"
        done = eventually(lambda: self._if_done(self.client.get(look)), "the release to be done")
        return {update["board_id"]: (update["state"], update["reason"]) for update in done["boards"]}

    @staticmethod
    def _if_done(release: dict[str, Any]) -> dict[str, Any] | None:
        return release if release["state"] == "DONE" else None

    def classify(self, station: Station, picture: bytes) -> dict[str, Any]:
        """The result that one press gives at the server."""
        path = f"/projects/{self.project}/results"
        before = len(self.client.get(path, board_id=station.id, limit=1000))
        turn_wheel(station.board, "Classify")
        station.board.snap(picture, timeout=SECONDS)

        def results() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = self.client.get(path, board_id=station.id, limit=1000)
            return found if len(found) > before else []

        return eventually(results, f"a result of {station.board.name}")[0]
