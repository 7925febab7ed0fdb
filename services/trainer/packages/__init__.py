"""Packages: a converted file with what a person needs beside it, made when somebody downloads it.

content = PackageContent(model_id, name, "k210-kmodel-v3", data, labels, input, anchors, report, fidelity)
name, archive = build("k210-zip", content)       "model-1f…-k210.zip", bytes

    kind        of the targets                    holds
    k210-zip    kmodel V3                         main.py, .kmodel, labels.txt, report.json: the files of an SD card
    kfpkg       every K210 target                 flash-list.json, .kmodel: what kflash writes into the flash
    v831-zip    AWNN                              .param, .bin, .mud, main.py, labels.txt, report.json
    files       every target without a zip above  what the target's tools read, labels.txt, report.json, README.txt

The same content gives the same bytes. Adding a kind is one module and one line in the table.
"""

from __future__ import annotations

from services.common.errors import FailedPrecondition, InvalidInput
from services.trainer.convert import TARGETS
from services.trainer.packages.archive import pack
from services.trainer.packages.content import Package, PackageContent
from services.trainer.packages.files import PACKAGE as FILES
from services.trainer.packages.k210_zip import PACKAGE as K210_ZIP
from services.trainer.packages.kfpkg import PACKAGE as KFPKG
from services.trainer.packages.v831_zip import PACKAGE as V831_ZIP

__all__ = ["PACKAGES", "Package", "PackageContent", "build", "kinds"]

PACKAGES: dict[str, Package] = {package.kind: package for package in (K210_ZIP, KFPKG, V831_ZIP, FILES)}


def kinds(target: str) -> tuple[str, ...]:
    """The kinds of package that a file of this target comes in; none for a target that is not in the table."""
    found = TARGETS.get(target)
    return tuple(kind for kind, package in PACKAGES.items() if package.takes(found)) if found else ()


def build(kind: str, content: PackageContent) -> tuple[str, bytes]:
    """(file name, archive). Raises InvalidInput for an unknown kind, FailedPrecondition for one of other targets.

    A package may refuse its content too: UnsupportedModel, InvalidInput.
    """
    if kind not in PACKAGES:
        raise InvalidInput(
            "UNKNOWN_PACKAGE", f"There is no package {kind!r}.", fix=f"Choose one of: {', '.join(PACKAGES)}."
        )
    package, fitting = PACKAGES[kind], kinds(content.target)
    if kind not in fitting:
        raise FailedPrecondition(
            "PACKAGE_OF_ANOTHER_TARGET",
            f"A file for {content.target} does not come as {kind}.",
            fix=f"Choose one of: {', '.join(fitting)}." if fitting else "Convert the model for a known target first.",
        )
    return f"{content.stem}{package.suffix}", pack(package.contents(content))
