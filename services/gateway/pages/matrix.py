"""The confusion matrix as a heat map, and the figures per label, as HTML."""

from __future__ import annotations

from html import escape

from services.common.i18n import Translator
from services.gateway.pages.words import percent
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["class_table", "confusion_matrix", "precision_table"]

RIGHT, WRONG = "15 143 128", "213 94 0"  # rgb: green-blue and orange differ for every kind of colour vision
DARK_FROM = 0.55  # share of a row from which white text reads better


def confusion_matrix(labels: list[str], counts: list[int]) -> str:
    """`counts`: labels x labels, row = truth, column = predicted. A cell is as strong as its share of its row."""
    size = len(labels)
    if len(counts) != size * size:
        return "—"
    head = "".join(f'<div class="name col" title="{escape(label)}">{escape(label)}</div>' for label in labels)
    rows = "".join(_row(labels, counts[i * size : (i + 1) * size], i) for i in range(size))
    columns = f"minmax(60px, auto) repeat({size}, minmax(44px, 1fr))"
    return f'<div class="matrix" style="grid-template-columns:{columns}"><div></div>{head}{rows}</div>'


def _row(labels: list[str], counts: list[int], truth: int) -> str:
    total = sum(counts) or 1
    name = f'<div class="name row" title="{escape(labels[truth])}">{escape(labels[truth])}</div>'
    return name + "".join(_cell(count, count / total, truth == column) for column, count in enumerate(counts))


def _cell(count: int, share: float, right: bool) -> str:
    strength = 0.06 + 0.94 * share if count else 0.05
    ink = "#fff" if strength > DARK_FROM else "var(--ink)"
    style = f"background:rgb({RIGHT if right else WRONG} / {strength:.2f});color:{ink}"
    return f'<div class="cell" style="{style}" title="{percent(share)}">{count}</div>'


def class_table(t: Translator, views: list[tuple[str, trainer.Evaluation]]) -> str:
    """Precision, recall and F1 per label, for each evaluation."""
    names = ("label", "precision", "recall", "f1", "support")
    head = "<th></th>" + "".join(f"<th>{t('models.' + name)}</th>" for name in names)
    rows = "".join(
        f"<tr><td>{escape(one.label)}</td><td class='muted'>{escape(title)}</td><td>{percent(one.precision)}</td>"
        f"<td>{percent(one.recall)}</td><td>{percent(one.f1)}</td><td>{one.support}</td></tr>"
        for one, title in _by_label(views)
    )
    return f'<table class="data">{head.replace("<th></th>", "", 1).replace("</th>", "</th><th></th>", 1)}{rows}</table>'


def precision_table(t: Translator, views: list[tuple[str, trainer.Evaluation]]) -> str:
    """Average precision per label of a detector, and what a board shows: precision, recall and F1."""
    words = [t("models." + name) for name in ("precision", "recall", "f1", "objects")]
    head = "".join(f"<th>{name}</th>" for name in (t("models.label"), "", "AP50", "AP50-95", *words))
    rows = "".join(
        f"<tr><td>{escape(one.label)}</td><td class='muted'>{escape(title)}</td>"
        f"<td class=strong>{percent(one.ap50) if one.HasField('ap50') else '—'}</td>"
        f"<td>{percent(one.ap50_95) if one.HasField('ap50_95') else '—'}</td><td>{percent(one.precision)}</td>"
        f"<td>{percent(one.recall)}</td><td>{percent(one.f1)}</td><td>{one.support}</td></tr>"
        for one, title in _by_label(views)
    )
    return f'<table class="data" data-testid="precisions"><tr>{head}</tr>{rows}</table>'


def _by_label(views: list[tuple[str, trainer.Evaluation]]) -> list[tuple[trainer.ClassMetrics, str]]:
    """Float and converted figures of the same label one under the other."""
    return [
        (view.classes[index], title)
        for index in range(len(views[0][1].classes))
        for title, view in views
        if index < len(view.classes)
    ]
