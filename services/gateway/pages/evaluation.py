"""One evaluation: its progress, then its figures and pictures; and two of them side by side."""

from __future__ import annotations

from html import escape

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui
from nicegui.events import GenericEventArguments

from services.common.errors import BoardloopError
from services.gateway.pages import evaluation_view as view
from services.gateway.pages.evaluation_gallery import Gallery
from services.gateway.pages.evaluation_words import RESUMABLE, RUNNING, state_of, where
from services.gateway.pages.layout import Page, button, empty, find_project, html, mark, open_page
from services.gateway.pages.words import date, duration, percent, tag
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__: list[str] = []

SHOWN = 24  # pictures of a comparison
# a click anywhere in the matrix tells which cell was hit
_CELL = "(e) => { const c = e.target.closest('[data-truth]'); if (c) emit(c.dataset.truth, c.dataset.predicted); }"
_SUBSET = "(e) => { const c = e.target.closest('[data-subset]'); if (c) emit(c.dataset.subset); }"
_TO_GALLERY = "document.getElementById('gallery').scrollIntoView({behavior: 'smooth'})"


@ui.page("/projects/{project_id}/evaluations/{evaluation_id}")
async def evaluation_page(request: Request, project_id: str, evaluation_id: str) -> RedirectResponse | None:
    page = await open_page(request)
    if not isinstance(page, Page):
        return page
    project = await find_project(page, project_id)
    if project is None:
        return None
    with page.frame(page.t("evaluation.title"), here="models", project=project):
        try:
            asked = trainer.GetEvaluationRequest(evaluation_id=evaluation_id)
            evaluation = (await ask(page.upstream.evaluations.GetEvaluation(asked))).evaluation
            await _frame(page, project, evaluation)
        except BoardloopError as error:
            _missing(page, project, error)
    return None


async def _frame(page: Page, project: collector.Project, evaluation: trainer.EvaluationJob) -> None:
    t = page.t
    asked = trainer.GetModelRequest(model_id=evaluation.model_id)
    model = (await ask(page.upstream.models.GetModel(asked))).model
    _, actions = page.head(f"{t('evaluation.title')} · {model.name}", await where(page, evaluation))
    with actions:
        await _compare_menu(page, evaluation)
        back = f"/projects/{escape(project.id)}/models?model={escape(model.id)}"
        html(f'<a class="btn plain" href="{back}" data-testid="to-model">{escape(t("evaluation.to_model"))}</a>')
    shown = EvaluationView(page, ui.element("div").classes("stack fidelity").props(mark("evaluation")))
    page.listen(page.context.live.evaluation(evaluation.id), shown.show)


def _missing(page: Page, project: collector.Project, error: BoardloopError) -> None:
    page.head(page.t("evaluation.title"), "")
    with empty("troubleshoot", page.t("evaluation.missing"), str(error)):
        back = f"/projects/{escape(project.id)}/models"
        html(f'<a class="btn primary" href="{back}">{escape(page.t("evaluation.to_model"))}</a>')


async def _compare_menu(page: Page, evaluation: trainer.EvaluationJob) -> None:
    request = trainer.ListEvaluationsRequest(project_id=evaluation.project_id)
    answer = await ask(page.upstream.evaluations.ListEvaluations(request))
    others = [one for one in answer.evaluations if one.id != evaluation.id and one.figures.images]
    if not others:
        return
    with button(page.t("evaluation.compare"), "plain", lambda: None, icon="compare", test="compare"), ui.menu():
        for one in others[:12]:
            link = f"/projects/{evaluation.project_id}/evaluations/{one.id}/compare/{evaluation.id}"
            text = f"{await where(page, one)} · {date(one.created_at)}"
            item = ui.menu_item(text, on_click=lambda _, link=link: ui.navigate.to(link))
            item.props(mark("compare-with") + f' data-id="{one.id}"')


class EvaluationView:
    """Progress while it runs; figures once it is done, drawn once."""

    def __init__(self, page: Page, place: ui.element) -> None:
        self._page = page
        self._place = place
        self._drawn = False

    async def show(self, answer: trainer.GetEvaluationResponse) -> None:
        evaluation = answer.evaluation
        if self._drawn:
            return
        self._place.clear()
        with self._place:
            if evaluation.state == trainer.EVALUATION_STATE_DONE:
                self._drawn = True
                await self._figures(evaluation)
            else:
                self._progress(evaluation)

    def _progress(self, evaluation: trainer.EvaluationJob) -> None:
        t = self._page.t
        word, tone = state_of(evaluation)
        with ui.element("section").classes("card stack").props(mark("evaluation-progress") + f' data-state="{word}"'):
            left = duration(evaluation.seconds_left, t) if evaluation.seconds_left else ""
            html(f"{tag(t(f'evaluation.state.{word}'), tone)} <span class='muted num'>{escape(left)}</span>", "line")
            html(f'<div class="bar"><div style="width:{evaluation.progress * 100:.1f}%"></div></div>', "full")
            if evaluation.error:
                html(escape(evaluation.error), "error-box")
            if evaluation.log:
                html(f'<pre class="log"><span>{escape(chr(10).join(evaluation.log))}</span></pre>', "full")
            with ui.element("div").classes("line"):
                if word in RUNNING:
                    stop = self._page.action(lambda: self._stop(evaluation.id))
                    button(t("evaluation.stop"), "danger small", stop, icon="stop", test="evaluation-stop")
                if word in RESUMABLE:
                    resume = self._page.action(lambda: self._resume(evaluation.id))
                    button(t("evaluation.resume"), "plain small", resume, icon="play_arrow", test="evaluation-resume")

    async def _figures(self, evaluation: trainer.EvaluationJob) -> None:
        t, figures = self._page.t, evaluation.figures
        html(view.stats(figures, t) + view.notes(figures, t), "card stack", tag="section")
        with ui.element("div").classes("fidelity-halves"):
            matrix = html(view.matrix(figures, t), "card stack", tag="section").props(mark("evaluation-matrix"))
            html(view.curves(figures, t), "card stack", tag="section")
        html(view.labels(figures, t), "card stack", tag="section")
        subsets = html(view.subsets(figures, t), "card stack", tag="section")
        gallery = Gallery(self._page, evaluation)
        names = list(figures.labels)

        async def cell(event: GenericEventArguments) -> None:
            truth, predicted = (names[int(one)] for one in event.args)
            await self._page.action(lambda: gallery.cell(truth, predicted))()
            ui.run_javascript(_TO_GALLERY)

        async def subset(event: GenericEventArguments) -> None:
            chosen = figures.subsets[int(event.args)]
            await self._page.action(lambda: gallery.subset(chosen))()
            ui.run_javascript(_TO_GALLERY)

        matrix.on("click", cell, js_handler=_CELL)
        subsets.on("click", subset, js_handler=_SUBSET)
        await gallery.show()

    async def _stop(self, evaluation_id: str) -> None:
        request = trainer.StopEvaluationRequest(evaluation_id=evaluation_id)
        await ask(self._page.upstream.evaluations.StopEvaluation(request))
        self._page.context.live.evaluation(evaluation_id).refresh()

    async def _resume(self, evaluation_id: str) -> None:
        request = trainer.ResumeEvaluationRequest(evaluation_id=evaluation_id)
        await ask(self._page.upstream.evaluations.ResumeEvaluation(request))
        self._page.context.live.evaluation(evaluation_id).refresh()


@ui.page("/projects/{project_id}/evaluations/{first_id}/compare/{second_id}")
async def comparison_page(request: Request, project_id: str, first_id: str, second_id: str) -> RedirectResponse | None:
    page = await open_page(request)
    if not isinstance(page, Page):
        return page
    project = await find_project(page, project_id)
    if project is None:
        return None
    with page.frame(page.t("evaluation.comparison"), here="models", project=project):
        try:
            asked = trainer.CompareEvaluationsRequest(first_id=first_id, second_id=second_id)
            made = await ask(page.upstream.evaluations.CompareEvaluations(asked))
            await _comparison(page, project, made)
        except BoardloopError as error:
            _missing(page, project, error)
    return None


async def _comparison(page: Page, project: collector.Project, made: trainer.CompareEvaluationsResponse) -> None:
    t = page.t
    text = t("evaluation.comparison_text", count=made.common_images)
    page.head(t("evaluation.comparison"), f"{text} {t('evaluation.chance', chance=f'{made.chance:.3f}')}")
    count = max(made.common_images, 1)
    with ui.element("div").classes("stack fidelity").props(mark("comparison")):
        with ui.element("div").classes("fidelity-halves"):
            for name, one, right in (
                ("first", made.first, made.first_right),
                ("second", made.second, made.second_right),
            ):
                link = f"/projects/{escape(project.id)}/evaluations/{escape(one.id)}"
                title = f"{t('evaluation.' + name)}: {await where(page, one)}"
                head = view.heading(title, f"{right} / {made.common_images} · {percent(right / count)}")
                more = f'<a href="{link}">{escape(t("fidelity.link"))}</a>'
                html(f"{head}{view.stats(one.figures, t)}{more}", "card stack", tag="section").props(mark(name))
        with ui.element("div").classes("fidelity-halves"):
            for name, captures in (("broken", made.broken), ("mended", made.mended)):
                shots = "".join(_shot(capture) for capture in captures[:SHOWN])
                head = view.heading(t(f"evaluation.{name}", count=len(captures)))
                html(f'{head}<div class="grid">{shots}</div>', "card stack", tag="section").props(mark(name))


def _shot(capture: str) -> str:
    address = f"/api/v1/captures/{escape(capture)}"
    return (
        f'<a class="shot" href="{address}/image" target="_blank" data-id="{escape(capture)}">'
        f'<img loading="lazy" alt="" src="{address}/thumbnail?size=160"></a>'
    )
