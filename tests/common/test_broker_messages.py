"""What arrives, and in which order: embedded broker and mosquitto."""

from __future__ import annotations

from services.common.keys import new_board_id
from tests.common.broker_world import WAIT, World, until


def test_messages_pass_both_ways(world: World) -> None:
    board, client = world.board()
    bus, inbox = world.service(f"bl/{board}/up/#")
    assert client.subscribe(f"bl/{board}/down/#")
    client.paho.publish(f"bl/{board}/up/capture", b"up")
    assert inbox.wait() == [(f"bl/{board}/up/capture", b"up")]
    bus.publish(f"bl/{board}/down/ack", b"down")
    assert client.inbox.wait() == [(f"bl/{board}/down/ack", b"down")]


def test_retained_messages_wait_for_the_board_and_can_be_taken_back(world: World) -> None:
    bus, _ = world.service()
    name = world.add_user(new_board_id())
    bus.publish(f"bl/{name}/down/desired", b"old", retain=True)
    bus.publish(f"bl/{name}/down/desired", b"new", retain=True)
    world.settle(bus)
    _, client = world.board(name)
    client.subscribe(f"bl/{name}/down/#")
    assert client.inbox.wait() == [(f"bl/{name}/down/desired", b"new")] and client.inbox.messages[0].retained
    bus.publish(f"bl/{name}/down/desired", b"", retain=True)
    client.inbox.wait(2)
    client.close()
    _, again = world.board(name)
    again.subscribe(f"bl/{name}/down/#")
    bus.publish(f"bl/{name}/down/ack", b"only this")
    assert again.inbox.wait() == [(f"bl/{name}/down/ack", b"only this")]


def test_a_frame_of_the_largest_size_passes_and_larger_ones_do_not(world: World) -> None:
    board, client = world.board()
    _, inbox = world.service(f"bl/{board}/up/#")
    client.paho.publish(f"bl/{board}/up/capture", b"x" * 200_000)
    client.paho.publish(f"bl/{board}/up/capture", b"y" * 65_536)
    messages = inbox.wait()
    assert [len(payload) for _, payload in messages] == [65_536]


def test_a_goodbye_right_after_a_burst_loses_nothing(world: World) -> None:
    board, client = world.board()
    _, inbox = world.service(f"bl/{board}/up/#")
    for index in range(50):
        client.paho.publish(f"bl/{board}/up/capture", index.to_bytes(2, "big"))
    client.close()
    assert [int.from_bytes(payload, "big") for _, payload in inbox.wait(50)] == list(range(50))


def test_a_thousand_captures_arrive_in_order(world: World) -> None:
    board, client = world.board()
    _, inbox = world.service(f"bl/{board}/up/#")
    for index in range(0, 1000, 100):  # mosquitto drops QoS 0 beyond 1,000 waiting messages, so wait now and then
        for number in range(index, index + 100):
            client.paho.publish(f"bl/{board}/up/capture", number.to_bytes(2, "big") + bytes(30_000))
        inbox.wait(index + 100, timeout=60)
    assert [int.from_bytes(payload[:2], "big") for _, payload in inbox.wait(1000)] == list(range(1000))


def test_a_service_gets_qos_1_messages_that_came_while_it_was_away(world: World) -> None:
    name = world.add_user("service.away")
    topic = f"boardloop/boards/{new_board_id()}"
    bus, _ = world.service_named(name, topic, client_id=name, clean=False)
    bus.stop()
    sender, _ = world.service()
    for payload in (b"one", b"two"):
        sender.publish(topic, payload, qos=1, wait=WAIT)
    _, inbox = world.service_named(name, topic, client_id=name, clean=False)
    assert inbox.wait(2) == [(topic, b"one"), (topic, b"two")]
    world.broker.remove_user(name)


def test_a_bus_subscribes_again_after_the_broker_threw_it_out(world: World) -> None:
    name = world.add_user("service.thrown")
    connects: list[int] = []
    bus, inbox = world.service_named(name, "thrown/#")
    bus.on_connect(lambda: connects.append(1))
    world.broker.remove_user(name)
    world.broker.add_user(name, "right")
    until(lambda: len(connects) == 1)
    world.settle(bus)
    bus.publish("thrown/out", b"back")
    assert inbox.wait() == [("thrown/out", b"back")]
    world.broker.remove_user(name)
