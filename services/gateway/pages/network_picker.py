"""The part of the training form that shows which networks fit the chosen chip: one click takes a combination."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html import escape

from nicegui import ui

from services.common.errors import BoardloopError
from services.common.i18n import CATALOGUE
from services.gateway.pages.layout import Page, html, mark
from services.gateway.pages.words import kilobytes, tag
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as trainer

__all__ = ["NetworkPicker", "backbone_name"]

AT_ONCE = 3  # the others are folded away
SECONDS = 60.0  # nncase compiles each of its networks
NAMES = {
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "efficientnet_lite": "EfficientNet-Lite",
    "resnet18": "ResNet-18",
    "darknet_slim": "Darknet",
    "tiny_cnn": "Tiny CNN",
}
Take = Callable[[str, int, int], Awaitable[None]]


def backbone_name(backbone: str) -> str:
    """ "mobilenet_v1_0.5" as MobileNetV1 0.5."""
    kind = next((key for key in NAMES if backbone.startswith(key)), "")
    return f"{NAMES.get(kind, '')}{backbone.removeprefix(kind).replace('_', ' ')}" if kind else backbone


class NetworkPicker:
    """Proposals, and below them what the form's own choice takes; a click calls `take(backbone, width, height)`."""

    def __init__(self, page: Page, take: Take) -> None:
        self._page = page
        self._take = take
        self._title = html(escape(page.t("networks.title")), "muted").props(mark("networks-title"))
        self._rows = ui.element("div").classes("stack tight full").props(mark("networks"))
        self._note = html("", "faint").props(mark("network-estimate") + ' role="status"')
        self._shown: tuple[object, ...] = ()
        self._picks: dict[tuple[str, int, int], ui.element] = {}
        self._chosen = ("", 0, 0)
        self._asked: trainer.EstimateNetworkRequest | None = None

    async def propose(self, target: str, version: collector.DatasetVersion, head: str) -> None:
        """Draw the proposals for this chip, data and head; nothing when they are drawn already."""
        wanted = (target, version.id, head)
        if not version.id or wanted == self._shown:
            return
        self._shown = wanted
        request = trainer.ProposeNetworksRequest(
            target=target, labels=list(version.labels), head=head, pictures=version.train_count
        )
        try:
            answer = await ask(self._page.upstream.training.ProposeNetworks(request, timeout=SECONDS))
        except BoardloopError as error:
            if wanted != self._shown:
                return
            self._shown = ()
            self._rows.clear()
            with self._rows:
                html(escape(str(error)), "faint")
            return
        if wanted != self._shown:
            return  # another choice was made meanwhile
        self._title.set_content(escape(f"{self._page.t('networks.title')} · {self._head(head)}"))
        self._rows.clear()
        self._picks.clear()
        with self._rows:
            for one in answer.proposals[:AT_ONCE]:
                self._row(one)
            if answer.proposals[AT_ONCE:]:
                fold = ui.expansion(self._page.t("networks.more")).classes("full").props("dense")
                with fold.props(mark("networks-more")):
                    for one in answer.proposals[AT_ONCE:]:
                        self._row(one)
        self._light()

    async def estimate(
        self,
        target: str,
        version: collector.DatasetVersion,
        head: str,
        backbone: str,
        width: int,
        height: int,
        pooling: str,
    ) -> None:
        """Say what this combination takes, or why it cannot be converted; `pooling`: of a classifier, else ""."""
        self._chosen = (backbone, width, height)
        self._light()
        if not version.id:
            return
        self._asked = request = trainer.EstimateNetworkRequest(
            target=target,
            labels=list(version.labels),
            head=head,
            backbone=backbone,
            input_width=width,
            input_height=height,
            pooling=pooling,
        )
        try:
            found = (await ask(self._page.upstream.training.EstimateNetwork(request, timeout=SECONDS))).estimate
            words = self._cost(found, head)
        except BoardloopError as error:
            words = escape(str(error))
        if request is self._asked:  # else another choice was made meanwhile
            self._note.set_content(words)

    def _cost(self, found: trainer.NetworkEstimate, head: str) -> str:
        sides = f"{found.input_width} × {found.input_height}"
        chosen = escape(f"{backbone_name(found.backbone)} · {sides} · {self._head(head)}")
        refused = f'<br><span class="refused">{escape(found.refusal)}</span>' if found.refusal else ""
        return f"<b>{chosen}</b><br>{self._sizes(found)}{refused}"

    def _row(self, one: trainer.NetworkProposal) -> None:
        t, size = self._page.t, one.estimate
        refused = bool(size.refusal)
        row = ui.element("button").classes("pick")
        self._picks[size.backbone, size.input_width, size.input_height] = row
        attributes = f' type="button" data-backbone="{size.backbone}" data-width="{size.input_width}"'
        with row.props(mark("network") + attributes + (" disabled" if refused else "")):
            key = f"networks.{one.reason}"
            mark_of = tag(t("networks.recommended"), "good") if one.recommended else ""
            mark_of = tag(t("networks.refused"), "bad") if refused else mark_of
            name = f"{escape(backbone_name(size.backbone))} · {size.input_width} × {size.input_height}"
            html(f"<strong>{name}</strong>{mark_of}", "line between", tag="span")
            speed = "" if refused or one.recommended else t("networks.speed", times=f"{one.relative_speed:.1f}")
            html(" · ".join(filter(None, (self._sizes(size), escape(speed)))), "faint num", tag="span")
            why = t(key) if key in CATALOGUE and not refused else one.why
            html(escape(why), "faint", tag="span")
        if not refused:
            row.on("click", self._page.action(lambda: self._take(size.backbone, size.input_width, size.input_height)))

    def _head(self, head: str) -> str:
        return self._page.t(f"training.head_{head}")

    def _light(self) -> None:
        """The proposal that the form has."""
        for key, row in self._picks.items():
            row.classes("on") if key == self._chosen else row.classes(remove="on")

    def _sizes(self, size: trainer.NetworkEstimate) -> str:
        t = self._page.t
        work = t("networks.work", millions=f"{size.multiply_adds / 1e6:.0f}")
        if not size.file_bytes:
            return escape(work if not size.unknown else f"{work} · {size.unknown}")
        of = t("networks.of", budget=kilobytes(size.ram_budget_bytes)) if size.ram_budget_bytes else ""
        parts = (t("networks.file", size=kilobytes(size.file_bytes)), f"RAM {kilobytes(size.ram_bytes)}{of}", work)
        return escape(" · ".join(parts))
