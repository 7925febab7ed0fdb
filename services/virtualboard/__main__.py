"""python -m services.virtualboard --folder F --pictures DIR [--count N] [--pairing CODE ...] [--every SECONDS]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from services.common.errors import BoardloopError
from services.virtualboard.run import run_boards


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.virtualboard", description="Run virtual boards.")
    parser.add_argument("--folder", type=Path, required=True, help="where the boards' storage is kept")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of JPEG or PNG for the cameras")
    parser.add_argument("--count", type=int, default=1, help="number of boards")
    parser.add_argument("--pairing", nargs="*", default=[], help="a pairing code (text, or its picture) per new board")
    parser.add_argument("--every", type=float, default=0, help="press by itself every so many seconds")
    given = parser.parse_args(arguments)
    try:
        run_boards(given.folder, given.pictures, count=given.count, pairing=given.pairing, every=given.every)
    except BoardloopError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
