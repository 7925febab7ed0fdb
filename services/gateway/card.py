"""A model's card as rows of text, for the page, and as Markdown, to give away with the file."""

from __future__ import annotations

from datetime import UTC

from google.protobuf.json_format import MessageToDict

from services.common.fidelity_view import percent
from services.common.i18n import Translator
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb

__all__ = ["card_facts", "card_markdown", "card_measures", "card_parameters"]

Rows = list[tuple[str, str]]


def card_facts(card: pb.ModelCard, t: Translator) -> Rows:
    """What it is and where it comes from."""
    model = card.model
    data = t("card.data_gone", id=model.version_id)
    if card.version_number:
        data = t(
            "card.data_of",
            number=card.version_number,
            train=card.train_count,
            validation=card.validation_count,
            digest=card.version_sha256[:16],
        )
    return [
        (t("card.network"), f"{model.backbone}, {model.input_size} × {model.input_height or model.input_size}"),
        (t("card.labels"), ", ".join(model.labels)),
        (t("card.data"), data),
        (t("card.made"), model.created_at.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        (t("card.code"), card.code_version or t("card.unknown")),
        (t("card.licence"), model.weights_source or t("card.unknown")),
        (t("card.lineage"), " ← ".join(_generation(one) for one in card.lineage)),
    ]


def _generation(one: pb.Ancestor) -> str:
    start = "" if one.weights.startswith("model:") else f" ({one.weights})"
    return f"{one.name}{start}"


def card_measures(card: pb.ModelCard, t: Translator) -> list[tuple[str, str, str, str]]:
    """What was measured, where: (model, on what, figure, pictures)."""
    own = t("card.own_validation")
    rows = [(t("models.float"), own, *_figures(card.model.evaluation))]
    for file in card.model.files:
        kibibytes = f"{file.size_bytes / 1024:,.0f} KiB"
        rows.append((f"{file.target}, {kibibytes}", own, *_figures(file.evaluation)))
    for one in card.evaluations:
        where = t("card.evaluated_on", version=one.version_id, part=t(f"evaluation.part.{one.part}"))
        rows.append((one.target or t("models.float"), where, *_figures(one.figures)))
    return rows


def _figures(figures: pb.Evaluation) -> tuple[str, str]:
    if figures.task == "detection":
        return f"mAP50 {percent(figures.mean_average_precision)}", str(figures.images)
    return percent(figures.accuracy), str(figures.images)


def card_parameters(card: pb.ModelCard) -> Rows:
    """Every parameter of the training by its name in docs/training.md."""
    values = MessageToDict(card.parameters, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return [(name, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in values.items()]


def card_markdown(card: pb.ModelCard, t: Translator) -> str:
    """Headings, facts, figures, parameters and the limits."""
    facts = [f"* {name}: {_plain(value)}" for name, value in card_facts(card, t)]
    heads = [t("card.model"), t("card.on"), t("card.figure"), t("models.images")]
    measured = [_row(heads), _row(["---"] * 4), *(_row(list(row)) for row in card_measures(card, t))]
    parameters = [_row([t("card.parameter"), t("card.value")]), _row(["---"] * 2)]
    parameters += [_row(list(row)) for row in card_parameters(card)]
    parts = [
        [f"# {_plain(card.model.name)}"],
        facts,
        [f"## {t('card.measured')}"],
        measured,
        [t("card.limits")],
        [f"## {t('card.parameters')}"],
        parameters,
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    """On one line, and nothing in it ends a cell or begins a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
