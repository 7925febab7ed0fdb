"""Training: start a job, watch it, stop it, resume it."""

from __future__ import annotations

from html import escape

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from services.gateway.pages.job_view import JobView
from services.gateway.pages.layout import Page, empty, find_project, html, mark, open_page
from services.gateway.pages.training_form import TrainingForm
from services.gateway.pages.words import date, job_best, job_state, percent, tag
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__: list[str] = []


@ui.page("/projects/{project_id}/training")
async def training_page(
    request: Request, project_id: str, version: str = "", job: str = "", model: str = ""
) -> RedirectResponse | None:
    page = await open_page(request)
    if not isinstance(page, Page):
        return page
    project = await find_project(page, project_id)
    if project is None:
        return None
    t = page.t
    with page.frame(t("training.title"), here="training", project=project):
        page.head(t("training.title"), t("training.subtitle"))
        with ui.element("div").classes("split full"):
            with ui.element("div").classes("stack"):
                form = TrainingForm(page, project, version, model)
                with ui.element("section").classes("card stack tight"):
                    html(t("training.jobs"), "section-title", tag="h2")
                    rows = ui.element("div").classes("stack tight full").props(mark("jobs"))
            jobs = Jobs(page, rows, ui.element("div").classes("stack"), job)
    form.on_started(jobs.choose)
    page.listen(page.context.live.jobs(project_id), jobs.show)
    return None


class Jobs:
    """The list on the left decides what the right side shows: at first the newest job."""

    def __init__(self, page: Page, rows: ui.element, place: ui.element, chosen: str) -> None:
        self._page = page
        self._rows = rows
        self._place = place
        self._chosen = chosen
        self._jobs: list[trainer.Job] = []
        self._view: JobView | None = None

    async def show(self, answer: trainer.ListJobsResponse) -> None:
        """Draws the list."""
        self._jobs = list(answer.jobs)
        if self._jobs:
            known = {job.id for job in self._jobs}
            self.choose(self._chosen if self._chosen in known else self._jobs[0].id)
        elif self._view is None:
            self._place.clear()
            with self._place:
                empty("insights", self._page.t("training.empty.title"), self._page.t("training.empty.text"))

    def choose(self, job_id: str) -> None:
        """Shows this job on the right."""
        self._chosen = job_id
        self._draw_rows()
        if self._view is None:
            self._place.clear()
            with self._place:
                self._view = JobView(self._page)
        self._view.follow(job_id)

    def _draw_rows(self) -> None:
        self._rows.clear()
        with self._rows:
            for job in self._jobs:
                self._row(job)

    def _row(self, job: trainer.Job) -> None:
        t = self._page.t
        word, tone = job_state(job)
        best = job_best(job)
        note = percent(best) if best else f"{job.progress:.0%}"
        row = ui.element("button").classes("pick on" if job.id == self._chosen else "pick")
        with row.props(mark("job") + f' type="button" data-id="{job.id}" data-state="{word}"'):
            html(
                f'<span class="mono">{escape(job.id)}</span>{tag(t("job." + word), tone)}',
                "line between",
                tag="span",
            )
            html(f"{date(job.created_at)}<span>{note}</span>", "line between faint num", tag="span")
        row.on("click", lambda: self.choose(job.id))
