"""One job, live: progress, curves, log, and the buttons that stop or resume it."""

from __future__ import annotations

from html import escape
from typing import Any

from nicegui import ui

from services.gateway.live import Subscription
from services.gateway.pages.layout import Page, button, html, mark
from services.gateway.pages.words import best_words, duration, is_detector, job_state, tag
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["JobView"]

RUNNING = {"QUEUED", "FETCHING", "TRAINING", "CONVERTING"}
UNKNOWN = -1  # epochs drawn: none of this job yet
PRIORITIES = {-10: "low", 0: "normal", 10: "high"}
RESUMABLE = {"FAILED", "INTERRUPTED"}
TRAIN, VALIDATION, ACCURACY = "#94a3b8", "#d55e00", "#0f8f80"
AXIS = "#7d8a84"  # readable on the light and on the dark card
FONT = 'Roboto, "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei", sans-serif'


class JobView:
    """Follows one job at a time. It stays when the job changes: charts are slow to build."""

    def __init__(self, page: Page) -> None:
        self.job_id = ""
        self._page = page
        self._subscription: Subscription[trainer.GetJobResponse] | None = None
        self._epochs = 0
        self._told = 0  # the priority that the trainer last told
        t = page.t
        with ui.element("section").classes("card stack").props(mark("job-view")):
            with ui.element("div").classes("line between wrap full"):
                self._title = html("", "line grow")
                self._stop = button(
                    t("training.stop"), "danger small", page.action(self._stop_job), icon="stop", test="job-stop"
                )
                self._resume = button(
                    t("training.resume"),
                    "plain small",
                    page.action(self._resume_job),
                    icon="play_arrow",
                    test="job-resume",
                )
                self._model = html("").props(mark("job-model"))
            levels = {level: t(f"training.priority_{word}") for level, word in PRIORITIES.items()}
            self._priority = ui.select(levels, value=0, label=t("training.priority"), on_change=self._set_priority)
            self._priority.props["hint"] = t("training.priority_help")
            self._priority.props("outlined dense " + mark("job-priority")).classes("hidden")
            self._bar = html("", "full")
            self._line = html("", "line between wrap muted num full")
            self._error = html("", "error-box hidden full").props(mark("job-error"))
        with ui.element("section").classes("card charts full"):
            self._loss = self._chart(
                t("training.loss"), [(t("training.train_loss"), TRAIN), (t("training.validation_loss"), VALIDATION)]
            )
            self._accuracy = self._chart(t("training.accuracy"), [(t("training.accuracy"), ACCURACY)], top=1.0)
            self._map = self._chart(t("training.map"), [("mAP50", ACCURACY), ("mAP50-95", TRAIN)], 1.0, "chart-map")
            parts = (("box", TRAIN), ("object", VALIDATION), ("class", ACCURACY))
            self._parts = self._chart(
                t("training.loss_parts"),
                [(t(f"training.{part}_loss"), colour) for part, colour in parts],
                test="chart-parts",
            )
        with ui.element("section").classes("card stack full"):
            html(t("training.log"), "section-title", tag="h2")
            self._log = html("", "full").props(mark("job-log"))

    def follow(self, job_id: str) -> None:
        """Shows this job from now on."""
        if job_id == self.job_id:
            return
        if self._subscription is not None:
            self._subscription.end()
        self.job_id, self._epochs = job_id, UNKNOWN
        self._subscription = self._page.listen(self._page.context.live.job(job_id), self._show)

    def _chart(
        self, title: str, series: list[tuple[str, str]], top: float | None = None, test: str = "chart"
    ) -> ui.echart:
        options: dict[str, Any] = {
            "textStyle": {"fontFamily": FONT},
            "title": {"text": title, "left": 0, "top": 0, "padding": 0,
                      "textStyle": {"fontSize": 14, "fontWeight": 500, "fontFamily": FONT, "color": AXIS}},
            "grid": {"left": 44, "right": 14, "top": 38, "bottom": 24},
            "legend": {"show": len(series) > 1, "right": 0, "top": 0, "icon": "roundRect", "itemWidth": 14,
                       "itemHeight": 4, "textStyle": {"color": AXIS}},
            "tooltip": {"trigger": "axis"},
            "animationDuration": 300,
            "xAxis": {"type": "category", "data": [], "axisLine": {"lineStyle": {"color": AXIS}},
                      "axisTick": {"show": False}, "axisLabel": {"color": AXIS}},
            "yAxis": {"type": "value", "min": 0, "max": top, "axisLabel": {"color": AXIS},
                      "splitLine": {"lineStyle": {"color": AXIS, "opacity": 0.18}}},
            "series": [
                {"type": "line", "name": name, "data": [], "color": colour, "smooth": 0.2, "showSymbol": False,
                 "lineStyle": {"width": 2.5}}
                for name, colour in series
            ],
        }  # fmt: skip
        return ui.echart(options).classes("chart").props(mark(test))

    async def _show(self, answer: trainer.GetJobResponse) -> None:
        job = answer.job
        if job.id != self.job_id:
            return  # of the job that was followed before
        t = self._page.t
        word, tone = job_state(job)
        state = tag(t("job." + word), tone).replace("<span", f'<span data-testid="job-state" data-state="{word}"', 1)
        self._title.set_content(f'<h2 class="section-title">{escape(t("training.job", id=job.id))}</h2>{state}')
        bar = {"DONE": "good", "FAILED": "bad"}.get(word, "")
        self._bar.set_content(f'<div class="bar {bar}"><div style="width:{job.progress * 100:.1f}%"></div></div>')
        self._line.set_content("".join(f"<span>{escape(part)}</span>" for part in self._facts(job, word)))
        self._stop.classes(remove="hidden") if word in RUNNING else self._stop.classes("hidden")
        self._resume.classes(remove="hidden") if word in RESUMABLE else self._resume.classes("hidden")
        self._show_priority(job.priority, word == "QUEUED")
        link = f"/projects/{job.project_id}/models?model={job.model_id}"
        ready = job.model_id and word not in RUNNING  # while it converts, the model has no file to release yet
        self._model.set_content(
            f'<a class="btn plain small" href="{link}">{t("training.see_model")}</a>' if ready else ""
        )
        self._error.set_content(escape(job.error))
        self._error.classes(remove="hidden") if job.error else self._error.classes("hidden")
        self._log.set_content(f'<pre class="log"><span>{escape(chr(10).join(job.log)) or "—"}</span></pre>')
        self._draw(job)

    def _facts(self, job: trainer.Job, word: str) -> list[str]:
        t = self._page.t
        facts = [f"{job.progress:.0%}"]
        if job.queue_position:
            facts.append(t("training.queue_position", position=job.queue_position, priority=job.priority))
        if job.epochs:
            epochs = job.parameters.epochs * (3 if job.parameters.distil else 1)  # network, teacher, student
            facts.append(f"{t('training.epoch')} {job.epochs[-1].epoch} / {epochs}")
            facts.append(best_words(job, t))
            facts.append(t("training.speed", rate=f"{job.epochs[-1].images_per_second:.0f}"))
        if word in RUNNING and job.seconds_left:
            facts.append(t("training.left", time=duration(job.seconds_left, t)))
        return facts

    def _show_priority(self, priority: int, queued: bool) -> None:
        """One set over REST may be none of the three: the nearest is shown."""
        self._told = min(PRIORITIES, key=lambda level: abs(level - priority))
        self._priority.set_value(self._told)
        self._priority.classes(remove="hidden") if queued else self._priority.classes("hidden")

    async def _set_priority(self) -> None:
        if self._priority.value == self._told:
            return  # shown, not chosen
        await self._page.action(self._send_priority)()

    async def _send_priority(self) -> None:
        request = trainer.SetJobPriorityRequest(job_id=self.job_id, priority=int(self._priority.value))
        await ask(self._page.upstream.training.SetJobPriority(request))
        self._page.context.live.job(self.job_id).refresh()

    def _draw(self, job: trainer.Job) -> None:
        if len(job.epochs) == self._epochs:
            return
        self._epochs = len(job.epochs)
        numbers = [epoch.epoch for epoch in job.epochs]
        dots = len(numbers) < 3  # a line through one point is invisible
        found = [e.detection for e in job.epochs]
        detector = is_detector(job)
        curves: tuple[tuple[ui.echart, tuple[list[float], ...]], ...] = (
            (self._loss, ([e.train_loss for e in job.epochs], [e.validation_loss for e in job.epochs])),
            (self._accuracy, ([e.validation_accuracy for e in job.epochs],)),
            (self._map, ([d.map50 for d in found], [d.map50_95 for d in found])),
            (self._parts, ([d.box_loss for d in found], [d.object_loss for d in found], [d.class_loss for d in found])),
        )
        for chart in (self._map, self._parts):
            chart.classes(remove="hidden") if detector else chart.classes("hidden")
        self._accuracy.classes("hidden") if detector else self._accuracy.classes(remove="hidden")
        for chart, columns in curves:
            chart.options["xAxis"]["data"] = numbers
            for series, column in zip(chart.options["series"], columns, strict=True):
                series["data"] = [round(value, 5) for value in column]
                series["showSymbol"] = dots
            chart.update()

    async def _stop_job(self) -> None:
        await ask(self._page.upstream.training.StopJob(trainer.StopJobRequest(job_id=self.job_id)))
        self._page.context.live.job(self.job_id).refresh()

    async def _resume_job(self) -> None:
        await ask(self._page.upstream.training.ResumeJob(trainer.ResumeJobRequest(job_id=self.job_id)))
        self._page.context.live.job(self.job_id).refresh()
