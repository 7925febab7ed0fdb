"""The process that holds nncase. Runs on Python 3.10 with numpy and nncase alone: nothing of Boardloop is imported.

    worker.py probe       imports nncase, nothing else
    worker.py serve       one JSON request a line on stdin, one JSON answer a line on what was stdout; ends with stdin

Requests name files (.npy, .onnx, .kmodel), answers carry numbers. nncase prints to stdout: that goes to stderr, and the
answers to a copy of stdout that only this file knows. An answer {"error": text} is an exception of nncase; where nncase
aborts, there is no answer and the process has ended.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from contextlib import nullcontext
from typing import Any

import numpy as np

Request = dict[str, Any]
DUMP_LIMIT = 1 << 20  # bytes of one dumped file: the schedules fit, the forty copies of the network do not


class Session:
    """One compiler, one simulator; `requests` are the public methods."""

    def __init__(self) -> None:
        self.simulator: Any = None

    def compile(self, request: Request) -> Request:
        """onnx, images (n, c, h, w) u8, kmodel, input_range, mean, std, calibrate_method, mse_weights, dump.

        `dump`: the folder that the schedule is written into, or "".
        """
        import nncase  # type: ignore[import-not-found]

        images = np.load(request["images"])
        options = nncase.CompileOptions()
        options.target = "k210"
        options.input_type = "uint8"
        options.input_layout = options.output_layout = "NCHW"
        options.input_shape = [1, *images.shape[1:]]
        options.preprocess = True
        options.swapRB = False
        options.input_range = request["input_range"]
        options.mean, options.std = request["mean"], request["std"]
        options.use_mse_quant_w = request["mse_weights"]
        if request["dump"]:
            options.dump_ir = True
            options.dump_dir = request["dump"]
        with open(request["onnx"], "rb") as file:
            onnx = file.read()
        ptq = nncase.PTQTensorOptions()
        ptq.calibrate_method = request["calibrate_method"]
        ptq.samples_count = len(images)
        ptq.set_tensor_data(images.tobytes())
        started = time.perf_counter()
        with FileLimit(DUMP_LIMIT) if request["dump"] else nullcontext():
            compiler = nncase.Compiler(options)
            compiler.import_onnx(onnx, nncase.ImportOptions())
            compiler.use_ptq(ptq)
            compiler.compile()
            kmodel = compiler.gencode_tobytes()
        seconds = time.perf_counter() - started
        with open(request["kmodel"], "wb") as file:
            file.write(kmodel)
        return {"seconds": seconds}

    def load(self, request: Request) -> Request:
        """kmodel."""
        import nncase

        with open(request["kmodel"], "rb") as file:
            kmodel = file.read()
        self.simulator = nncase.Simulator()
        self.simulator.load_model(kmodel)
        return {"inputs": self.simulator.inputs_size, "outputs": self.simulator.outputs_size}

    def simulate(self, request: Request) -> Request:
        """images (n, c, h, w) u8, outputs: (n, all outputs one behind the other) f32 is written there."""
        import nncase

        images = np.load(request["images"])
        results = []
        seconds = 0.0
        for image in images:
            started = time.perf_counter()
            self.simulator.set_input_tensor(0, nncase.RuntimeTensor.from_numpy(image[None].copy()))
            self.simulator.run()
            seconds += time.perf_counter() - started
            outputs = [self.simulator.get_output_tensor(i).to_numpy() for i in range(self.simulator.outputs_size)]
            # a copy: the arrays lie in nncase's memory, which the next run overwrites
            results.append(np.concatenate([np.array(y, np.float32).ravel() for y in outputs]))
        np.save(request["outputs"], np.stack(results))
        return {"seconds": seconds}


class FileLimit:
    """Cuts files that grow beyond `size`; nncase takes a failed write of a dump as done (Python ignores SIGXFSZ)."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def serve() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    session = Session()
    requests = {"compile": session.compile, "load": session.load, "simulate": session.simulate}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = requests[request["do"]](request)
        except Exception as error:  # whatever nncase raises is an answer; the caller names the network
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


def main() -> None:
    if sys.argv[1:] == ["probe"]:
        import nncase  # noqa: F401
    elif sys.argv[1:] == ["serve"]:
        serve()
    else:
        sys.exit("usage: worker.py probe | serve")


if __name__ == "__main__":
    main()
