"""The way to the cluster: opened, judged, and watched while a task runs."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from services.common.errors import BoardloopError, FailedPrecondition, Unavailable
from services.trainer.cluster.options import Options

__all__ = ["PACKAGES", "check_versions", "connect", "watch"]

PACKAGES = ("torch", "numpy", "pillow")  # what the figures of a training come from
_PROBE_SECONDS = 5.0
_PROBES = 4  # in a row without an answer: the cluster is gone
_FIX = "See that the cluster runs and that BOARDLOOP_RAY_ADDRESS is right; then resume the job."


def connect(options: Options) -> Any:
    """Ray, connected. Unavailable when nothing answers, FailedPrecondition when the versions do not fit."""
    if not _answers(options.address):
        raise Unavailable("RAY_UNREACHABLE", f"No Ray cluster answers at {options.address}.", fix=_FIX)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is told to Ray's makers
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # what it will do; without it Ray warns of it
    try:
        import ray
    except ImportError as error:
        fix = "Install it beside the trainer: pip install 'boardloop[ray]'."
        raise Unavailable(
            "RAY_NOT_INSTALLED", "BOARDLOOP_RAY_ADDRESS is set, but ray is not installed.", fix=fix
        ) from error
    try:
        ray.init(options.address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray has no one class for what can be wrong here
        words = " ".join(str(error).split())[:400]
        if "ersion mismatch" in words:
            raise _differ(words) from error
        raise Unavailable("RAY_UNREACHABLE", f"The Ray cluster at {options.address}: {words}", fix=_FIX) from error
    return ray


def check_versions(host: str, theirs: dict[str, str]) -> None:
    """FailedPrecondition when a node would compute with other packages than this trainer."""
    ours = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    ours |= {name: importlib.metadata.version(name).partition("+")[0] for name in PACKAGES}
    wrong = [f"{name} {theirs[name] or 'none'} (here {ours[name]})" for name in ours if theirs[name] != ours[name]]
    if wrong:
        raise _differ(f"node {host} has {', '.join(wrong)}.")


def _differ(words: str) -> BoardloopError:
    return FailedPrecondition(
        "RAY_VERSIONS_DIFFER",
        f"The cluster has other versions than this trainer: {words}",
        fix="Run the cluster's nodes on the trainer's own image; docs/cluster.md shows how.",
    )


def watch(options: Options, gone: Callable[[BoardloopError], None]) -> None:
    """Calls `gone` from a thread once the cluster has not answered for 20 seconds: Ray itself waits for minutes."""

    def probe() -> None:
        silent = 0
        while silent < _PROBES:
            time.sleep(_PROBE_SECONDS)
            silent = 0 if _answers(options.address) else silent + 1
        gone(Unavailable("RAY_GONE", f"The Ray cluster at {options.address} does not answer any more.", fix=_FIX))

    threading.Thread(target=probe, daemon=True).start()


def _answers(address: str) -> bool:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_SECONDS).close()
    except OSError:
        return False
    return True
