from __future__ import annotations

import random

import pytest

from services.trainer.evaluation.answers import Answers, Classified, Facts
from services.trainer.evaluation.subsets import Case, cases_of_classified, failing, wilson


def test_wilson_intervals_are_the_published_ones() -> None:
    # Newcombe 1998, table I (method 3): 81 of 263, 15 of 148, 0 of 20, 1 of 29
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (right, count), interval in published.items():
        assert wilson(right, count) == pytest.approx(interval, abs=5e-5)


def test_a_subset_that_truly_fails_is_the_first_and_a_finding() -> None:
    cases = [Case({"board": "dark corner" if i < 40 else "bench"}, i % 2 == 0 or i >= 40) for i in range(240)]
    worst, other = failing(cases)
    assert (worst.kind, worst.name, worst.count, worst.finding) == ("board", "dark corner", 40, True)
    assert worst.share == 0.5 and worst.gap == pytest.approx(220 / 240 - 0.5) and not other.finding


def test_chance_is_no_finding() -> None:
    chance = random.Random(1)
    found = 0
    for _ in range(40):
        cases = [Case({"a": str(i % 12), "b": str(i % 7)}, chance.random() < 0.85) for i in range(300)]
        found += any(subset.finding for subset in failing(cases))
    assert found <= 3  # of 40 evaluations of 19 subsets each, where nothing is wrong


def test_a_kind_that_divides_nothing_is_left_out() -> None:
    assert (
        failing([Case({"board": "one", "label": "a"}, True), Case({"board": "one", "label": "b"}, False)])[0].kind
        == "label"
    )
    assert failing([Case({"board": "one"}, True)]) == []


def test_brightness_bands_are_quarters_of_the_pictures() -> None:
    pictures = tuple(Classified(Facts(str(i), brightness=i / 100), 0, (1.0, 0.0)) for i in range(80))
    subsets = failing(cases_of_classified(Answers("classification", ("a", "b"), 2, pictures)))
    bands = sorted((subset.name, subset.count) for subset in subsets if subset.kind == "brightness")
    assert bands == [("0.00–0.19", 20), ("0.19–0.39", 20), ("0.39–0.59", 20), ("0.59–0.79", 20)]


def test_pictures_of_one_brightness_are_no_subset() -> None:
    pictures = tuple(Classified(Facts(str(i), brightness=0.4), 0, (1.0, 0.0)) for i in range(8))
    assert failing(cases_of_classified(Answers("classification", ("a", "b"), 2, pictures))) == []
