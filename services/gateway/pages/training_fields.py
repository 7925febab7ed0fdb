"""The advanced fields of the training form, named as the contract names them; each value shown is the default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from services.gateway.pages.layout import Page, html, mark
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["CHANGES", "DETECTION", "LEARNING", "AdvancedFields", "Choice", "Number", "Switch"]


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`."""

    name: str
    default: float
    high: float
    whole: bool = False


@dataclass(frozen=True)
class Choice:
    """One of some words; their sentences are `training.<name>_<word>`, or stand here."""

    name: str
    default: str
    words: tuple[str, ...]
    spoken: bool = False


@dataclass(frozen=True)
class Switch:
    """On or off."""

    name: str
    default: bool


LEARNING: tuple[Number | Choice | Switch, ...] = (
    Choice("optimizer", "adamw", ("adamw", "sgd")),
    Choice("schedule", "cosine", ("cosine", "linear"), spoken=True),
    Number("final_learning_rate", 0.02, 1),
    Number("warmup_epochs", 1, 100),
    Number("weight_decay", 0.05, 1),
    Number("label_smoothing", 0.1, 0.99),
    Number("dropout", 0.2, 0.99),
    Choice("pooling", "average", ("average", "peaks"), spoken=True),
    Number("ema", 0.99, 0.9999),
    Number("patience", 0, 1000, whole=True),
    Choice("keep", "best", ("best", "last"), spoken=True),
    Number("freeze", 0, 1),
    Switch("balance_classes", False),
    Switch("skip_unreadable", False),
    Choice("distil", "", ("", "mobilenet_v1_0.75", "mobilenet_v1_1.0", "efficientnet_lite0", "efficientnet_lite2")),
    Number("qat_epochs", 0, 100, whole=True),
    Switch("negatives", True),
    Number("workers", 0, 64, whole=True),
)
# the strength of each kind of change, and how often it happens by default
KINDS: tuple[tuple[Number | Switch, float], ...] = (
    (Switch("flip_horizontal", True), 0.5),
    (Switch("flip_vertical", False), 0.5),
    (Switch("quarter_turns", False), 1),
    (Number("rotate", 5, 180), 1),
    (Number("shift", 0.05, 0.5), 1),
    (Number("zoom", 0.05, 0.5), 1),
    (Number("crop", 0, 0.8), 0.5),
    (Number("brightness", 0.15, 1), 1),
    (Number("contrast", 0.15, 1), 1),
    (Number("colour", 0, 1), 1),
    (Number("hue", 0, 180), 0.5),
    (Number("saturation", 0, 1), 0.5),
    (Number("blur", 0, 5), 0.5),
    (Number("noise", 0, 0.5), 0.5),
    (Number("jpeg", 0, 0.95), 0.5),
    (Number("nearest", 0, 0.8), 0.5),
    (Number("erase", 0, 0.9), 0.5),
    (Number("mixup", 0, 1), 0.5),
    (Switch("mosaic", False), 0.5),
)
CHANGES: tuple[Number | Choice | Switch, ...] = (
    *(field for kind, often in KINDS for field in (kind, Number(f"{kind.name}_probability", often, 1))),
    Number("least_visible", 0.4, 1),
)
_STEPS = 100  # of a slider
_PAIR = "display:grid;grid-template-columns:1.6fr 1fr;gap:16px"
# in sight while a slider is moved, and as wide as the sliders' knobs below it
_STAYS = "position:sticky;top:0;z-index:2;background:var(--card);margin:0 -10px;padding:0 10px;width:calc(100% + 20px)"


# where a detector has another default
DETECTION = {
    "weight_decay": 0.02, "rotate": 0, "shift": 0.15, "zoom": 0.35, "brightness": 0.2, "contrast": 0.25, "colour": 0.15,
}  # fmt: skip


class AdvancedFields:
    """Draws the fields where it is made, in two folds; `values` are keywords of TrainingParameters."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._inputs: dict[str, ui.number | ui.select | ui.switch | ui.slider] = {}
        with self._fold("advanced"):
            for field in LEARNING:
                self._inputs[field.name] = self._input(field)
        with self._fold("changes"):
            self.preview = ui.element("div").classes("full").style(_STAYS)
            for kind, often in KINDS:
                with ui.element("div").classes("full").style(_PAIR):
                    draw = self._slider if isinstance(kind, Number) else self._input
                    self._inputs[kind.name] = draw(kind)  # type: ignore[arg-type]
                    chance = Number(f"{kind.name}_probability", often, 1)
                    self._inputs[chance.name] = self._slider(chance, page.t("training.how_often"))
            self._inputs["least_visible"] = self._slider(CHANGES[-1])  # type: ignore[arg-type]

    def field(self, name: str) -> ui.number | ui.select | ui.switch | ui.slider:
        """Where a person sets the parameter `name`."""
        return self._inputs[name]

    def on_change(self, then: Callable[[], Any]) -> None:
        """Calls `then` whenever a person changes a field about changes of the pictures."""
        for field in CHANGES:
            self._inputs[field.name].on_value_change(then)

    def _fold(self, title: str) -> ui.element:
        fold = ui.expansion(self._page.t(f"training.{title}")).classes("full")
        with fold.props("dense " + mark(f"train-{title}")):
            return ui.element("div").classes("stack")

    def values(self) -> dict[str, Any]:
        """What a person left empty is left out: the trainer's default."""
        found: dict[str, Any] = {}
        for field in (*LEARNING, *CHANGES):
            value = self._inputs[field.name].value
            if value is not None:
                found[field.name] = int(value) if isinstance(field, Number) and field.whole else value
        return found

    def fit(self, detection: bool) -> None:
        """Put the defaults of the task where those of the other one still stand."""
        defaults = {field.name: field.default for field in (*LEARNING, *CHANGES)}
        for name, value in DETECTION.items():
            old, new = (defaults[name], value) if detection else (value, defaults[name])
            if self._inputs[name].value == old:
                self._inputs[name].value = new

    def show(self, parameters: trainer.TrainingParameters) -> None:
        """Put in what a job was started with."""
        for field in (*LEARNING, *CHANGES):
            known = not isinstance(field, Choice) or getattr(parameters, field.name) in field.words
            if known:
                self._inputs[field.name].value = getattr(parameters, field.name)

    def _slider(self, field: Number, short: str = "") -> ui.slider:
        """With its sentence below, or with a `short` label and the sentence where the mouse rests."""
        name, sentence = self._page.t(f"training.{field.name}"), self._page.t(f"training.{field.name}_help")
        with ui.element("div").classes("stack tight full"):
            with ui.element("div").classes("line between"):
                html(short or name)
                value = ui.label().classes("num")
            slider = ui.slider(min=0, max=field.high, step=field.high / _STEPS, value=field.default)
            slider.props(f'aria-label="{name}" title="{sentence}" ' + mark(f"train-{field.name}"))
            value.bind_text_from(slider, "value", lambda number: f"{number:.3g}")
            if not short:
                html(sentence, "faint")
        return slider

    def _input(self, field: Number | Choice | Switch) -> ui.number | ui.select | ui.switch:
        t = self._page.t
        label, sentence, test = (
            t(f"training.{field.name}"),
            t(f"training.{field.name}_help"),
            mark(f"train-{field.name}"),
        )
        match field:
            case Switch():
                with ui.element("div"):
                    switch = ui.switch(label, value=field.default).props(test)
                    html(sentence, "faint")
                return switch
            case Number():
                digits = 0 if field.whole else None
                number = ui.number(label, value=field.default, min=0, max=field.high, precision=digits)
                number.props["hint"] = sentence
                return number.props("outlined " + test)
            case Choice():
                chosen = ui.select(
                    {word: self._word(field, word) for word in field.words}, value=field.default, label=label
                )
                chosen.props["hint"] = sentence
                return chosen.props("outlined " + test)

    def _word(self, field: Choice, word: str) -> str:
        if field.spoken or not word:
            return self._page.t(f"training.{field.name}_{word or 'none'}")
        return {"adamw": "AdamW", "sgd": "SGD"}.get(word, word.replace("mobilenet_v1_", "MobileNetV1 "))
