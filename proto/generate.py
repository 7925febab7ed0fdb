"""Writes the Python code of the contracts: proto/boardloop/… -> services/rpc/boardloop/… (not committed).

protoc names modules after the proto package (`boardloop.collector.v1`), which is the device core's name too; so the
code lives one package deeper, and its imports are rewritten to match.
"""

from __future__ import annotations

import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent
OUT = PROTO.parent / "services" / "rpc"
OWN_IMPORT = re.compile(r"^(\s*)(from|import) boardloop\.", re.MULTILINE)


def main() -> int:
    """Returns protoc's exit status; 0 = all written."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("boardloop/**/*.proto"))
    wellknown = str(files("grpc_tools") / "_proto")
    flags = [f"--{kind}_out={OUT}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    status = protoc.main(["protoc", f"-I{PROTO}", f"-I{wellknown}", *flags, *sources])
    for path in OUT.rglob("*.py*"):
        text = path.read_text()
        path.write_text(OWN_IMPORT.sub(r"\1\2 services.rpc.boardloop.", text).replace("boardloop.services.rpc.", ""))
    for folder in [OUT, *(p for p in OUT.rglob("*") if p.is_dir())]:
        (folder / "__init__.py").touch()
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
