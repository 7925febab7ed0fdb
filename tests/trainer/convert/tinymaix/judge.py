"""Compiles TinyMaix with judge.c: a program that runs a .tmdl file on images."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.trainer.convert.tinymaix.layers import MdlType

__all__ = ["MACROS", "Judge", "compile_judge"]

Judge = Callable[[bytes, npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
MACROS = {"TM_MAX_CSIZE": 4096, "TM_MAX_KSIZE": 225, "TM_MAX_KCSIZE": 65536}
SILENT = "#undef TM_PRINTF\n#define TM_PRINTF(...)\n"


def compile_judge(source: Path, folder: Path, mdl_type: int, preprocess: int, optimise: int = 0) -> Path:
    """A program for one kind of model; tm_port.h is rewritten, the rest is TinyMaix's own."""
    port = (source / "include" / "tm_port.h").read_text()
    name = MdlType(mdl_type).name.lower()
    defines = {"TM_MDL_TYPE": mdl_type, "TM_OPT_LEVEL": optimise, **MACROS}
    lines = "".join(f"#undef {macro}\n#define {macro} ({value})\n" for macro, value in defines.items())
    place = folder / f"{name}-{preprocess}-{optimise}"
    place.mkdir()
    head, end = port.rsplit("#endif", 1)
    (place / "tm_port.h").write_text(head + SILENT + lines + "#endif" + end)
    (place / "tinymaix.h").write_text((source / "include" / "tinymaix.h").read_text())
    layers = "tm_layers_O1.c" if optimise else "tm_layers.c"
    files = [Path(__file__).with_name("judge.c"), source / "src" / "tm_model.c", source / "src" / layers]
    flags = ["-O2", "-w", "-ffp-contract=off", f"-I{place}", f"-DJUDGE_PREPROCESS={preprocess}"]
    subprocess.run(["gcc", *flags, *files, "-lm", "-o", place / "judge"], check=True)
    return place / "judge"
