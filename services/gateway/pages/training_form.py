"""The form that starts a training: few fields, each with one sentence of help."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from nicegui import ui

from services.common.errors import BoardloopError
from services.gateway.pages.augmentation_preview import AugmentationPreview
from services.gateway.pages.layout import Page, button, html, mark
from services.gateway.pages.network_picker import NetworkPicker, backbone_name
from services.gateway.pages.preflight_panel import PreflightPanel
from services.gateway.pages.training_fields import AdvancedFields
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["TrainingForm"]

BACKBONES = {
    name: backbone_name(name)
    for key, widths in (
        ("mobilenet_v1", ("_0.25", "_0.5", "_0.75", "_1.0", "_1.0_cut8")),
        ("mobilenet_v2", ("_0.35", "_0.5", "_0.75", "_1.0")),
        ("efficientnet_lite", ("0", "2")),
        ("resnet18", ("_0.25", "_0.5", "_1.0")),
        ("darknet_slim", ("_0.5", "_1.0")),
        ("tiny_cnn", ("",)),
    )
    for name in (key + width for width in widths)
}
SIZES = {
    f"{width}x{height}": f"{width} × {height}"
    for width, height in (*((side, side) for side in (96, 128, 160, 192, 224, 256, 320)), (320, 224))
}
CLASSIFIER = "classifier"
DEFAULT_TARGET = "k210-kmodel-v3"
DEFAULT_HEADS = (CLASSIFIER, "yolo2")  # until the targets are loaded


class TrainingForm:
    """A card with the version, the parameters and the start button."""

    def __init__(self, page: Page, project: collector.Project, version: str, model: str = "") -> None:
        """`model`: the id of one to train on from; its parameters are filled in."""
        self._page = page
        self._model = model
        self._project = project
        self._versions: dict[str, collector.DatasetVersion] = {}
        self._wanted = version
        self._detection: set[str] = set()  # ids of the versions with boxes
        self._targets: dict[str, trainer.Target] = {}
        self._usual_head = ""  # that of the model to train on from
        self._started: Callable[[str], None] = lambda _: None
        t = page.t
        with ui.element("section").classes("card stack"):
            html(t("training.new"), "section-title", tag="h2")
            self._without = html(
                f'{escape(t("training.need_version"))} <a href="/projects/{project.id}/datasets">'
                f"{escape(t('training.to_datasets'))}</a>",
                "muted hidden",
            )
            self._fields = ui.element("div").classes("stack full")
            with self._fields:
                self._build()
        page.listen(page.context.live.versions(project.id), self._show_versions)

    def on_started(self, then: Callable[[str], None]) -> None:
        """What to do with the id of a job that was started."""
        self._started = then

    def _build(self) -> None:
        t = self._page.t
        self._version = ui.select({}, label=t("training.version"), on_change=self._fit_to_task)
        self._version.props("outlined " + mark("train-version"))
        self._target = self._select("target", {DEFAULT_TARGET: DEFAULT_TARGET}, DEFAULT_TARGET)
        self._head = self._select("head", {CLASSIFIER: t(f"training.head_{CLASSIFIER}")}, CLASSIFIER)
        self._head.set_visibility(False)
        self._networks = NetworkPicker(self._page, self._take)
        self._epochs = self._number("epochs", 15, 1, 1000)
        weights = {"imagenet": t("training.weights_imagenet"), "none": t("training.weights_none")}
        self._weights_words = weights
        self._weights = self._select("weights", weights, "imagenet")
        with (
            ui.expansion(t("training.more")).classes("full").props("dense " + mark("train-more")),
            ui.element("div").classes("stack"),
        ):
            self._backbone = self._select("backbone", BACKBONES, "mobilenet_v1_0.5")
            self._input = self._select("input", SIZES, "128x128")
            self._drop = self._number("drop", 3, 0, 100, precision=None)
            self._batch = self._number("batch", 16, 1, 512)
            self._rate = self._number("rate", 0, 0, 10, precision=None)
            self._seed = self._number("seed", 1, 0, 2**31)
        self._advanced = AdvancedFields(self._page)
        with self._advanced.preview:
            preview = AugmentationPreview(self._page, self._preview_request)
        self._advanced.on_change(preview.refresh)
        self._target.on_value_change(self._fit_head)
        pooling = self._advanced.field("pooling")
        for field in (self._version, self._target, self._head, self._backbone, self._input, pooling):
            field.on_value_change(self._page.action(self._weigh))
        ui.timer(0.1, self._load_targets, once=True)
        self._preflight = PreflightPanel(self._page)
        button(t("preflight.ui.check"), "plain", self._page.action(self._check), icon="fact_check", test="train-check")
        start = button(
            t("training.start"), "primary", self._page.action(self._start), icon="play_arrow", test="train-start"
        )
        start.classes("full")

    def _number(self, key: str, value: float, low: float, high: float, precision: int | None = 0) -> ui.number:
        t = self._page.t
        field = ui.number(t(f"training.{key}"), value=value, min=low, max=high, precision=precision)
        field.props["hint"] = t(f"training.{key}_help")
        return field.props("outlined " + mark(f"train-{key}"))

    def _select(self, key: str, options: dict[str, str] | dict[int, str], value: str | int) -> ui.select:
        t = self._page.t
        field = ui.select(options, value=value, label=t(f"training.{key}"))
        field.props["hint"] = t(f"training.{key}_help")
        return field.props("outlined " + mark(f"train-{key}"))

    def _preview_request(self) -> trainer.PreviewAugmentationRequest | None:
        if not self._version.value:
            return None
        parameters = trainer.TrainingParameters(
            input_size=self._sides()[0], input_height=self._sides()[1], **self._advanced.values()
        )
        return trainer.PreviewAugmentationRequest(
            version_id=str(self._version.value), parameters=parameters, project_id=self._project.id
        )

    async def _take(self, backbone: str, width: int, height: int) -> None:
        """A proposal that was clicked."""
        self._backbone.value, self._input.value = backbone, f"{width}x{height}"

    async def _weigh(self) -> None:
        """Proposals for the chip, and what the present choice takes there."""
        version = self._versions.get(str(self._version.value), collector.DatasetVersion())
        target, (width, height) = str(self._target.value), self._sides()
        head, backbone = str(self._head.value), str(self._backbone.value)
        pooling = str(self._advanced.field("pooling").value) if head == CLASSIFIER else ""
        await self._networks.propose(target, version, head)
        await self._networks.estimate(target, version, head, backbone, width, height, pooling)

    def _sides(self) -> tuple[int, int]:
        """Width and height of the input."""
        width, _, height = str(self._input.value).partition("x")
        return int(width), int(height)

    async def _load_targets(self) -> None:
        try:
            answer = await ask(self._page.upstream.models.ListTargets(trainer.ListTargetsRequest()))
        except BoardloopError:
            return  # the banner says that the trainer is away; the default stays
        self._targets = {target.id: target for target in answer.targets}
        if answer.targets:
            self._target.set_options({target.id: target.title for target in answer.targets})
        if self._model:
            await self._page.action(self._fill)()

    async def _fill(self) -> None:
        """Start from the model, with what it was trained with."""
        upstream = self._page.upstream
        model = (await ask(upstream.models.GetModel(trainer.GetModelRequest(model_id=self._model)))).model
        job = (await ask(upstream.training.GetJob(trainer.GetJobRequest(job_id=model.job_id)))).job
        parameters, start = job.parameters, f"model:{model.id}"
        self._usual_head = model.head
        words = self._page.t("training.weights_model", name=model.name)
        self._weights.set_options({start: words, **self._weights_words}, value=start)
        self._epochs.value, self._batch.value = parameters.epochs, parameters.batch_size
        self._rate.value, self._seed.value = parameters.learning_rate, parameters.seed
        for field, value in (
            (self._backbone, model.backbone),
            (self._input, f"{model.input_size}x{model.input_height or model.input_size}"),
            (self._target, parameters.target),
            (self._head, model.head),  # its choice follows from the target
        ):
            if value in field.options:
                field.value = value
        self._drop.value = round(100 * parameters.max_accuracy_drop, 3)
        parameters.distil = ""  # a model to start from needs no teacher
        self._advanced.show(parameters)

    async def _show_versions(self, answer: collector.ListVersionsResponse) -> None:
        t = self._page.t
        self._versions = {version.id: version for version in answer.versions}
        options = {
            version.id: t(
                "training.version_detection" if version.task == collector.TASK_DETECTION else "training.version_option",
                number=version.number,
                count=version.train_count + version.validation_count,
            )
            for version in answer.versions
        }
        self._detection = {version.id for version in answer.versions if version.task == collector.TASK_DETECTION}
        self._fields.classes("hidden") if not options else self._fields.classes(remove="hidden")
        self._without.classes("hidden") if options else self._without.classes(remove="hidden")
        keep = self._version.value if self._version.value in options else None
        first = next(iter(options), None)
        self._version.set_options(options, value=keep or (self._wanted if self._wanted in options else first))

    def _fit_to_task(self) -> None:
        """Another task has other defaults; what a person, or a model to train on from, has set otherwise stays."""
        self._advanced.fit(detection=self._version.value in self._detection)
        self._fit_head()

    def _fit_head(self) -> None:
        """The heads of the version's task that the chip's boards read; one alone is no question."""
        read = self._targets.get(str(self._target.value), trainer.Target()).heads or DEFAULT_HEADS
        detection = self._version.value in self._detection
        heads = [head for head in read if (head != CLASSIFIER) == detection]
        wanted = (str(self._head.value), self._usual_head, *heads)
        options = {head: self._page.t(f"training.head_{head}") for head in heads}
        self._head.set_options(options, value=next(head for head in wanted if head in heads))
        self._head.set_visibility(len(heads) > 1)

    async def _check(self) -> None:
        await self._preflight.check(
            trainer.CheckTrainingRequest(
                project_id=self._project.id, version_id=str(self._version.value), parameters=self._parameters()
            )
        )

    def _parameters(self) -> trainer.TrainingParameters:
        return trainer.TrainingParameters(
            backbone=str(self._backbone.value),
            input_size=self._sides()[0],
            input_height=self._sides()[1],
            epochs=int(self._epochs.value or 0),
            batch_size=int(self._batch.value or 0),
            learning_rate=float(self._rate.value or 0),
            seed=int(self._seed.value or 0),
            weights=str(self._weights.value),
            target=str(self._target.value),
            head=str(self._head.value),
            max_accuracy_drop=None if self._drop.value is None else float(self._drop.value) / 100,
            **self._advanced.values(),
        )

    async def _start(self) -> None:
        """Only what the check has no error about; the trainer refuses such a start by itself, too."""
        project, version, parameters = self._project.id, str(self._version.value), self._parameters()
        checked = trainer.CheckTrainingRequest(project_id=project, version_id=version, parameters=parameters)
        if not await self._preflight.check(checked):
            return
        request = trainer.StartJobRequest(project_id=project, version_id=version, parameters=parameters)
        answer = await ask(self._page.upstream.training.StartJob(request))
        self._page.context.live.jobs(self._project.id).refresh()
        self._started(answer.job.id)
