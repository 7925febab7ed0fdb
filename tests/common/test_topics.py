"""services/common/topics.py, mqtt_filters.py and the rules of broker.may_access, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common import topics
from services.common.broker import client_id_fits, may_access
from services.common.errors import InvalidInput
from services.common.frames import AckReason, Kind
from services.common.mqtt_filters import is_filter, is_topic, literal_start, matches

OWN, OTHER = "k7q2mzx4ab", "abcdefghij"
PROTOCOL = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def test_every_topic_of_the_page_can_be_built() -> None:
    built = {topics.up("<board>", kind) if kind.uplink else topics.down("<board>", kind) for kind in Kind}
    built |= {topics.state("<board>"), topics.refused("<board>"), topics.record("<board>")}
    written = {line.split("`")[1] for line in PROTOCOL.splitlines() if line.startswith(("| `bl/", "| `boardloop/"))}
    assert built == written


def test_the_reasons_are_those_of_the_page() -> None:
    section = PROTOCOL.split("## 5.")[1].split("## 6.")[0]
    assert {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")} == set(AckReason)


def test_the_kinds_are_those_of_the_page() -> None:
    assert all(f"| 0x{kind:02x} | {kind.name}" in PROTOCOL for kind in Kind)


@pytest.mark.parametrize(
    "topic", [topics.up(OWN, Kind.PULL), topics.state(OWN), topics.record(OWN), topics.refused(OWN)]
)
def test_the_board_of_a_topic(topic: str) -> None:
    assert topics.board_of(topic) == OWN


@pytest.mark.parametrize("topic", ["", "bl", "bl/x", "bl//state", "boardloop/boards", "boardloop/boards/", "other/x/y"])
def test_a_topic_without_a_board_is_refused(topic: str) -> None:
    with pytest.raises(InvalidInput):
        topics.board_of(topic)


@pytest.mark.parametrize("username", [OWN, OWN + ".pair"])
@pytest.mark.parametrize(
    ("topic", "action", "allowed"),
    [
        (f"bl/{OWN}/up/capture", "publish", True),
        (f"bl/{OWN}/state", "publish", True),
        (f"bl/{OWN}/down/#", "subscribe", True),
        (f"bl/{OWN}/down/ack", "subscribe", True),
        (f"bl/{OWN}/down/ack", "receive", True),
        (f"bl/{OWN}/down/ack", "publish", False),
        (f"bl/{OWN}/up/#", "publish", False),
        (f"bl/{OWN}/up/+", "publish", False),
        (f"bl/{OWN}/up/#", "subscribe", False),
        (f"bl/{OWN}/state", "subscribe", False),
        (f"bl/{OWN}/state/x", "publish", False),
        (f"bl/{OWN}/#", "subscribe", False),
        (f"bl/{OTHER}/up/capture", "publish", False),
        (f"bl/{OTHER}/down/#", "subscribe", False),
        (f"bl/{OTHER}/down/ack", "receive", False),
        ("bl/+/down/#", "subscribe", False),
        ("#", "subscribe", False),
        ("", "publish", False),
        (f"boardloop/boards/{OWN}", "publish", False),
        (f"boardloop/boards/{OWN}", "subscribe", False),
    ],
)
def test_what_a_board_may(username: str, topic: str, action: str, allowed: bool) -> None:
    assert may_access(username, topic, action) is allowed  # type: ignore[arg-type]


@pytest.mark.parametrize("username", ["service.collector", "service.deployer"])
def test_a_service_may_use_every_topic(username: str) -> None:
    assert may_access(username, "#", "subscribe") and may_access(username, f"bl/{OWN}/down/ack", "publish")


@pytest.mark.parametrize(
    "username", ["", "+", "#", "admin", "service", "service.", "service.A", OWN.upper(), OWN + ".x", OWN[:9]]
)
def test_anybody_else_may_nothing(username: str) -> None:
    own = f"bl/{username}/up/x"
    assert not may_access(username, own, "publish") and not may_access(username, f"bl/{username}/down/#", "subscribe")


def test_the_client_id_of_a_board_is_its_user_name() -> None:
    assert client_id_fits(OWN, OWN) and client_id_fits("service.collector", "anything")
    assert not client_id_fits(OWN, OTHER) and not client_id_fits(OWN + ".pair", OWN)


@pytest.mark.parametrize(
    ("topic", "topic_filter", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/+", True),
        ("a/b", "+/b", True),
        ("a/b", "#", True),
        ("a/b", "a/#", True),
        ("a", "a/#", True),
        ("a/b/c", "a/+/c", True),
        ("a/b/c", "a/#", True),
        ("a/", "a/+", True),
        ("a/b", "a", False),
        ("a", "a/+", False),
        ("a/b/c", "a/+", False),
        ("ab", "a/#", False),
        ("a/bc", "a/b", False),
        ("b/a", "a/#", False),
    ],
)
def test_filters_match_as_mqtt_says(topic: str, topic_filter: str, expected: bool) -> None:
    assert matches(topic, topic_filter) is expected
    assert not expected or topic.startswith(literal_start(topic_filter))


def test_filters_and_topics_that_are_none() -> None:
    assert all(map(is_filter, ["a", "#", "+", "a/#", "+/a/+", "/"]))
    assert not any(map(is_filter, ["", "a#", "a/#/b", "#/a", "a+", "a/b+/c", "a\0"]))
    assert all(map(is_topic, ["a", "/", "a b"])) and not any(map(is_topic, ["", "a/+", "#", "$SYS/x", "a\0"]))
