"""Fixtures of several tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.common.mqtt import MqttBus
from tests.common.broker_world import World
from tests.servers import BrokerServer


@pytest.fixture
def world(any_broker: BrokerServer) -> Iterator[World]:
    made = World(any_broker)
    yield made
    for client in made.clients:
        client.stop() if isinstance(client, MqttBus) else client.close()
