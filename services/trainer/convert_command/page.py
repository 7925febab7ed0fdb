"""fidelity.html: the sections of the page in one file that asks nobody for anything."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from services.common import fidelity_view as view
from services.common.fidelity import Fidelity
from services.common.i18n import Translator

__all__ = ["page"]

STYLE = Path(__file__).with_name("static") / "page.css"


def page(model: str, fidelity: Fidelity, report: dict[str, Any], picture: Callable[[str], str], t: Translator) -> str:
    """The whole document; `picture(id)`: address of a changed picture, "" for none."""
    title = escape(f"{t('fidelity.title')} · {model}")
    cards = [
        view.stats(fidelity, t),
        view.layers(fidelity, t),
        view.confidence(fidelity, t),
        view.classes(fidelity, t),
        view.chip(report, t),
        view.changed(fidelity, t, lambda key: (picture(key), "")),
    ]
    body = "".join(f'<section class="card stack">{card}</section>' for card in cards if card)
    return (
        f'<!doctype html><html lang="{t.language}"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<style>{STYLE.read_text()}</style></head><body><main class='fidelity'><h1>{title}</h1>"
        f"<p class='muted'>{escape(t('fidelity.subtitle', target=fidelity.target))}</p>{body}</main></body></html>"
    )
