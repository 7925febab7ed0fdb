"""On the page of a model: its evaluations, the button that starts one, and its card."""

from __future__ import annotations

from html import escape

from nicegui import ui

from services.common.errors import BoardloopError
from services.gateway.card import card_facts, card_measures, card_parameters
from services.gateway.live import Subscription
from services.gateway.pages.evaluation_words import state_of, subject, version_numbers
from services.gateway.pages.layout import Page, button, html, mark
from services.gateway.pages.words import date, percent, tag
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["ModelPanels"]

PARTS = ("validation", "train", "all")


class ModelPanels:
    """Evaluations and card of the model that is shown; `show` is called again for the next one."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._subscription: Subscription[trainer.ListEvaluationsResponse] | None = None

    def show(self, model: trainer.Model) -> None:
        """Draws both sections into the current place."""
        t = self._page.t
        with ui.element("section").classes("card stack").props(mark("evaluations")):
            with ui.element("div").classes("line between"):
                html(escape(t("evaluation.section")), "section-title", tag="h2")
                start = self._page.action(lambda: self._ask(model))
                button(t("evaluation.start"), "plain small", start, icon="fact_check", test="evaluate")
            rows = html(f'<p class="muted">{escape(t("evaluation.none"))}</p>', "full")
        with ui.element("section").classes("card stack").props(mark("card")):
            card = html("", "full")
        ui.timer(0.05, lambda: self._show_card(card, model), once=True)
        if self._subscription is not None:
            self._subscription.end()

        async def listed(answer: trainer.ListEvaluationsResponse) -> None:
            if answer.evaluations:
                numbers = await version_numbers(self._page, model.project_id)
                rows.set_content("".join(self._row(one, numbers) for one in answer.evaluations))

        self._subscription = self._page.listen(self._page.context.live.evaluations(model.id), listed)

    def _row(self, one: trainer.EvaluationJob, numbers: dict[str, int]) -> str:
        t = self._page.t
        word, tone = state_of(one)
        figure = percent(one.figures.accuracy)
        if one.figures.task == "detection":
            figure = f"mAP50 {percent(one.figures.mean_average_precision)}"
        said = f"<b>{figure}</b>" if one.figures.images else tag(t(f"evaluation.state.{word}"), tone)
        link = f"/projects/{escape(one.project_id)}/evaluations/{escape(one.id)}"
        return (
            f'<a class="version line between" href="{link}" data-testid="evaluation-row" data-state="{word}" '
            f'data-id="{escape(one.id)}"><span>{escape(subject(one, numbers, t))}<br>'
            f'<span class="faint num">{date(one.created_at)}</span></span><span class="num">{said}</span></a>'
        )

    async def _ask(self, model: trainer.Model) -> None:
        request = collector.ListVersionsRequest(project_id=model.project_id)
        versions = (await ask(self._page.upstream.datasets.ListVersions(request))).versions
        t = self._page.t
        names = {one.id: f"v{one.number} · {one.train_count} + {one.validation_count}" for one in versions}
        first = model.version_id if model.version_id in names else next(iter(names), None)
        files = {"": t("models.float")} | {file.target: file.target for file in model.files}
        with ui.dialog() as dialog, ui.card().classes("dialog"):
            html(escape(t("evaluation.title")), tag="h2")
            html(escape(t("evaluation.start_text")), "muted")
            target = ui.select(files, value="", label=t("evaluation.file"))
            target.props("outlined " + mark("evaluate-target"))
            version = ui.select(names, value=first, label=t("evaluation.version"))
            version.props("outlined " + mark("evaluate-version"))
            parts = {part: t(f"evaluation.part.{part}") for part in PARTS}
            part = ui.select(parts, value="validation", label=t("evaluation.part"))
            part.props("outlined " + mark("evaluate-part"))

            confidence = ui.number(t("evaluation.confidence"), value=0, min=0, max=0.99, step=0.05)
            confidence.props["hint"] = t("evaluation.confidence_help")
            confidence.props("outlined " + mark("evaluate-confidence"))
            confidence.set_visibility(model.task == "detection")

            skip = ui.switch(t("evaluation.skip_unreadable")).props(mark("evaluate-skip"))

            async def start() -> None:
                wanted = trainer.StartEvaluationRequest(
                    model_id=model.id,
                    version_id=str(version.value or ""),
                    target=str(target.value),
                    part=str(part.value),
                    confidence=float(confidence.value or 0),
                    skip_unreadable=bool(skip.value),
                )
                made = (await ask(self._page.upstream.evaluations.StartEvaluation(wanted))).evaluation
                dialog.close()
                ui.navigate.to(f"/projects/{made.project_id}/evaluations/{made.id}")

            with ui.element("div").classes("foot"):
                button(t("common.cancel"), "ghost", dialog.close)
                button(t("evaluation.start"), "primary", self._page.action(start), test="evaluate-start")
        dialog.open()

    async def _show_card(self, place: ui.html, model: trainer.Model) -> None:
        try:
            request = trainer.GetModelCardRequest(model_id=model.id)
            card = (await ask(self._page.upstream.models.GetModelCard(request))).card
        except BoardloopError as error:
            place.set_content(f'<p class="muted">{escape(str(error))}</p>')
            return
        place.set_content(self._card(card))

    def _card(self, card: trainer.ModelCard) -> str:
        t = self._page.t
        facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in card_facts(card, t))
        measured = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in card_measures(card, t)
        )
        parameters = "".join(
            f"<tr><td class='mono'>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in card_parameters(card)
        )
        names = ("card.model", "card.on", "card.figure", "models.images")
        heads = "".join(f"<th>{escape(t(name))}</th>" for name in names)
        link = f"/api/v1/models/{escape(card.model.id)}/card.md"
        download = f'<a class="btn plain small" href="{link}" data-testid="card-md">{escape(t("card.download"))}</a>'
        return (
            f'<div class="line between"><h2 class="section-title">{escape(t("card.title"))}</h2>{download}</div>'
            f'<dl class="facts" data-testid="card-facts">{facts}</dl>'
            f'<div class="scroll"><table class="data"><tr>{heads}</tr>{measured}</table></div>'
            f'<p class="faint">{escape(t("card.limits"))}</p>'
            f"<details><summary>{escape(t('card.parameters'))}</summary>"
            f'<table class="data">{parameters}</table></details>'
        )
