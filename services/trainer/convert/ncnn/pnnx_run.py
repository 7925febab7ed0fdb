"""pnnx, ncnn's own converter, run on one of our ONNX files (github.com/pnnx/pnnx; PyPI `pnnx` brings the program).

It runs in a folder of its own with a time limit and one thread. Nothing of it is imported: its Python side wants torch.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
from pathlib import Path

from services.common.errors import FailedPrecondition, UnsupportedModel

__all__ = ["pnnx_program", "run_pnnx"]

TIMEOUT_S = 300.0  # MobileNetV1-1.0 takes about a second
_LAST_LINES = 3


def pnnx_program() -> Path:
    """The program in the installed package. Raises FailedPrecondition where there is none."""
    spec = importlib.util.find_spec("pnnx")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for name in ("pnnx", "pnnx.exe"):
            if (program := Path(folder) / name).is_file():
                return program
    raise FailedPrecondition(
        "PNNX_MISSING", "ncnn files are made with pnnx, which is not installed here.", fix="pip install pnnx"
    )


def run_pnnx(onnx: bytes, timeout: float = TIMEOUT_S) -> tuple[bytes, bytes]:
    """ncnn's .param and .bin, float32 weights, for an ONNX file. Blobs: in0 and out0.

    Raises UnsupportedModel with pnnx's last words when it fails or takes longer than `timeout` seconds.
    """
    program = pnnx_program()
    with tempfile.TemporaryDirectory(prefix="boardloop-pnnx-") as folder:
        (Path(folder) / "model.onnx").write_bytes(onnx)
        command = [str(program), "model.onnx", "fp16=0"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as problem:
            raise _failed(f"it took more than {timeout:g} seconds") from problem
        files = [Path(folder) / f"model.ncnn.{half_of}" for half_of in ("param", "bin")]
        if done.returncode or not all(file.is_file() for file in files):
            lines = (done.stdout + done.stderr).decode("utf-8", "replace").split("\n")
            said = " / ".join([line.strip() for line in lines if line.strip()][-_LAST_LINES:])[:400]
            raise _failed(f"it ended with {done.returncode}: {said}")
        return files[0].read_bytes(), files[1].read_bytes()


def _failed(what: str) -> UnsupportedModel:
    return UnsupportedModel(
        "PNNX_FAILED", f"pnnx could not convert the network: {what}.", fix="Report the network; try a simpler one."
    )
