"""The collector behind the gateway, with canned answers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from PIL import Image

from services.common.errors import FailedPrecondition, InvalidInput, NotFound
from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from services.rpc.boardloop.collector.v1 import collector_pb2_grpc as cg
from tests.gateway.canned_facts import BOARDS, LABELS, cell_jpeg, stamp


class Collector(cg.ProjectServiceServicer, cg.CaptureServiceServicer, cg.DatasetServiceServicer):
    """Projects, captures and versions in memory."""

    def __init__(self) -> None:
        self.projects: dict[str, c.Project] = {}
        self.captures: dict[str, c.Capture] = {}
        self.versions: list[c.DatasetVersion] = []
        self.revision = 0
        self.jpegs: dict[str, bytes] = {}

    def fill(self, count: int) -> str:
        """A project with `count` captures of two boards and one version; returns its id."""
        project = c.Project(id="0123456789ab", name="Solar cells", labels=LABELS, created_at=stamp(7200))
        self.projects[project.id] = project
        for index in range(count):
            self.press(BOARDS[index % 2], "" if index % 9 == 8 else LABELS[index % 3 == 2])
        self.CreateVersion(c.CreateVersionRequest(project_id=project.id, seed=1, validation_share=0.2), None)
        return project.id

    def press(self, board: str, label: str, project: str = "0123456789ab", jpeg: bytes = b"") -> c.Capture:
        """One more capture."""
        index = len(self.jpegs)
        jpeg = jpeg or cell_jpeg(index, label == LABELS[1])
        capture = c.Capture(
            id=f"{index:032x}", project_id=project, board_id=board, label=label, width=224, height=224,
            size_bytes=len(jpeg), captured_at=stamp(), stored_at=stamp(),
        )  # fmt: skip
        self.captures[capture.id], self.jpegs[capture.id] = capture, jpeg
        self.revision += 1
        return capture

    def CreateProject(self, request: c.CreateProjectRequest, context: Any) -> c.CreateProjectResponse:
        if not request.name:
            raise InvalidInput("BAD_NAME", "name is empty.", fix="Give the project a name.", field="name")
        identity = f"{len(self.projects) + 1:012x}"
        project = c.Project(id=identity, name=request.name, labels=request.labels, created_at=stamp())
        self.projects[project.id] = project
        return c.CreateProjectResponse(project=project)

    def GetProject(self, request: c.GetProjectRequest, context: Any) -> c.GetProjectResponse:
        if request.project_id not in self.projects:
            raise NotFound("UNKNOWN_PROJECT", f"There is no project {request.project_id}.", fix="List the projects.")
        return c.GetProjectResponse(project=self.projects[request.project_id])

    def ListProjects(self, request: c.ListProjectsRequest, context: Any) -> c.ListProjectsResponse:
        return c.ListProjectsResponse(projects=self.projects.values())

    def SetLabels(self, request: c.SetLabelsRequest, context: Any) -> c.SetLabelsResponse:
        project = self.projects[request.project_id]
        project.labels[:] = request.labels
        return c.SetLabelsResponse(project=project)

    def UploadCapture(self, request: c.UploadCaptureRequest, context: Any) -> c.UploadCaptureResponse:
        if not request.jpeg.startswith(b"\xff\xd8"):
            raise InvalidInput("NOT_JPEG", "The file is not a JPEG.", fix="Save it as JPEG.")
        for capture in self.captures.values():
            if self.jpegs[capture.id] == request.jpeg and capture.label == request.label:
                return c.UploadCaptureResponse(capture=capture, duplicate=True)
        capture = self.press("", request.label, request.project_id, request.jpeg)
        capture.boxes.extend(request.boxes)
        capture.boxed = request.boxed
        return c.UploadCaptureResponse(capture=capture)

    def GetCapture(self, request: c.GetCaptureRequest, context: Any) -> c.GetCaptureResponse:
        if request.capture_id not in self.captures:
            raise NotFound("UNKNOWN_CAPTURE", f"There is no capture {request.capture_id}.", capture=request.capture_id)
        return c.GetCaptureResponse(capture=self.captures[request.capture_id])

    def ListCaptures(self, request: c.ListCapturesRequest, context: Any) -> c.ListCapturesResponse:
        wish = request.filter
        rows = [
            one
            for one in reversed(self.captures.values())
            if one.project_id == wish.project_id
            and (not wish.HasField("label") or one.label == wish.label)
            and wish.board_id in ("", one.board_id)
            and (not wish.HasField("boxed") or one.boxed == wish.boxed)
        ]
        begin, size = int(request.page_token or 0), request.page_size or 100
        more = str(begin + size) if begin + size < len(rows) else ""
        return c.ListCapturesResponse(captures=rows[begin : begin + size], next_page_token=more)

    def CountCaptures(self, request: c.CountCapturesRequest, context: Any) -> c.CountCapturesResponse:
        mine = [one for one in self.captures.values() if one.project_id == request.project_id]
        labels, boards = {one.label for one in mine}, {one.board_id for one in mine}
        return c.CountCapturesResponse(
            total=len(mine),
            labels=[c.LabelCount(label=x, count=sum(o.label == x for o in mine)) for x in sorted(labels)],
            boards=[c.BoardCount(board_id=x, count=sum(o.board_id == x for o in mine)) for x in sorted(boards)],
            revision=self.revision,
            boxed=sum(one.boxed for one in mine),
        )

    def GetImage(self, request: c.GetImageRequest, context: Any) -> c.GetImageResponse:
        self.GetCapture(c.GetCaptureRequest(capture_id=request.capture_id), context)
        jpeg = self.jpegs[request.capture_id]
        if not request.thumbnail_size:
            return c.GetImageResponse(jpeg=jpeg)
        picture = Image.open(io.BytesIO(jpeg))
        picture.thumbnail((request.thumbnail_size, request.thumbnail_size))
        out = io.BytesIO()
        picture.save(out, "JPEG")
        return c.GetImageResponse(jpeg=out.getvalue())

    def SetLabel(self, request: c.SetLabelRequest, context: Any) -> c.SetLabelResponse:
        for key in request.capture_ids:
            self.captures[key] = c.Capture.FromString(self.captures[key].SerializeToString())
            self.captures[key].label = request.label
        self.revision += 1
        return c.SetLabelResponse(changed=len(request.capture_ids))

    def SetBoxes(self, request: c.SetBoxesRequest, context: Any) -> c.SetBoxesResponse:
        capture = c.Capture()
        capture.CopyFrom(self.GetCapture(c.GetCaptureRequest(capture_id=request.capture_id), context).capture)
        for number, box in enumerate(request.boxes, 1):
            if box.x + box.width > 1:
                raise InvalidInput("BAD_BOX", f"box {number} reaches out of the picture", fix="Clip it.")
        del capture.boxes[:]
        capture.boxes.extend(request.boxes)
        capture.boxed = not request.unboxed
        self.captures[capture.id] = capture
        self.revision += 1
        return c.SetBoxesResponse(capture=capture)

    def DeleteCaptures(self, request: c.DeleteCapturesRequest, context: Any) -> c.DeleteCapturesResponse:
        for key in request.capture_ids:
            del self.captures[key]
        self.revision += 1
        return c.DeleteCapturesResponse(deleted=len(request.capture_ids))

    def CreateVersion(self, request: c.CreateVersionRequest, context: Any) -> c.CreateVersionResponse:
        labelled = [o for o in self.captures.values() if o.project_id == request.project_id and o.label]
        if not labelled:
            raise FailedPrecondition("NO_CAPTURES", "The project has no labelled captures.", fix="Label some.")
        held = round(len(labelled) * request.validation_share)
        number = len(self.versions) + 1
        version = c.DatasetVersion(
            id=f"{number:012x}", project_id=request.project_id, number=number, seed=request.seed,
            validation_share=request.validation_share, labels=LABELS, train_count=len(labelled) - held,
            validation_count=held, sha256=f"{number:x}{'9f3c51ab7d20' * 6}"[:64], created_at=stamp(),
            label_counts=[c.LabelCount(label=x, count=sum(o.label == x for o in labelled)) for x in LABELS],
            task=request.task or c.TASK_CLASSIFICATION,
        )  # fmt: skip
        self.versions.insert(0, version)
        return c.CreateVersionResponse(version=version)

    def GetVersion(self, request: c.GetVersionRequest, context: Any) -> c.GetVersionResponse:
        for version in self.versions:
            if version.id == request.version_id:
                return c.GetVersionResponse(version=version)
        raise NotFound("UNKNOWN_VERSION", f"There is no version {request.version_id}.")

    def ListVersions(self, request: c.ListVersionsRequest, context: Any) -> c.ListVersionsResponse:
        return c.ListVersionsResponse(versions=[v for v in self.versions if v.project_id == request.project_id])

    def StreamVersion(self, request: c.StreamVersionRequest, context: Any) -> Iterator[c.StreamVersionResponse]:
        raise NotFound("UNKNOWN_VERSION", "The gateway never asks for this.")
