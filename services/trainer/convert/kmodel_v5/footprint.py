"""The size of a kmodel V5 before anything is trained: nncase compiles the untrained network, which takes a second.

What nncase puts on the CPU, and how much memory that takes, only nncase knows; the weights' values change neither.
"""

from __future__ import annotations

import numpy as np

from services.common.errors import FailedPrecondition
from services.trainer.convert.common import check_whole
from services.trainer.convert.contract import BoardMemory, Footprint
from services.trainer.convert.kmodel_v3.footprint import memory_footprint
from services.trainer.convert.kmodel_v5.compiler import compile
from services.trainer.convert.kmodel_v5.environment import VERSIONS, is_installed
from services.trainer.convert.kmodel_v5.reader import read
from services.trainer.graph import Graph

__all__ = ["footprint"]

IMAGES = 2


def footprint(version: str, graph: Graph) -> Footprint:
    """UnsupportedModel for what nncase cannot be told. FailedPrecondition where nncase is not installed yet: an
    estimate downloads nothing."""
    check_whole(graph)
    if not is_installed(version):
        raise FailedPrecondition(
            "NNCASE_NOT_INSTALLED",
            f"nncase {VERSIONS[version]} is not installed here yet; without it the size is not known.",
            fix="Run `boardloop nncase`, or start the training: it installs nncase.",
        )
    spec = graph.input
    shape = (IMAGES, spec.channels, spec.height, spec.width)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    compiled = compile(graph, images, version=version)
    found = memory_footprint(len(compiled.data), read(compiled.data).main_memory)
    memory = (BoardMemory(f"nncase {version} runtime", found.file_size + found.main_memory),)
    return Footprint(found.file_size, found.main_memory, memory, found.too_large)
