"""An archive into a project: every picture uploaded, or named with the reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Literal

from services.common.errors import BoardloopError, InvalidInput
from services.gateway.archives.entries import Entry, Parsed
from services.gateway.archives.geometry import place
from services.gateway.archives.opening import Archive
from services.gateway.archives.pictures import Picture, to_jpeg
from services.gateway.archives.recognise import recognise
from services.gateway.upstream import Upstream, ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["Line", "Report", "import_archive"]

TOGETHER = 8  # pictures in memory: decoded in one thread, then uploaded at the same time
MOST_LINES = 2000
MOST_BYTES = 30 * 1024 * 1024  # of a JPEG: what a gRPC message holds beside the rest


@dataclass(frozen=True)
class Line:
    """What became of a file: REFUSED, CLIPPED (boxes changed or left out), KEPT (the boxes it had), or a NOTE."""

    kind: Literal["REFUSED", "CLIPPED", "KEPT", "NOTE"]
    file: str
    text: str


@dataclass
class Report:
    """pictures = imported + duplicates + refused, unless `stopped` says why the rest was not tried."""

    form: str
    pictures: int = 0
    imported: int = 0
    duplicates: int = 0
    refused: int = 0
    boxes: int = 0
    background: int = 0
    not_boxed: int = 0
    labels_added: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    more_lines: int = 0
    stopped: str = ""

    def say(self, kind: Literal["REFUSED", "CLIPPED", "KEPT", "NOTE"], file: str, text: str) -> None:
        """One more line; over the limit they are only counted."""
        if len(self.lines) < MOST_LINES:
            self.lines.append(Line(kind, file, text))
        else:
            self.more_lines += 1

    def refuse(self, file: str, text: str) -> None:
        self.refused += 1
        self.say("REFUSED", file, text)


@dataclass(frozen=True)
class _Ready:
    """A picture to upload: `boxes` None = not boxed. `trouble`: why not."""

    entry: Entry
    jpeg: bytes = b""
    boxes: list[pb.Box] | None = None
    lines: tuple[str, ...] = ()
    trouble: str = ""


async def import_archive(upstream: Upstream, project_id: str, file: IO[bytes]) -> Report:
    """Labels that the project lacks are added first. A picture that is refused does not stop the others; a service
    that is away or full does, and the report says so: the same archive again goes on where it ended.

    Raises InvalidInput ARCHIVE_… or BAD_ANNOTATION when the archive as a whole cannot be used: nothing is imported.
    """
    await ask(upstream.projects.GetProject(pb.GetProjectRequest(project_id=project_id)))
    archive = await asyncio.to_thread(Archive, file)
    parsed = await asyncio.to_thread(recognise, archive)
    report = Report(parsed.form)
    for name, text in parsed.notes:
        report.say("NOTE", name, text)
    report.labels_added = await _add_labels(upstream, project_id, parsed)
    entries = iter(parsed.entries())
    while ready := await asyncio.to_thread(_prepare, archive, entries):
        outcomes = await asyncio.gather(*(_upload(upstream, project_id, one) for one in ready))
        for one, outcome in zip(ready, outcomes, strict=True):
            _record(report, one, outcome)
        if report.stopped:
            break
    return report


async def _add_labels(upstream: Upstream, project_id: str, parsed: Parsed) -> list[str]:
    labels = await asyncio.to_thread(parsed.labels)
    known = (await ask(upstream.projects.GetProject(pb.GetProjectRequest(project_id=project_id)))).project.labels
    absent = [label for label in labels if label not in known]
    if absent:
        request = pb.SetLabelsRequest(project_id=project_id, labels=[*known, *absent])
        await ask(upstream.projects.SetLabels(request))
    return absent


def _prepare(archive: Archive, entries: Iterator[Entry]) -> list[_Ready]:
    return [_ready(archive, entry) for entry in islice(entries, TOGETHER)]


def _ready(archive: Archive, entry: Entry) -> _Ready:
    if entry.trouble:
        return _Ready(entry, trouble=entry.trouble)
    try:
        picture: Picture = to_jpeg(archive.read(entry.picture, archive.bounds.picture))
        if len(picture.jpeg) > MOST_BYTES:
            return _Ready(entry, trouble=f"as a JPEG it has {len(picture.jpeg)} bytes, over {MOST_BYTES}")
        if entry.boxes is None:
            return _Ready(entry, picture.jpeg)
        boxes, lines = place(entry, picture)
    except InvalidInput as error:
        return _Ready(entry, trouble=error.message)
    # All boxes left out is not the same as nothing on the picture.
    return _Ready(entry, picture.jpeg, boxes if boxes or not lines else None, tuple(lines))


async def _upload(upstream: Upstream, project_id: str, one: _Ready) -> pb.UploadCaptureResponse | BoardloopError | None:
    if one.trouble:
        return None
    request = pb.UploadCaptureRequest(
        project_id=project_id,
        label=one.entry.label,
        jpeg=one.jpeg,
        boxes=one.boxes or (),
        boxed=one.boxes is not None,
    )
    try:
        return await ask(upstream.captures.UploadCapture(request))
    except BoardloopError as error:
        return error


def _record(report: Report, one: _Ready, outcome: pb.UploadCaptureResponse | BoardloopError | None) -> None:
    report.pictures += 1
    name = one.entry.picture
    if outcome is None:
        report.refuse(name, one.trouble)
    elif isinstance(outcome, InvalidInput):
        report.refuse(name, str(outcome))
    elif isinstance(outcome, BoardloopError):
        report.refuse(name, str(outcome))
        report.stopped = report.stopped or f"{name}: {outcome}"
    else:
        _count(report, one, outcome)


def _count(report: Report, one: _Ready, outcome: pb.UploadCaptureResponse) -> None:
    for line in one.lines:
        report.say("CLIPPED", one.entry.picture, line)
    if outcome.duplicate:
        report.duplicates += 1
        if one.boxes is not None and _differ(outcome.capture.boxes, one.boxes):
            report.say("KEPT", one.entry.picture, "it was there already with other boxes: those are kept")
        return
    report.imported += 1
    report.boxes += len(one.boxes or ())
    report.background += one.boxes == []
    report.not_boxed += one.boxes is None


def _differ(kept: Iterable[pb.Box], sent: Iterable[pb.Box]) -> bool:
    def rounded(boxes: Iterable[pb.Box]) -> list[tuple[str, float, float, float, float]]:
        return sorted((b.label, round(b.x, 5), round(b.y, 5), round(b.width, 5), round(b.height, 5)) for b in boxes)

    return rounded(kept) != rounded(sent)
