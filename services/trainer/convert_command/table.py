"""The short table of a conversion, and the list of targets, on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.common.fidelity_view import percent
from services.common.i18n import Translator
from services.trainer.convert import TARGETS
from services.trainer.convert_command.outcome import Outcome

__all__ = ["show", "show_targets"]

WEAKEST = 3


def show(outcome: Outcome, console: Console, t: Translator) -> None:
    """Sizes, memory, scores, agreement, the weakest layers, and every warning."""
    report, fidelity = outcome.report, outcome.fidelity
    table = Table(title=Text(t("console.convert.title", model=outcome.model, target=outcome.target)), show_header=False)
    table.add_column()
    table.add_column(overflow="fold")

    def row(name: str, value: str) -> None:
        table.add_row(Text(name), Text(value))

    row(t("console.convert.size"), t("console.convert.bytes", count=f"{report['file_size']:,}"))
    for memory in report.get("board_memory", ()):
        size = t("console.convert.bytes", count=f"{memory['bytes']:,}")
        row(t("console.convert.ram", firmware=memory["firmware"]), size)
    for score in fidelity.scores:
        name = t(f"fidelity.{score.name}")
        row(t("fidelity.score_float", score=name), percent(score.floating))
        row(t("fidelity.score_converted", score=name), percent(score.converted))
    if not fidelity.scores:
        row(t("fidelity.accuracy"), t("fidelity.unknown"))
    row(t("fidelity.agreement"), percent(fidelity.agreement))
    row(t("console.convert.changed"), str(fidelity.changed_count))
    row(t("fidelity.snr"), t("fidelity.decibels", value=f"{fidelity.output_snr_db:.1f}"))
    row(t("console.convert.weakest"), _weakest(outcome, t))
    off = [layer for layer, _ in report.get("off_accelerator", ())]
    row(t("console.convert.off"), ", ".join(off) or t("console.convert.none"))
    row(t("console.convert.images"), f"{report['calibration_images']} / {fidelity.images}")
    console.print(table)
    warnings = list(report.get("warnings", ()))
    if outcome.shared_images:
        warnings.append(t("console.convert.same_images", count=fidelity.images))
    for warning in warnings:
        console.print(Text(t("console.convert.warning", text=warning), style="yellow"), soft_wrap=True)


def show_targets(console: Console, t: Translator) -> None:
    """One row a target."""
    table = Table(title=t("console.targets.title"))
    for key in ("id", "what", "board"):
        table.add_column(t(f"console.targets.{key}"), overflow="fold")
    for target in TARGETS.values():
        table.add_row(Text(target.id, style="bold"), Text(target.describe()), Text(target.board_type))
    console.print(table)


def _weakest(outcome: Outcome, t: Translator) -> str:
    measured = [(layer.snr_db, layer.name) for layer in outcome.fidelity.layers if layer.snr_db is not None]
    if not measured:
        return t("fidelity.no_layers")
    lowest = ", ".join(
        f"{name} ({t('fidelity.decibels', value=f'{snr:.1f}')})" for snr, name in sorted(measured)[:WEAKEST]
    )
    return f"{lowest}. {t('fidelity.weakest', layer=outcome.fidelity.weakest_layer)}"
