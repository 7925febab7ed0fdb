from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from services.trainer.convert import TARGETS, convert
from services.trainer.convert.tinymaix.header import c_header
from tests.trainer.convert.networks import conv, graph, pictures


def test_unpacking_gives_the_model_and_a_header_with_its_bytes(int8_file: bytes) -> None:
    files = TARGETS["mcu-tinymaix-int8"].unpack(int8_file, "shapes", ".tmdl")
    assert set(files) == {"shapes.tmdl", "shapes.h"} and files["shapes.tmdl"] == int8_file
    rows = files["shapes.h"].decode().partition(f"mdl_data[{len(int8_file)}] = {{")[2]
    assert bytes(int(byte, 16) for byte in re.findall("0x([0-9a-f]{2}),", rows)) == int8_file
    assert b"#define MDL_BUF_LEN (12288)" in files["shapes.h"]


def compiles(folder: Path, header: str, *flags: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to compile the header with")
    (folder / "model.c").write_text(f"{header}\nint main(void) {{ return mdl_data[MDL_BUF_LEN & 1] == LBUF_LEN; }}\n")
    command = ["gcc", "-Wall", "-Werror", "-pedantic", "-fsyntax-only", *flags, str(folder / "model.c")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_header_compiles_in_a_port_that_is_large_enough(int8_file: bytes, tmp_path: Path) -> None:
    types = ["-DTM_MDL_INT8=0", "-DTM_MDL_TYPE=TM_MDL_INT8", "-DTM_FASTSCALE=(0)"]
    sizes = ["-DTM_MAX_CSIZE=(1000)", "-DTM_MAX_KSIZE=(5*5)", "-DTM_MAX_KCSIZE=(3*3*256)"]
    done = compiles(tmp_path, c_header(int8_file), *types, *sizes)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["-DTM_MAX_KCSIZE=(3*3*16)"], "needs TM_MAX_KCSIZE 2700"),
        (["-DTM_MAX_CSIZE=16"], "needs TM_MAX_CSIZE 300"),
        (["-DTM_MDL_INT8=0", "-DTM_MDL_TYPE=2"], "needs TM_MDL_TYPE TM_MDL_INT8"),
        (["-DTM_FASTSCALE=1"], "needs TM_FASTSCALE 0"),
    ],
)
def test_a_port_that_is_too_small_stops_the_compiler(flags: list[str], says: str, tmp_path: Path) -> None:
    network = graph(conv("a", (3, 300), stride=2), conv("b", (300, 8)), size=(8, 8))
    done = compiles(tmp_path, c_header(convert(network, "mcu-tinymaix-int8", pictures(4, 8)[0]).data), *flags)
    assert done.returncode != 0 and says in done.stderr
