"""The figures of an evaluation as HTML: tiles, notes, matrix, curves, labels, subsets, pictures with boxes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from services.common.curve_chart import Line, curve_chart
from services.common.i18n import CATALOGUE, Translator
from services.gateway.pages.words import label_colour, percent
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb

__all__ = ["curves", "heading", "labels", "matrix", "notes", "picture", "stats", "subset_words", "subsets"]

THUMBNAIL = 256
_MATRIX_LABELS = 30  # more do not fit a screen
_SUBSETS = 24
RIGHT, WRONG = "15 143 128", "213 94 0"  # rgb, as in matrix.py


def heading(title: str, text: str = "") -> str:
    help_text = f'<p class="faint">{escape(text)}</p>' if text else ""
    return f'<div class="stack tight"><h2 class="section-title">{escape(title)}</h2>{help_text}</div>'


def stats(figures: pb.Evaluation, t: Translator) -> str:
    """The figures that matter, as tiles."""
    rights = (f"{figures.right_images} / {figures.images}", t("evaluation.right_images"))
    tiles = [(percent(figures.accuracy), t("evaluation.accuracy")), rights]
    if figures.task == "detection":
        tiles = [
            (percent(figures.mean_average_precision), "mAP50"),
            (percent(figures.mean_average_precision_50_95), "mAP50-95"),
            rights,
            (str(figures.found_boxes), t("evaluation.found")),
            (str(figures.missed_boxes), t("evaluation.missed")),
            (str(figures.confused_boxes), t("evaluation.confused")),
            (str(figures.false_boxes), t("evaluation.false")),
        ]
    else:
        tiles.append((percent(figures.mean_average_precision), t("evaluation.map")))
    cells = "".join(f'<div class="stat"><b>{escape(v)}</b><span>{escape(n)}</span></div>' for v, n in tiles)
    return f'<div class="stats" data-testid="evaluation-stats">{cells}</div>'


def notes(figures: pb.Evaluation, t: Translator) -> str:
    """What a person must know before believing the figures; "" when there is nothing."""
    said = []
    if figures.unknown_labels:
        said.append(t("evaluation.unknown", labels=", ".join(figures.unknown_labels)))
    if figures.absent_labels:
        said.append(t("evaluation.absent", labels=", ".join(figures.absent_labels)))
    if figures.seen_images:
        said.append(t("evaluation.seen", count=figures.seen_images, images=figures.images))
    items = "".join(f"<li>{escape(one)}</li>" for one in said)
    return f'<div class="said warnings" data-testid="evaluation-notes"><ul>{items}</ul></div>' if said else ""


def matrix(figures: pb.Evaluation, t: Translator) -> str:
    """Cells carry data-truth and data-predicted: numbers of labels, to be clicked."""
    names = [label or t("evaluation.nothing") for label in figures.labels]
    size, shown = len(names), min(len(names), _MATRIX_LABELS)
    head = "".join(f'<div class="name col" title="{escape(n)}">{escape(n)}</div>' for n in names[:shown])
    rows = []
    for truth in range(shown):
        counts = figures.confusion[truth * size : truth * size + size]
        total = sum(counts) or 1
        rows.append(f'<div class="name row" title="{escape(names[truth])}">{escape(names[truth])}</div>')
        rows += [_cell(truth, column, counts[column], counts[column] / total) for column in range(shown)]
    columns = f"minmax(60px, auto) repeat({shown}, minmax(44px, 1fr))"
    grid = f'<div class="matrix" style="grid-template-columns:{columns}"><div></div>{head}{"".join(rows)}</div>'
    return f'{heading(t("evaluation.confusion"), t("evaluation.confusion_help"))}<div class="scroll">{grid}</div>'


def _cell(truth: int, predicted: int, count: int, share: float) -> str:
    strength = 0.06 + 0.94 * share if count else 0.05
    ink = "#fff" if strength > 0.55 else "var(--ink)"
    colour = RIGHT if truth == predicted else WRONG
    return (
        f'<button type="button" class="cell" data-truth="{truth}" data-predicted="{predicted}" '
        f'style="background:rgb({colour} / {strength:.2f});color:{ink}" title="{percent(share)}">{count}</button>'
    )


def curves(figures: pb.Evaluation, t: Translator) -> str:
    """A line for every label that pictures have."""
    names = list(figures.labels)
    lines = []
    for one in figures.qualities:
        if not one.support:
            continue
        dot = (one.threshold.recall, one.threshold.precision) if one.HasField("threshold") else None
        tip = f"{one.label}: {t('evaluation.ap')} {percent(one.average_precision)}"
        lines.append(Line(tip, label_colour(one.label, names), one.curve_recall, one.curve_precision, dot))
    chart = curve_chart(lines, t("evaluation.curves"), t("evaluation.recall"), t("evaluation.precision"))
    return f'{heading(t("evaluation.curves"), t("evaluation.curves_help"))}<div class="scroll">{chart}</div>'


def labels(figures: pb.Evaluation, t: Translator) -> str:
    """A row for every label."""
    names = list(figures.labels)
    heads = ("label", "support", "precision", "recall", None, "ap", "threshold", "at")
    head = "".join(f"<th>{escape(t('evaluation.' + name) if name else 'F1')}</th>" for name in heads)
    body = "".join(_label_row(one, label_colour(one.label, names), t) for one in figures.qualities)
    table = f'<table class="data" data-testid="evaluation-labels"><tr>{head}</tr>{body}</table>'
    return f'{heading(t("evaluation.labels"), t("evaluation.labels_help"))}<div class="scroll">{table}</div>'


def _label_row(one: pb.LabelQuality, colour: str, t: Translator) -> str:
    threshold, at = "—", "—"
    if one.HasField("threshold"):
        few = "" if one.threshold.enough else f'<br><span class="faint">{escape(t("evaluation.few"))}</span>'
        threshold = f"{one.threshold.confidence:.2f}{few}"
        at = f"{percent(one.threshold.precision)}, {percent(one.threshold.recall)}"
    average = percent(one.average_precision) if one.HasField("average_precision") else "—"
    return (
        f'<tr><td><i class="dot" style="--c:{colour}"></i>{escape(one.label)}</td><td>{one.support}</td>'
        f"<td>{percent(one.precision)}</td><td>{percent(one.recall)}</td><td>{percent(one.f1)}</td>"
        f"<td>{average}</td><td>{threshold}</td><td>{at}</td></tr>"
    )


def subsets(figures: pb.Evaluation, t: Translator) -> str:
    """The groups furthest below the whole."""
    heads = ("group", "support", "share", "interval", "gap")
    head = "".join(f"<th>{escape(t('evaluation.' + name))}</th>" for name in heads)
    body = "".join(_subset_row(number, one, t) for number, one in enumerate(figures.subsets[:_SUBSETS]))
    table = f'<table class="data" data-testid="evaluation-subsets"><tr>{head}</tr>{body}</table>'
    more = "" if any(one.finding for one in figures.subsets) else " " + t("evaluation.no_findings")
    return f'{heading(t("evaluation.subsets"), t("evaluation.subsets_help") + more)}<div class="scroll">{table}</div>'


def subset_words(one: pb.Subset, t: Translator) -> tuple[str, str]:
    """Kind and name for a person, not escaped."""
    key = f"evaluation.name.{one.name}"
    name = t(key) if one.kind in ("seen", "size") and key in CATALOGUE else one.name
    return t("evaluation.kind." + one.kind), name or t("evaluation.uploaded")


def _subset_row(number: int, one: pb.Subset, t: Translator) -> str:
    """Carries data-subset, its number, to be clicked."""
    kind, name = subset_words(one, t)
    mark = ' class="finding"' if one.finding else ""
    return (
        f'<tr{mark}><td><button type="button" class="row-link" data-subset="{number}">'
        f'<span class="faint">{escape(kind)}</span> {escape(name)}</button></td>'
        f"<td>{one.count}</td><td>{percent(one.share)}</td><td>{percent(one.low)} – {percent(one.high)}</td>"
        f"<td>{one.gap * 100:+.1f}</td></tr>"
    )


def picture(outcome: pb.Outcome, t: Translator, *, large: bool = False) -> str:
    """The picture with its boxes, and below it what is there and what was found."""
    capture = escape(outcome.capture_id)
    source = f"/api/v1/captures/{capture}/" + ("image" if large else f"thumbnail?size={THUMBNAIL}")
    drawn = "".join(_boxes(box) for box in outcome.boxes)
    overlay = f'<svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>' if drawn else ""
    tone = "right" if outcome.right else "wrong"
    return (
        f'<div class="boxed"><img loading="lazy" alt="" src="{source}">{overlay}</div>'
        f'<div class="said-of {tone}">{_words(outcome, t)}</div>'
    )


def _words(outcome: pb.Outcome, t: Translator) -> str:
    if not outcome.boxes:
        said = f"<b>{escape(outcome.predicted or t('evaluation.nothing'))}</b> {percent(outcome.confidence)}"
        truth = outcome.truth or t("evaluation.nothing")
        there = f'<br><span class="faint">{escape(t("evaluation.truth"))}: {escape(truth)}</span>'
        return said + ("" if outcome.right else there)
    parts = []
    for box in outcome.boxes:
        sure = f" {percent(box.confidence)}" if box.predicted else ""
        pair = f"{box.truth} → {box.predicted}" if box.kind == "confused" else box.truth or box.predicted
        kind = "" if box.kind == "found" else t(f"evaluation.show.{box.kind}")
        parts.append(f'<span class="kind {box.kind}">{escape(kind)} {escape(pair)}{sure}</span>')
    return "<br>".join(parts)


def _boxes(box: pb.OutcomeBox) -> str:
    truth = "truth" if box.kind == "found" else "error"
    found = "found" if box.kind == "found" else "error dashed"
    return _rectangle(box.truth_box, truth) + _rectangle(box.found_box, found)


def _rectangle(edges: Sequence[float], tone: str) -> str:
    if len(edges) != 4:
        return ""
    left, top, right, bottom = edges
    size = f'width="{max(right - left, 0):.4f}" height="{max(bottom - top, 0):.4f}"'
    return f'<rect class="{tone}" x="{left:.4f}" y="{top:.4f}" {size} vector-effect="non-scaling-stroke"/>'
