"""What nncase says it made of a network: the schedule it writes when asked for a dump, in 1.1 and 1.9 alike.

codegen/main.sched, and one file for every function on the KPU that main calls:

    %2(pw2/sum/Conv(Conv)/dequantize) : <f32 [1,48,8,8] 12288 bytes of [1,48,8,8]> @data[3072, 15360] life(26, 28)
    …
    %2 = Dequantize(%1) : (<u8 [1,48,8,8] …>) -> (<f32 [1,48,8,8] 12288 bytes of [1,48,8,8]>)

The number is that of the memory, so a view has the name of what it looks at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import Internal

__all__ = ["Operator", "read_schedule"]

BUFFER = re.compile(r"^%(\d+)\((.*)\)\s*: <")
PART = r"(?:\[[\d, ]*\])?"  # which bytes of the memory, when not all
OPERATOR = re.compile(rf"^\s+(?:%\d+{PART},\s+)*%(\d+){PART} = (\w+)\(.*-> \(<\w+ \[([\d,]*)\]")
NO_WORK = {"Input", "Constant", "Uninitialized"}


@dataclass(frozen=True)
class Operator:
    """One step of the compiled model; `name` is nncase's and begins with that of the ONNX node."""

    name: str
    type: str  # "KPUConv2D", "Dequantize", "Reduce" …
    unit: str  # "KPU" or "CPU"
    output_shape: tuple[int, ...]  # without the batch


def read_schedule(dump: Path) -> tuple[Operator, ...]:
    """The operators in the order they run."""
    folder = dump / "codegen"
    if not (folder / "main.sched").is_file():
        raise Internal("NNCASE_SCHEDULE", f"nncase wrote no schedule into {folder}.", fix="Report this.")
    operators: list[Operator] = []
    for operator in _function(folder / "main.sched", "CPU"):
        if operator.type == "Call":
            operators += _function(folder / f"{operator.name}.sched", "KPU")
        else:
            operators.append(operator)
    return tuple(operators)


def _function(path: Path, unit: str) -> list[Operator]:
    names: dict[str, str] = {}
    operators = []
    for line in path.read_text(errors="replace").splitlines():
        if buffer := BUFFER.match(line):
            names[buffer[1]] = buffer[2]
        elif (found := OPERATOR.match(line)) and found[2] not in NO_WORK:
            shape = tuple(int(size) for size in found[3].split(",") if size)
            operators.append(Operator(names.get(found[1], found[2]), found[2], unit, shape[1:]))
    return operators
