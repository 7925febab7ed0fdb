"""Models: what was measured, float beside converted, and the way to the boards."""

from __future__ import annotations

from html import escape

from fastapi import Request
from fastapi.responses import RedirectResponse
from nicegui import ui

from services.gateway.pages.convert_dialog import convert_dialog
from services.gateway.pages.evaluation_panel import ModelPanels
from services.gateway.pages.layout import Page, button, empty, find_project, html, mark, open_page
from services.gateway.pages.matrix import class_table, confusion_matrix, precision_table
from services.gateway.pages.release_dialog import releasable, release_dialog
from services.gateway.pages.try_panel import load_script, try_panel
from services.gateway.pages.words import date, kilobytes, percent, quality
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__: list[str] = []

WRONG_SHOWN = 18


@ui.page("/projects/{project_id}/models")
async def models_page(request: Request, project_id: str, model: str = "") -> RedirectResponse | None:
    page = await open_page(request)
    if not isinstance(page, Page):
        return page
    project = await find_project(page, project_id)
    if project is None:
        return None
    t = page.t
    load_script()
    with page.frame(t("models.title"), here="models", project=project):
        page.head(t("models.title"), t("models.subtitle"))
        models = Models(page, project, ui.element("div").classes("full"), model)
    page.listen(page.context.live.models(project_id), models.show)
    return None


class Models:
    """List on the left, one model on the right."""

    def __init__(self, page: Page, project: collector.Project, place: ui.element, chosen: str) -> None:
        self._page = page
        self._project = project
        self._place = place
        self._chosen = chosen
        self._models: list[trainer.Model] = []
        self._panels = ModelPanels(page)

    async def show(self, answer: trainer.ListModelsResponse) -> None:
        """Draws everything anew: models change rarely."""
        self._models = list(answer.models)
        self._draw()

    def _draw(self) -> None:
        t = self._page.t
        self._place.clear()
        with self._place:
            if not self._models:
                with empty("hub", t("models.empty.title"), t("models.empty.text")):
                    link = f"/projects/{self._project.id}/training"
                    html(f'<a class="btn primary" href="{link}">{t("models.go_training")}</a>')
                return
            model = next((one for one in self._models if one.id == self._chosen), self._models[0])
            self._chosen = model.id
            with ui.element("div").classes("split"):
                with ui.element("section").classes("card stack tight").props(mark("models")):
                    for one in self._models:
                        self._row(one, one.id == model.id)
                with ui.element("div").classes("stack").props(mark("model-view") + f' data-id="{model.id}"'):
                    self._head(model)
                    self._figures(model)
                    try_panel(t, model)
                    self._confusions(model)
                    self._wrong(model)
                    self._panels.show(model)

    def _row(self, model: trainer.Model, here: bool) -> None:
        row = ui.element("button").classes("pick on" if here else "pick")
        with row.props(mark("model") + f' type="button" data-id="{model.id}"'):
            accuracy = percent(quality(model.evaluation))
            html(
                f'<strong>{escape(model.name)}</strong><span class="num">{accuracy}</span>', "line between", tag="span"
            )
            html(f"{date(model.created_at)}<span>{escape(model.backbone)}</span>", "line between faint num", tag="span")

        def choose() -> None:
            self._chosen = model.id
            self._draw()

        row.on("click", choose)

    def _head(self, model: trainer.Model) -> None:
        t = self._page.t
        with ui.element("section").classes("card line between wrap"):
            height = model.input_height or model.input_size
            facts = f"{escape(model.backbone)} · {model.input_size} × {height} · {date(model.created_at)}"
            source = f"{t('models.weights')}: {escape(model.weights_source)}" if model.weights_source else ""
            html(
                f'<h2 style="font-size:19px;font-weight:600">{escape(model.name)}</h2>'
                f'<p class="muted num">{facts}</p><p class="faint">{source}</p>',
                "grow",
            )
            with ui.element("div").classes("actions"):
                with (
                    button(t("models.download"), "plain", lambda: None, icon="download", test="model-download"),
                    ui.menu(),
                ):
                    self._download(t("models.checkpoint"), model.id, "float")
                    for file in model.files:
                        self._download(f"{file.file_name} · {kilobytes(file.size_bytes)}", model.id, file.target)
                        for kind in file.packages:
                            link = f"{file.target}/packages/{kind}"
                            self._download(f"{t(f'package.{kind}')} · {file.target}", model.id, link)
                link = f"/projects/{self._project.id}/training?model={model.id}"
                button(
                    t("training.from_model"),
                    "plain",
                    lambda: ui.navigate.to(link),
                    icon="replay",
                    test="model-train-on",
                )
                convert = convert_dialog(self._page, model, self._converted)
                button(t("convert.button"), "plain", convert, icon="developer_board", test="model-convert")
                open_dialog = release_dialog(self._page, self._project, model)
                release = button(
                    t("models.release"), "primary", open_dialog, icon="rocket_launch", test="model-release"
                )
                release.set_enabled(bool(releasable(model)))

    def _converted(self, file: trainer.ConvertedFile) -> None:
        self._page.context.live.models(self._project.id).refresh()
        ui.navigate.to(f"/projects/{self._project.id}/models/{self._chosen}/fidelity/{file.target}")

    def _download(self, text: str, model_id: str, target: str) -> None:
        link = f"/api/v1/models/{model_id}/files/{target}"
        item = ui.menu_item(text, on_click=lambda: ui.download.from_url(link))
        item.props(mark(f"download-{target.replace('/packages/', '-')}"))

    def _figures(self, model: trainer.Model) -> None:
        t = self._page.t
        columns = [t("models.float"), *(escape(file.target) for file in model.files)]
        rows = [
            *self._qualities(model),
            (t("models.agreement"), ["—", *(percent(file.agreement) for file in model.files)]),
            (t("models.images"), [str(model.evaluation.images), *(str(f.evaluation.images) for f in model.files)]),
            (t("models.size"), ["—", *(kilobytes(file.size_bytes) for file in model.files)]),
            (t("models.ram"), ["—", *(kilobytes(file.ram_bytes) for file in model.files)]),
            (t("fidelity.title"), ["", *(self._fidelity_link(model, file.target) for file in model.files)]),
        ]
        head = "".join(f"<th>{column}</th>" for column in columns)
        body = "".join(
            f"<tr><td>{name}</td>{''.join(f'<td class=strong>{value}</td>' for value in values)}</tr>"
            for name, values in rows
        )
        with ui.element("section").classes("card scroll"):
            html(f'<table class="data" data-testid="figures"><tr><th></th>{head}</tr>{body}</table>')

    def _qualities(self, model: trainer.Model) -> list[tuple[str, list[str]]]:
        views = [model.evaluation, *(file.evaluation for file in model.files)]
        if model.task != "detection":
            return [(self._page.t("models.accuracy"), [percent(one.accuracy) for one in views])]
        return [
            ("mAP50", [percent(one.mean_average_precision) for one in views]),
            ("mAP50-95", [percent(one.mean_average_precision_50_95) for one in views]),
        ]

    def _fidelity_link(self, model: trainer.Model, target: str) -> str:
        link = f"/projects/{self._project.id}/models/{model.id}/fidelity/{escape(target)}"
        text = escape(self._page.t("fidelity.link"))
        return f'<a href="{link}" data-testid="fidelity-{escape(target)}">{text}</a>'

    def _confusions(self, model: trainer.Model) -> None:
        t = self._page.t
        labels = list(model.labels)
        views = [(t("models.float"), model.evaluation), *((file.target, file.evaluation) for file in model.files)]
        if model.task == "detection":
            with ui.element("section").classes("card stack scroll"):
                html(t("models.classes"), "section-title", tag="h2")
                html(t("models.detection_classes"), "faint")
                html(precision_table(t, views))
            return
        with ui.element("section").classes("card stack"):
            html(t("models.confusion"), "section-title", tag="h2")
            html(t("models.confusion_axes"), "faint")
            cells = "".join(
                f'<div class="stack tight"><strong>{escape(title)}</strong>'
                f"{confusion_matrix(labels, list(one.confusion))}</div>"
                for title, one in views
            )
            html(f'<div class="matrices" data-testid="confusion">{cells}</div>')
        with ui.element("section").classes("card stack scroll"):
            html(t("models.classes"), "section-title", tag="h2")
            html(class_table(t, views))

    def _wrong(self, model: trainer.Model) -> None:
        wrong = list(model.evaluation.wrong_capture_ids)
        if not wrong:
            return
        with ui.element("section").classes("card stack"):
            html(f"{self._page.t('models.wrong')} · {len(wrong)}", "section-title num", tag="h2")
            shots = "".join(
                f'<a class="shot" href="/api/v1/captures/{escape(one)}/image" target="_blank">'
                f'<img loading="lazy" alt="" src="/api/v1/captures/{escape(one)}/thumbnail?size=160"></a>'
                for one in wrong[:WRONG_SHOWN]
            )
            html(f'<div class="grid" style="grid-template-columns:repeat(auto-fill,minmax(88px,1fr))">{shots}</div>')
