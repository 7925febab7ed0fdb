"""The demo's steps timed: python bench/loop.py [--captures N] [--runs N].

Runs the whole demo as a user does (`boardloop demo --exit`) in a fresh folder; prints for each step the seconds of
every run, the median and its share of the loop. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from rich.console import Console
from rich.table import Table

MINUTES = 30


def main() -> int:
    """Exit status 1 when a run did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=int, default=400)
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    runs = [run(arguments.captures) for _ in range(arguments.runs)]
    steps = [key for key in runs[0] if key.startswith("seconds_") and key != "seconds_downloads"]
    medians = {step: statistics.median(figures[step] for figures in runs) for step in steps}
    whole = sum(medians.values())
    table = Table("step", "median s", "share", "all runs, s", title=f"boardloop demo, {arguments.captures} captures")
    for step, median in medians.items():
        every = " ".join(f"{figures[step]:.1f}" for figures in runs)
        table.add_row(step.removeprefix("seconds_").replace("_", " "), f"{median:.1f}", f"{median / whole:.0%}", every)
    table.add_row("whole loop", f"{whole:.1f}", "100%", "")
    Console().print(table)
    print(json.dumps({"captures": arguments.captures, "seconds": whole, "steps": medians, "last_run": runs[-1]}))
    return 0 if all(figures["ok"] for figures in runs) else 1


def run(captures: int) -> dict[str, Any]:
    """The demo's JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "services.cli",
            "demo",
            "--exit",
            "--captures",
            str(captures),
            "--folder",
            folder,
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60 * MINUTES, check=False)
    lines = done.stdout.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        sys.exit(f"the demo ended with exit status {done.returncode} and without its JSON line")
    figures: dict[str, Any] = json.loads(lines[-1])
    return figures


if __name__ == "__main__":
    sys.exit(main())
