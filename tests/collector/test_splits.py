"""The split depends on the seed, the share and the picture alone."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import pytest

from services.collector.splits import digest, place, split
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

IDS = [f"{number:032x}" for number in range(2000)]


def shot(ids: Iterable[str]) -> dict[str, str]:
    """Capture id -> sha256 of a picture of its own."""
    return {capture_id: sha256(capture_id.encode()).hexdigest() for capture_id in ids}


def test_places_are_spread_evenly() -> None:
    places = [place(7, capture_id) for capture_id in IDS]
    assert all(0 <= at < 1 for at in places)
    for tenth in range(10):
        assert sum(tenth / 10 <= at < (tenth + 1) / 10 for at in places) == pytest.approx(200, abs=60)


def test_captures_added_later_move_no_other() -> None:
    few = split({"a": shot(IDS[:200]), "b": shot(IDS[200:300])}, 7, 0.2)
    many = split({"a": shot(IDS[:200] + IDS[300:1000]), "b": shot(IDS[200:300] + IDS[1000:])}, 7, 0.2)
    assert few.items() <= many.items()


def test_each_label_gets_its_share() -> None:
    splits = split({"a": shot(IDS[:1000]), "b": shot(IDS[1000:])}, 7, 0.25)
    for half in (IDS[:1000], IDS[1000:]):
        assert sum(splits[id_] == pb.SPLIT_VALIDATION for id_ in half) == pytest.approx(250, abs=60)


@pytest.mark.parametrize("share", [0.0001, 0.5, 0.9999])
@pytest.mark.parametrize("count", [2, 3])
def test_a_small_label_is_on_both_sides(share: float, count: int) -> None:
    for seed in range(20):
        assert len(set(split({"a": shot(IDS[:count])}, seed, share).values())) == 2


def test_two_captures_of_one_picture_stand_on_one_side() -> None:
    pictures = shot(IDS[:100])
    again = {f"again {capture_id}": content for capture_id, content in pictures.items()}
    splits = split({"a": pictures | again}, 7, 0.5)
    assert all(splits[capture_id] == splits[f"again {capture_id}"] for capture_id in pictures)
    assert len(set(splits.values())) == 2


def test_another_seed_splits_otherwise() -> None:
    assert split({"a": shot(IDS)}, 1, 0.5) != split({"a": shot(IDS)}, 2, 0.5)


def test_the_digest_sees_every_field_and_no_order() -> None:
    items = [("01", "a", 1, "ff"), ("02", "b", 2, "ee")]
    known = digest(["a", "b"], items)
    assert known == digest(["a", "b"], items[::-1])
    changed = [
        digest(["b", "a"], items),
        digest(["a", "b"], items[:1]),
        *(digest(["a", "b"], [other, items[1]]) for other in [("03", *items[0][1:]), ("01", "b", 1, "ff")]),
        *(digest(["a", "b"], [other, items[1]]) for other in [("01", "a", 2, "ff"), ("01", "a", 1, "fe")]),
    ]
    assert len({known, *changed}) == 7
