from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from services.common.errors import DeadlineExceeded, UnsupportedModel
from services.trainer.convert.kmodel_v5.compiler import compile, load, run
from services.trainer.convert.kmodel_v5.process import Worker
from tests.trainer.convert.networks import pictures


def test_a_network_that_nncase_does_not_read_is_refused_with_its_words(newest: str) -> None:
    with pytest.raises(UnsupportedModel, match=r"nncase 1\.9 does not take this model: .*RuntimeError") as caught:
        compile(b"not an ONNX file", pictures(4)[0], version=newest)
    assert caught.value.reason == "NNCASE_REFUSED" and caught.value.fix


def test_a_worker_goes_on_after_an_error(newest: str, file: bytes) -> None:
    with Worker(newest) as worker:
        with pytest.raises(UnsupportedModel):
            worker.ask("load", 60, kmodel="/nowhere")
        load(worker, file)
        first, second = (run(worker, pictures(3)[0]) for _ in range(2))
    assert first.seconds > 0 and np.array_equal(first.outputs, second.outputs)
    assert len(np.unique(first.outputs, axis=0)) == 3  # each image has its own answer: the outputs were copied


def test_a_crash_of_nncase_is_an_error_that_names_the_signal(newest: str) -> None:
    with Worker(newest) as worker:
        os.kill(worker.pid, signal.SIGABRT)
        with pytest.raises(UnsupportedModel, match="it ended by SIGABRT"):
            worker.ask("load", 60, kmodel="/nowhere")


def test_a_worker_that_takes_too_long_is_ended(newest: str) -> None:
    with Worker(newest) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(DeadlineExceeded, match="within 0 s"):
            worker.ask("load", 0.2, kmodel="/nowhere")


def test_a_worker_nobody_holds_is_gone_with_its_folder(newest: str) -> None:
    worker = Worker(newest)
    pid, folder = worker.pid, worker.folder
    del worker
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
