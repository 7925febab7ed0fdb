"""One task on the cluster, from free CPUs to its end; a node that dies costs the epoch that was not finished.

attempt:  workers get their CPUs ► folder and code are sent ► the module runs; events out, files back
          a node or worker dies ► a line in the log ► next attempt, from the files that came back
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from services.common.errors import BoardloopError, FailedPrecondition, StorageFull
from services.trainer.children import ENVIRONMENT, ChildKilled
from services.trainer.cluster import node
from services.trainer.cluster.connection import PACKAGES, check_versions
from services.trainer.cluster.options import Options
from services.trainer.cluster.shipping import BLOCK_BYTES, blocks, stored
from services.trainer.parallel import OWN_GPU

__all__ = ["Driver", "Stopped"]

_POLL_SECONDS = 1.0
_PATIENT_SECONDS = 5.0  # for CPUs, before the log says what is waited for
_TOLD_SECONDS = 60.0  # and again so often


class Stopped(Exception):
    """Asked to stop before a worker ran."""


class _Lost(Exception):
    """A worker died: the words say which and of what."""


class Driver:
    """`run` does the task; `say` gets a line of the log, `forward` each line that the module prints."""

    def __init__(
        self, ray: Any, options: Options, say: Callable[[str], None], forward: Callable[[bytes], None],
        stopping: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._ray = ray
        self._options = options
        self._say = say
        self._forward = forward
        self._stopping = stopping
        self._progressed = False
        self._host = ""
        self._places: Any = None  # of several workers
        ray.cloudpickle.register_pickle_by_value(node)
        self._worker = ray.remote(node.Worker)

    def run(self, folder: Path, module: str, arguments: tuple[str, ...]) -> int:
        """The module's exit status, 0 or, after an error event, 1. BoardloopError, ChildKilled, Stopped."""
        failures = 0
        while True:
            try:
                return self._attempt(folder, module, arguments)
            except _Lost as error:
                failures = 0 if self._progressed else failures
                failures, self._progressed = failures + 1, False
                if self._stopping() or failures > self._options.retries:
                    raise ChildKilled(
                        "WORKER_DIED", f"{error} No attempt is left.",
                        fix="Resume the job: it goes on after the last finished epoch. When a worker dies again, "
                        "choose a smaller batch or input, or nodes with more memory.",
                    ) from error  # fmt: skip
                self._say(
                    f"{error} Going on from the last finished epoch (attempt {failures} of {self._options.retries})."
                )

    def _attempt(self, folder: Path, module: str, arguments: tuple[str, ...]) -> int:
        workers = self._workers()
        try:
            self._place(workers)
            for block in blocks(folder, self._options.cpus):
                sent = self._ray.put(block)
                self._ray.get([worker.write.remote(sent) for worker in workers])
            ranks = self._ranks(workers)
            starts = [worker.start.remote(module, arguments, own) for worker, own in zip(workers, ranks, strict=True)]
            self._ray.get(starts)
            return self._follow(workers, folder)
        except self._ray.exceptions.RayTaskError as error:  # our own code on the node raised it
            raise _told(error.cause, self._host) from error
        except self._ray.exceptions.RayError as error:
            raise _Lost(f"The worker on node {self._host or 'unknown'} is gone: {_first(error)}.") from error
        finally:
            self._leave(workers)

    def _workers(self) -> list[Any]:
        """Actors that wait for their CPUs. Several get theirs all at once: two jobs with half of theirs would hang."""
        options, count = self._options, self._options.workers
        asked: dict[str, Any] = {"num_cpus": options.cpus, "num_gpus": options.gpus, "max_concurrency": 4}
        if count == 1:
            return [self._worker.options(scheduling_strategy="SPREAD", **asked).remote(options.lease)]
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        bundle = {"CPU": options.cpus} | ({"GPU": options.gpus} if options.gpus else {})
        self._places = placement_group([bundle] * count, strategy="SPREAD")
        places = [PlacementGroupSchedulingStrategy(self._places, index) for index in range(count)]
        return [self._worker.options(scheduling_strategy=place, **asked).remote(options.lease) for place in places]

    def _ranks(self, workers: list[Any]) -> list[dict[str, str]]:
        """The environment of each, of several as torchrun gives it."""
        if len(workers) == 1:
            return [ENVIRONMENT]
        host, port = self._ray.get(workers[0].address.remote())
        group = {"WORLD_SIZE": str(len(workers)), "MASTER_ADDR": host, "MASTER_PORT": str(port)}
        group |= {OWN_GPU: "1"} if self._options.gpus >= 1 else {}
        return [{"RANK": str(rank), **group, **ENVIRONMENT} for rank in range(len(workers))]

    def _place(self, workers: list[Any]) -> None:
        """Wait until nodes have room, and see that they fit."""
        answers = [worker.hello.remote(PACKAGES) for worker in workers]
        began, told = time.monotonic(), 0.0
        while len(self._ray.wait(answers, num_returns=len(answers), timeout=0.5)[0]) < len(answers):
            if self._stopping():
                raise Stopped
            now = time.monotonic()
            if now - began > _PATIENT_SECONDS and now - told > _TOLD_SECONDS:
                told = now
                self._say(self._shortage())
        for here in self._ray.get(answers):
            check_versions(here["host"], here["versions"])
            self._host = here["host"]

    def _shortage(self) -> str:
        wanted, gpus = self._options.cpus, self._options.gpus
        free, whole = self._ray.available_resources(), self._ray.cluster_resources()
        more = f" and {gpus:g} GPUs ({free.get('GPU', 0):g} of {whole.get('GPU', 0):g} free)" if gpus else ""
        return (
            f"Waiting for the cluster: {self._options.workers} x {wanted} CPUs are needed, each of one node "
            f"({free.get('CPU', 0):g} of {whole.get('CPU', 0):g} in all are free){more}."
        )

    def _follow(self, workers: list[Any], folder: Path) -> int:
        """The first worker speaks for all and has the files; of the others it matters whether they live."""
        first, asked, told = workers[0], False, False
        while True:
            if self._stopping() and not asked:
                asked = True
                self._ray.get(first.stop.remote())
            (lines, changed, status), *others = self._ray.get([one.poll.remote(_POLL_SECONDS) for one in workers])
            for name, link, size in changed:
                stored(folder, name, self._parts(first, link, size))
            for line in lines:
                self._progressed = self._progressed or b'"type": "epoch"' in line
                told = told or b'"type": "error"' in line
                self._forward(line)
            if told and status is not None:
                return int(status)
            killed = [-(ended or 0) for ended in (status, *(ended for _, _, ended in others)) if (ended or 0) < 0]
            if killed:
                raise _Lost(f"A worker's process was killed by signal {killed[0]} (9 can mean: out of memory).")
            if status and others:  # it may have lost the others before Ray has
                raise _Lost(f"The workers lost each other: …{self._ray.get(first.tail.remote())[-200:]}.")
            if status:
                raise _crashed(status, self._ray.get(first.tail.remote()), self._host)
            if status == 0:
                return 0

    def _parts(self, worker: Any, link: str, size: int) -> Iterator[bytes]:
        for offset in range(0, size, BLOCK_BYTES):
            yield self._ray.get(worker.read.remote(link, offset, min(BLOCK_BYTES, size - offset)))

    def _leave(self, workers: list[Any]) -> None:
        """Nothing stays on the nodes; one that is gone has nothing to say to it."""
        for worker in workers:
            with contextlib.suppress(Exception):
                self._ray.get(worker.end.remote(), timeout=5)
            self._ray.kill(worker)
        if self._places is not None:
            from ray.util.placement_group import remove_placement_group

            remove_placement_group(self._places)
            self._places = None


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]


def _told(cause: BaseException, host: str) -> BaseException:
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(host)
    return FailedPrecondition("WORKER_CRASHED", f"The worker on node {host}: {type(cause).__name__}: {cause}")


def _crashed(status: int, tail: str, host: str) -> BoardloopError:
    if os.strerror(errno.ENOSPC) in tail:
        return _full(host)
    return FailedPrecondition("WORKER_CRASHED", f"The worker process ended with status {status}: …{tail}")


def _full(host: str) -> StorageFull:
    fix = "Free space in the node's temporary folder, then resume the job."
    return StorageFull("NODE_DISK_FULL", f"The disk of the cluster's node {host} is full.", fix=fix)
