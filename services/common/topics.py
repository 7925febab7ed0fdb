"""MQTT topics (docs/protocol.md section 2). A board argument of "+" makes the filter for all boards."""

from __future__ import annotations

from services.common.errors import InvalidInput
from services.common.kinds import Kind

__all__ = ["RECORDS", "STATE", "board_of", "down", "record", "refused", "state", "up"]

STATE = "bl/+/state"
RECORDS = "boardloop/boards/+"


def up(board: str, kind: Kind) -> str:
    """`bl/<board>/up/<kind>`: HELLO, CAPTURE, PULL, REPORT, RESULT."""
    return f"bl/{board}/up/{kind.name.lower()}"


def down(board: str, kind: Kind) -> str:
    """`bl/<board>/down/<kind>`: WELCOME, ACK, BLOCK, PROJECT, DESIRED."""
    return f"bl/{board}/down/{kind.name.lower()}"


def state(board: str) -> str:
    return f"bl/{board}/state"


def refused(board: str) -> str:
    return f"bl/{board}/down/refused"


def record(board: str) -> str:
    """Topic of the sealed board record between services."""
    return f"boardloop/boards/{board}"


def board_of(topic: str) -> str:
    """The board id in a topic of this page; InvalidInput (BAD_TOPIC) for another one."""
    parts = topic.split("/")
    if parts[0] == "bl" and len(parts) >= 3 and parts[1]:
        return parts[1]
    if parts[:2] == ["boardloop", "boards"] and len(parts) == 3 and parts[2]:
        return parts[2]
    raise InvalidInput("BAD_TOPIC", f"The topic {topic!r} names no board.")
