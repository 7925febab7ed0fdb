"""Our ONNX file in onnxruntime, one thread, the processor's own provider.

The reader sees the file first: onnxruntime gets only networks that a graph can say, with all weights inside, so that a
hostile file reaches neither its loader of external data nor operators nobody needs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from services.common.errors import InvalidInput
from services.trainer.convert.contract import Images, Outputs
from services.trainer.convert.onnx_file.errors import refused
from services.trainer.convert.onnx_file.read import from_onnx
from services.trainer.convert.onnx_file.write import INPUT, OUTPUT

__all__ = ["OnnxSimulator"]

_FATAL = 4  # onnxruntime's log level: what goes wrong is raised, not printed
_ERRORS: tuple[type[Exception], ...] = tuple(
    kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
)


class OnnxSimulator:
    """Runs a file of the target web-onnx. Raises UnsupportedModel for any other."""

    def __init__(self, data: bytes) -> None:
        graph = from_onnx(data)
        self.input_shape = (graph.input.channels, graph.input.height, graph.input.width)
        self._outputs = math.prod(graph.shapes()[-1])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except _ERRORS as problem:
            raise _refused_by_runtime(problem) from problem
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if inputs[0].name != INPUT or inputs[0].type != "tensor(uint8)" or outputs[0].name != OUTPUT:
            raise refused(
                "ONNX_INPUTS",
                f"input {inputs[0].name[:80]} of {inputs[0].type}, output {outputs[0].name[:80]}; "
                f"a file for the web has {INPUT} of tensor(uint8) and {OUTPUT}",
                "Import the file as a model and convert it for web-onnx.",
            )

    def run(self, images_u8: Images) -> Outputs:
        """uint8 (n, c, h, w) to float32 (n, outputs); see contract.Simulator."""
        if images_u8.dtype != np.uint8 or images_u8.shape[1:] != self.input_shape:
            raise InvalidInput(
                "IMAGE_SHAPE",
                f"images are {images_u8.dtype} {images_u8.shape}, the file eats uint8 (n, {self.input_shape}).",
                fix="Resize the images to the network's input, RGB planar, one byte per channel.",
            )
        try:
            rows = [self._one(images_u8[i : i + 1]) for i in range(len(images_u8))]
        except _ERRORS as problem:
            raise _refused_by_runtime(problem) from problem
        return np.stack(rows) if rows else np.zeros((0, self._outputs), np.float32)

    def _one(self, image: Images) -> Any:
        return self._session.run([OUTPUT], {INPUT: image})[0].reshape(-1).astype(np.float32)


def _refused_by_runtime(problem: Exception) -> Exception:
    text = " ".join(str(problem).split())[:300]
    return refused("ONNX_RUNTIME", f"onnxruntime refuses the file ({text})", "Convert the network again.")
