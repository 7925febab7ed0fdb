"""The dialog that sends a model to boards."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from services.common.boards import board_type_of
from services.gateway.pages.layout import Page, button, html, mark
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as deployer
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["releasable", "release_dialog"]


def release_dialog(page: Page, project: collector.Project, model: trainer.Model) -> Callable[[], object]:
    """Returns what opens the dialog: it asks for the boards at that moment."""

    async def show() -> None:
        answer = await ask(page.upstream.boards.ListBoards(deployer.ListBoardsRequest(project_id=project.id)))
        _build(page, project, model, list(answer.boards)).open()

    return page.action(show)


def releasable(model: trainer.Model) -> list[trainer.ConvertedFile]:
    """The files that boards of a fleet load; the others, and detectors, are for downloading."""
    if model.task == "detection":
        return []
    return [file for file in model.files if board_type_of(file.format)]


def _build(page: Page, project: collector.Project, model: trainer.Model, boards: list[deployer.Board]) -> ui.dialog:
    t = page.t
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        html(t("release.title"), tag="h2")
        html(t("release.text"), "muted")
        name = ui.input(t("common.name"), value=model.name).props("outlined maxlength=64 " + mark("release-name"))
        files = releasable(model)
        targets = {file.target: f"{file.target} · {file.file_name}" for file in files}
        formats = {file.target: file.format for file in files}

        def fitting() -> dict[str, str]:
            wanted = board_type_of(formats[str(target.value)])
            return {one.id: f"{one.name} · {one.board_type}" for one in boards if one.board_type == wanted}

        target: ui.select = ui.select(
            targets,
            value=next(iter(targets)),
            label=t("release.target"),
            on_change=lambda: chosen.set_options(fitting(), value=[]),
        )
        target.props("outlined " + mark("release-target"))
        chosen: ui.select = ui.select(fitting(), multiple=True, value=[], label=t("release.boards"), clearable=True)
        chosen.props("outlined use-chips " + mark("release-boards"))
        chosen.props["hint"] = t("release.all_boards")

        async def release() -> None:
            request = deployer.CreateReleaseRequest(
                project_id=project.id, model_id=model.id, target=str(target.value), name=name.value or "",
                board_ids=list(chosen.value or []),
            )  # fmt: skip
            answer = await ask(page.upstream.releases.CreateRelease(request))
            dialog.close()
            ui.notify(t("release.started", name=answer.release.name), position="top", type="positive")
            ui.navigate.to(f"/projects/{project.id}/boards")

        with ui.element("div").classes("foot"):
            button(t("common.cancel"), "ghost", dialog.close)
            button(t("release.submit"), "primary", page.action(release), test="release-submit")
    return dialog
