"""Two boards join the project: codes shown on the page, read by the boards' cameras."""

from __future__ import annotations

import base64
from typing import Any

from services.client import Client
from services.demo.cells import LABELS
from services.demo.story import Story
from services.demo.waiting import wait_until
from services.virtualboard.board import VirtualBoard
from services.virtualboard.fleet import VirtualBoards
from services.virtualboard.hardware import Profile

__all__ = ["Paired", "pair_boards"]

NAMES = ("line 1", "line 2")
WIFI = ("Boardloop demo", "solar cells; 2026")  # the only network the virtual boards find
ONLINE_SECONDS = 60.0

Paired = list[tuple[str, VirtualBoard]]
"""Board id at the server, and the board."""


def pair_boards(story: Story, client: Client, fleet: VirtualBoards) -> tuple[str, Paired]:
    """The project's id and its boards, online."""
    project = client.post("/projects", {"name": "Solar cells", "labels": list(LABELS)})["id"]
    boards = [(_pair(client, project, name, fleet), name) for name in NAMES]
    online = [_board(client, board_id)["state"] == "ONLINE" for (board_id, _), _ in boards]
    story.report.figure("boards", sum(online))
    story.report.check("paired", all(online))
    return project, [pair for pair, _ in boards]


def _pair(client: Client, project: str, name: str, fleet: VirtualBoards) -> tuple[str, VirtualBoard]:
    ssid, password = WIFI
    board = fleet.add(name.replace(" ", "-"), Profile(wifi=WIFI))
    board.look_at(_picture(client.post("/wifi-codes", {"ssid": ssid, "password": password})))
    board.start()
    board.wait_shown("Show the pairing code", timeout=ONLINE_SECONDS)
    code = client.post(f"/projects/{project}/boards", {"name": name})
    board.look_at(_picture(code))
    board_id = str(code["board"]["id"])
    wait_until(lambda: _board(client, board_id)["state"] == "ONLINE", ONLINE_SECONDS, f"{name} to come online")
    return board_id, board


def _picture(code: dict[str, Any]) -> bytes:
    return base64.b64decode(code["qr_data_url"].partition(",")[2])


def _board(client: Client, board_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/boards/{board_id}")
    return answer
