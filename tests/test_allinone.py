"""What the all-in-one decides before anything runs."""

from __future__ import annotations

import pytest

from services.allinone import broker_address, free_addresses


def test_no_two_services_get_the_same_address() -> None:
    names = [f"service {number}" for number in range(500)]
    assert len(set(free_addresses(*names).values())) == len(names)


@pytest.mark.parametrize(
    ("mqtt_url", "told_to_boards"),
    [
        ("", ("", 0)),
        ("mqtt://127.0.0.1:1884", ("", 1884)),
        ("mqtt://broker.example", ("broker.example", 1883)),
        ("mqtts://broker.example:8883", ("broker.example", 8883)),
    ],
)
def test_boards_are_told_the_broker_that_is_used(mqtt_url: str, told_to_boards: tuple[str, int]) -> None:
    assert broker_address(mqtt_url) == told_to_boards
