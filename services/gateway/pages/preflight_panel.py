"""The check before a training starts: counts, problems with what to do, time, disk, and every parameter."""

from __future__ import annotations

from html import escape

from nicegui import ui

from services.common.i18n import CATALOGUE
from services.gateway.pages.layout import Page, html, mark
from services.gateway.pages.words import duration, kilobytes, tag
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["PreflightPanel"]

SECONDS = 120.0  # pictures are decoded, and some steps of a large network are timed
TONES = {
    trainer.SEVERITY_ERROR: ("error", "bad"),
    trainer.SEVERITY_WARNING: ("warning", "warn"),
    trainer.SEVERITY_NOTE: ("note", ""),
}


class PreflightPanel:
    """Draws itself where it is made, empty until the first check."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._box = ui.element("section").classes("stack tight full preflight hidden").props(mark("preflight"))

    async def check(self, request: trainer.CheckTrainingRequest) -> bool:
        """Ask the trainer and show the answer; whether the training may start. Raises what the trainer raises."""
        self._fill(f'<span class="muted" role="status">{escape(self._page.t("preflight.ui.checking"))}</span>')
        try:
            answer = await ask(self._page.upstream.training.CheckTraining(request, timeout=SECONDS))
        except BaseException:
            self._box.classes("hidden")
            raise
        self._show(answer)
        return not any(one.severity == trainer.SEVERITY_ERROR for one in answer.problems)

    def _fill(self, content: str) -> None:
        self._box.clear()
        self._box.classes(remove="hidden")
        with self._box:
            html(escape(self._page.t("preflight.ui.title")), "section-title", tag="h3")
            html(content, "full")

    def _show(self, answer: trainer.CheckTrainingResponse) -> None:
        t = self._page.t
        problems = "".join(self._problem(one) for one in answer.problems)
        good = "" if answer.problems else f'<p class="muted">{escape(t("preflight.ui.good"))}</p>'
        self._fill(f"{problems}{good}{self._counts(answer)}{self._costs(answer)}")
        with self._box:
            fold = ui.expansion(t("preflight.ui.parameters", count=len(answer.notes))).classes("full").props("dense")
            with fold.props(mark("preflight-parameters")):
                html("".join(self._note(one) for one in answer.notes), "facts", tag="dl")

    def _problem(self, one: trainer.TrainingProblem) -> str:
        t = self._page.t
        word, tone = TONES.get(one.severity, ("note", ""))
        key = f"preflight.{one.code}"
        known = key in CATALOGUE and f"{key}_fix" in CATALOGUE
        message = t(key, **one.facts) if known else one.message
        fix = t(f"{key}_fix", **one.facts) if known else one.fix
        return (
            f'<div class="problem" data-testid="problem" data-code="{escape(one.code)}">'
            f"{tag(t('preflight.ui.' + word), tone)}<div><strong>{escape(message)}</strong><br>"
            f'<span class="faint">{escape(fix)}</span></div></div>'
        )

    def _counts(self, answer: trainer.CheckTrainingResponse) -> str:
        t = self._page.t
        head = "".join(f"<th>{escape(t('preflight.ui.' + key))}</th>" for key in ("label", "train", "validation"))
        rows = "".join(
            f"<tr><td>{escape(one.label)}</td><td>{one.train}</td><td>{one.validation}</td></tr>"
            for one in answer.labels
        )
        table = f'<table class="data" data-testid="preflight-counts"><tr>{head}</tr>{rows}</table>'
        return f'<div class="scroll">{table}</div>'

    def _costs(self, answer: trainer.CheckTrainingResponse) -> str:
        t = self._page.t
        lines = []
        if answer.seconds:
            key = "preflight.ui.time_job" if answer.measured_in_job else "preflight.ui.time"
            lines.append(t(key, time=duration(answer.seconds, t), rate=f"{answer.images_per_second:.0f}"))
        needed, free = kilobytes(answer.disk_needed_bytes), _gigabytes(answer.disk_free_bytes)
        lines.append(t("preflight.ui.disk", needed=needed, free=free))
        return f'<p class="faint">{"<br>".join(map(escape, lines))}</p>'

    def _note(self, one: trainer.ParameterNote) -> str:
        key = f"training.{one.name}_help"
        sentence = self._page.t(key) if key in CATALOGUE else one.sentence
        value = escape(one.value) or "—"
        return f"<dt>{escape(one.name)}</dt><dd>{value}<br><small>{escape(sentence)}</small></dd>"


def _gigabytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else kilobytes(size)
