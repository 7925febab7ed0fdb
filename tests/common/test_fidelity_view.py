from __future__ import annotations

from dataclasses import replace

import pytest

from services.common import fidelity_view as view
from services.common.fidelity import Answer, Change
from services.common.i18n import Translator
from tests.gateway.canned_fidelity import canned_fidelity, canned_report

EN = Translator("en")
FOUND = canned_fidelity("chip", ["good", "bad"])


def picture(capture_id: str) -> tuple[str, str]:
    return f"/thumb/{capture_id}", f"/whole/{capture_id}"


def test_without_labels_no_accuracy_is_claimed() -> None:
    drawn = view.stats(replace(FOUND, scores=()), EN)
    assert "no labels given" in drawn and "98.8 %" in drawn
    assert view.classes(replace(FOUND, classes=()), EN) == ""


def test_a_converter_that_cannot_look_into_layers_says_so() -> None:
    blind = tuple(replace(layer, snr_db=None) for layer in FOUND.layers)
    drawn = view.layers(replace(FOUND, layers=blind), EN)
    assert "does not look into single layers" in drawn and "<svg" not in drawn


def test_unchanged_answers_are_told_and_many_are_counted() -> None:
    assert "the same answer" in view.changed(replace(FOUND, changed=(), changed_count=0), EN, picture)
    assert "The first 1 of 40." in view.changed(replace(FOUND, changed_count=40), EN, picture)


def test_right_and_wrong_answers_differ_in_their_look() -> None:
    drawn = view.changed(FOUND, EN, picture)
    assert '<dd class="right">good · 71.0 %' in drawn and '<dd class="wrong">bad · 64.0 %' in drawn


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_people_and_files_wrote_is_escaped(language: str) -> None:
    t = Translator(language)  # type: ignore[arg-type]
    evil = "<script>x</script>"
    change = Change(evil, evil, Answer(evil, 0.5), Answer("", 0.0))
    layers = (replace(FOUND.layers[0], name=evil, type=evil),)
    found = replace(FOUND, changed=(change,), layers=layers, weakest_layer=evil)
    report = canned_report("chip") | {"warnings": [evil], "off_accelerator": [[evil, evil]], "notes": [evil]}
    drawn = view.changed(found, t, picture) + view.layers(found, t) + view.chip(report, t) + view.stats(found, t)
    assert "<script>" not in drawn and "&lt;script&gt;" in drawn
    assert t("fidelity.nothing_found") in drawn


def test_a_report_of_an_unknown_converter_does_no_harm() -> None:
    assert "No warnings." in view.chip({}, EN) and "Every layer runs on the accelerator." in view.chip({}, EN)
