"""`boardloop convert`, from its arguments to its last line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from services.common.errors import InvalidInput
from services.common.i18n import Translator
from services.trainer.choices import Choices, check_target
from services.trainer.convert_command.local import convert_here
from services.trainer.convert_command.outcome import write
from services.trainer.convert_command.remote import convert_there
from services.trainer.convert_command.source import numbers, read_labels
from services.trainer.convert_command.table import show

__all__ = ["Request", "run_convert"]

MODEL_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Request:
    """The command's arguments as they were typed. `url` "": the model is a file."""

    model: str
    target: str
    images: Path | None
    labels: str
    mean: str
    std: str
    out: Path
    choices: Choices
    package: str
    url: str
    token: str


def run_convert(request: Request, console: Console, t: Translator) -> None:
    """Convert, measure, show and write. Raises BoardloopError; after ACCURACY_DROP the figures are written."""
    check_target(request.target)
    with console.status(t("console.convert.step", target=request.target)) as status:
        if request.url:
            _check_id(request)
            outcome, refusal = convert_there(request.url, request.token, request.model, request.target, request.choices,
                                             request.package), None  # fmt: skip
        else:
            if request.images is None:
                raise InvalidInput(
                    "NO_IMAGES",
                    "Without pictures nothing can be calibrated or measured.",
                    fix="Give a folder of JPEG or PNG files with --images.",
                )
            labels = read_labels(request.labels) if request.labels else ()
            mean, std = numbers(request.mean, "--mean"), numbers(request.std, "--std")

            def simulating(done: int, total: int) -> None:
                status.update(f"{t('console.convert.simulating')} {done}/{total}")

            outcome, refusal = convert_here(
                Path(request.model), request.target, request.images, labels, mean, std, request.choices,
                request.package, simulating,
            )  # fmt: skip
    written = write(outcome, request.out, t)
    show(outcome, console, t)
    if refusal is not None:
        console.print(t("console.convert.refused", folder=request.out), highlight=False, soft_wrap=True)
        raise refusal
    names = ", ".join(str(path) for path in written)
    console.print(t("console.convert.written", files=names), highlight=False, soft_wrap=True)


def _check_id(request: Request) -> None:
    """What is asked of a server is a model id, and the options that only a file has mean nothing there."""
    if not MODEL_ID.fullmatch(request.model):
        raise InvalidInput(
            "BAD_MODEL_ID",
            f"{request.model!r} is no model id of a server.",
            fix="It is the 12 letters and digits after model= in the page's address; for a file leave --url out.",
        )
    given = {"--images": request.images, "--labels": request.labels, "--mean": request.mean, "--std": request.std}
    foreign = [name for name, value in given.items() if value]
    if foreign:
        raise InvalidInput(
            "NOT_FOR_SERVERS",
            f"A server has its own pictures and labels; {', '.join(foreign)} cannot be given with --url.",
            fix="Leave these options out, or convert a file.",
        )
