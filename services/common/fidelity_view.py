"""The sections that show a Fidelity, as HTML: the page and the command's fidelity.html both have them."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from services.common.charts import Bar, columns, rows
from services.common.fidelity import Answer, Change, Fidelity
from services.common.i18n import Translator

__all__ = ["changed", "chip", "classes", "confidence", "layers", "percent", "stats"]

_LOW_DB = 15.0  # an error of a fifth of the signal
_FULL_DB = 60.0  # longest bar


def percent(share: float) -> str:
    """0 to 1 as 97.5 %."""
    return f"{share * 100:.1f} %"


def decibels(value: float, t: Translator) -> str:
    return t("fidelity.decibels", value=f"{value:.1f}")


def stats(fidelity: Fidelity, t: Translator) -> str:
    """The figures that matter, as tiles."""
    tiles = []
    for score in fidelity.scores:
        name = t(f"fidelity.{score.name}")
        tiles.append((percent(score.floating), t("fidelity.score_float", score=name), ""))
        tone = "warn" if score.converted < score.floating else ""
        tiles.append((percent(score.converted), t("fidelity.score_converted", score=name), tone))
    if not fidelity.scores:
        tiles.append(("—", f"{t('fidelity.accuracy')}: {t('fidelity.unknown')}", ""))
    tiles.append((percent(fidelity.agreement), t("fidelity.agreement"), ""))
    tiles.append((decibels(fidelity.output_snr_db, t), t("fidelity.snr"), ""))
    tiles.append((str(fidelity.images), t("fidelity.images"), ""))
    cells = "".join(
        f'<div class="stat {tone}"><b>{escape(v)}</b><span>{escape(n)}</span></div>' for v, n, tone in tiles
    )
    return f'<div class="stats" data-testid="fidelity-stats">{cells}</div>'


def layers(fidelity: Fidelity, t: Translator) -> str:
    """A bar for every layer, in the order they run."""
    if not any(layer.snr_db is not None for layer in fidelity.layers):
        return _heading(t("fidelity.layers"), t("fidelity.no_layers"))
    bars = []
    for layer in fidelity.layers:
        tip = f"{layer.name} · {layer.type} · {layer.unit}"
        if layer.snr_db is None:
            bars.append(Bar(layer.name, None, t("fidelity.not_measured"), tip, "faint"))
            continue
        low = layer.name == fidelity.weakest_layer or layer.snr_db < _LOW_DB
        share = layer.snr_db / _FULL_DB
        bars.append(Bar(layer.name, share, decibels(layer.snr_db, t), tip, "warn" if low else ""))
    weakest = t("fidelity.weakest", layer=fidelity.weakest_layer)
    heading = _heading(t("fidelity.layers"), f"{t('fidelity.layers_help')} {weakest}")
    return f'{heading}<div class="scroll">{rows(bars, t("fidelity.layers"))}</div>'


def confidence(fidelity: Fidelity, t: Translator) -> str:
    """The histogram of how much surer the file is."""
    edges, counts = fidelity.confidence.edges, fidelity.confidence.counts
    tips = [
        t("fidelity.bin", low=f"{low:+.3f}", high=f"{high:+.3f}", count=count)
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    ticks = [f"{edges[0] + (edges[-1] - edges[0]) * step / 4:+.3g}" for step in range(5)]
    ticks[2] = "0"
    drawn = columns(counts, tips, ticks, t("fidelity.confidence"))
    return f'{_heading(t("fidelity.confidence"), t("fidelity.confidence_help"))}<div class="scroll">{drawn}</div>'


def changed(fidelity: Fidelity, t: Translator, picture: Callable[[str], tuple[str, str]]) -> str:
    """The pictures whose answer changed; `picture(capture id)`: addresses of its thumbnail and of what it leads to."""
    if not fidelity.changed:
        return _heading(t("fidelity.changed", count=0), t("fidelity.unchanged"))
    shown, count = len(fidelity.changed), fidelity.changed_count
    more = "" if shown == count else " " + t("fidelity.changed_shown", shown=shown, count=count)
    cards = "".join(_card(change, t, *picture(change.capture_id)) for change in fidelity.changed)
    heading = _heading(t("fidelity.changed", count=count), t("fidelity.changed_help") + more)
    return f'{heading}<div class="changes" data-testid="fidelity-changed">{cards}</div>'


def classes(fidelity: Fidelity, t: Translator) -> str:
    """Recall or AP50 of every label; "" where nothing is known."""
    if not fidelity.classes:
        return ""
    what = t("fidelity.recall" if fidelity.task == "classifier" else "fidelity.ap50")
    names = (
        t("fidelity.label"),
        t("fidelity.support"),
        f"{what}, {t('fidelity.floating')}",
        f"{what}, {t('fidelity.converted')}",
        t("fidelity.difference"),
    )
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><td>{escape(one.label)}</td><td>{one.support}</td><td>{percent(one.floating)}</td>"
        f"<td>{percent(one.converted)}</td><td>{(one.converted - one.floating) * 100:+.1f}</td></tr>"
        for one in fidelity.classes
    )
    table = f'<table class="data" data-testid="fidelity-classes"><tr>{head}</tr>{body}</table>'
    return f'{_heading(t("fidelity.classes"))}<div class="scroll">{table}</div>'


def chip(report: dict[str, Any], t: Translator) -> str:
    """What a ConversionReport says about the chip: warnings, memory, what left the accelerator, notes."""
    warnings = _list(report.get("warnings"), t("fidelity.warnings"), t("fidelity.no_warnings"), "warnings")
    facts = [
        (t("fidelity.file"), _bytes(report.get("file_size", 0))),
        (t("fidelity.main_memory"), _bytes(report.get("main_memory", 0))),
    ]
    if report.get("kpu_rows_available"):
        name = t("fidelity.kpu_rows", available=f"{report['kpu_rows_available']:,}")
        facts.append((name, f"{report.get('kpu_rows', 0):,}"))
    facts += [(one["firmware"], _bytes(one["bytes"])) for one in report.get("board_memory", ())]
    memory = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    off = [f"{layer}: {why}" for layer, why in report.get("off_accelerator", ())]
    notes = list(report.get("notes", ()))
    if rounding := report.get("rounding"):
        notes.append(t("fidelity.rounding", agreement=percent(rounding["agreement"])))
    return (
        f"{_heading(t('fidelity.report'))}{warnings}"
        f'<h3>{escape(t("fidelity.memory"))}</h3><dl class="facts" data-testid="fidelity-memory">{memory}</dl>'
        f"{_list(off, t('fidelity.off'), t('fidelity.all_on'), 'off-accelerator')}"
        f"{_list(notes, t('fidelity.notes'), '', 'notes') if notes else ''}"
    )


def _card(change: Change, t: Translator, thumbnail: str, whole: str) -> str:
    picture = f'<img loading="lazy" alt="" src="{escape(thumbnail)}">' if thumbnail else ""
    link = f'<a class="shot" href="{escape(whole)}" target="_blank">{picture}</a>' if whole else picture
    truth = f"<dt>{escape(t('fidelity.truth'))}</dt><dd>{escape(change.truth)}</dd>" if change.truth else ""
    return (
        f'<figure class="change" data-testid="changed" data-id="{escape(change.capture_id)}">{link}<figcaption>'
        f'<dl class="facts">{truth}{_answer(change.floating, change.truth, "fidelity.floating", t)}'
        f"{_answer(change.converted, change.truth, 'fidelity.converted', t)}</dl>"
        f'<span class="faint mono">{escape(change.capture_id[:24])}</span></figcaption></figure>'
    )


def _answer(answer: Answer, truth: str, name: str, t: Translator) -> str:
    tone = "" if not truth else ' class="right"' if answer.label == truth else ' class="wrong"'
    said = escape(answer.label or t("fidelity.nothing_found"))
    sure = f" · {percent(answer.confidence)}" if answer.label else ""
    return f"<dt>{escape(t(name))}</dt><dd{tone}>{said}{sure}</dd>"


def _heading(title: str, text: str = "") -> str:
    help_text = f'<p class="faint">{escape(text)}</p>' if text else ""
    return f'<div class="stack tight"><h2 class="section-title">{escape(title)}</h2>{help_text}</div>'


def _list(items: Any, title: str, otherwise: str, mark: str) -> str:
    rows_of = "".join(f"<li>{escape(str(item))}</li>" for item in items or ())
    content = f"<ul>{rows_of}</ul>" if rows_of else f'<p class="faint">{escape(otherwise)}</p>'
    return f'<div class="said {mark}" data-testid="fidelity-{mark}"><h3>{escape(title)}</h3>{content}</div>'


def _bytes(size: int) -> str:
    return f"{size / 1024:,.0f} KiB" if size >= 1024 else f"{size} B"
