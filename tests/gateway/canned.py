"""The services behind the gateway as real gRPC servers with canned answers: its tests stand at this boundary."""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import segno
from google.protobuf.timestamp_pb2 import Timestamp
from PIL import Image, ImageDraw

from services.common.errors import FailedPrecondition, InvalidInput, NotFound, UnsupportedModel
from services.common.rpc import RpcServer
from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from services.rpc.boardloop.collector.v1 import collector_pb2_grpc as cg
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as d
from services.rpc.boardloop.deployer.v1 import deployer_pb2_grpc as dg
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as t
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc as tg
from services.trainer.evaluation.answers import Answers
from tests.gateway.canned_evaluations import CannedEvaluations
from tests.gateway.canned_fidelity import canned_fidelity, canned_report
from tests.gateway.canned_networks import canned_check, canned_estimate, canned_networks
from tests.gateway.canned_preview import canned_preview

LABELS = ["functional", "defective"]
TARGET = "k210-kmodel-v3"
BOARDS = ("abcdefgh23", "mnopqrst45")
RELEASE = "ab" * 16
MODEL_FILE = bytes(range(256)) * 8192  # 2 MiB: several blocks


def stamp(ago: float = 0.0) -> Timestamp:
    """`ago` seconds before now."""
    return Timestamp(seconds=int(time.time() - ago))


def cell_jpeg(seed: int, defective: bool, size: int = 224) -> bytes:
    """A drawing like a solar cell: grey, bars, and a crack when defective."""
    chance = random.Random(seed)
    level = chance.randint(120, 190)
    picture = Image.new("L", (size, size), level)
    draw = ImageDraw.Draw(picture)
    for bar in (size // 3, 2 * size // 3):
        draw.rectangle((0, bar - 3, size, bar + 3), fill=level // 3)
    if defective:
        points = [(chance.randrange(size), chance.randrange(size)) for _ in range(4)]
        draw.line(points, fill=30, width=5)
    draw.text((4, 4), str(seed), fill=level // 2)  # no two are equal
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()


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


class Trainer(CannedEvaluations, tg.TrainingServiceServicer, tg.ModelServiceServicer):
    """Jobs that move when a test says so, and one model per job that is done."""

    def __init__(self) -> None:
        self.jobs: dict[str, t.Job] = {}
        self.models: dict[str, t.Model] = {}
        self.conversion = t.ConvertModelRequest()
        self.prediction = t.PredictResponse(logits=[2.0, -1.0], scores=[0.953, 0.047])
        self.problems: list[t.TrainingProblem] = []
        self.evaluations: dict[str, t.EvaluationJob] = {}
        self.answers: dict[str, Answers] = {}

    def advance(self, job: str, epochs: int) -> None:
        """So many epochs are trained."""
        one = self.jobs[job]
        one.state = t.JOB_STATE_TRAINING
        chance = random.Random(7)
        del one.epochs[:]
        for epoch in range(1, epochs + 1):
            one.epochs.add(
                epoch=epoch, train_loss=0.9 * 0.8**epoch + 0.03 * chance.random(), learning_rate=0.001,
                validation_loss=0.85 * 0.83**epoch + 0.12 + 0.05 * chance.random(),
                validation_accuracy=0.94 - 0.4 * 0.72**epoch + 0.02 * chance.random(), images_per_second=41.5,
            )  # fmt: skip
        one.progress = 0.1 + 0.8 * epochs / one.parameters.epochs
        one.seconds_left = 12.0 * (one.parameters.epochs - epochs)
        one.log[:] = [
            "fetched 320 training and 80 validation pictures of version 1",
            "weights: imagenet, MobileNetV1 1.0 sliced to 0.5",
            *(f"epoch {e.epoch}: loss {e.train_loss:.4f}, accuracy {e.validation_accuracy:.4f}" for e in one.epochs),
        ]

    def finish(self, job: str) -> str:
        """The job is done; returns its model."""
        one = self.jobs[job]
        self.advance(job, one.parameters.epochs)
        one.state, one.progress, one.seconds_left = t.JOB_STATE_DONE, 1.0, 0.0
        one.ended_at.CopyFrom(stamp())
        one.model_id = f"{len(self.models) + 0xA1:012x}"
        right = evaluation([[41, 4], [5, 30]])
        self.models[one.model_id] = t.Model(
            id=one.model_id, project_id=one.project_id, job_id=one.id, version_id=one.version_id,
            name=f"solar-cells-{len(self.models) + 1}", labels=LABELS, backbone="mobilenet_v1_0.5", input_size=128,
            evaluation=right, weights_source="MobileNetV1 1.0, TF-slim, Apache-2.0", created_at=stamp(),
            files=[converted(TARGET, "kmodel_v3", "model.kmodel")],
        )  # fmt: skip
        return one.model_id

    def StartJob(self, request: t.StartJobRequest, context: Any) -> t.StartJobResponse:
        job = t.Job(
            id=f"{len(self.jobs) + 0x77AA01:012x}", project_id=request.project_id, version_id=request.version_id,
            parameters=request.parameters, state=t.JOB_STATE_QUEUED, created_at=stamp(), priority=request.priority,
            queue_position=1,
        )  # fmt: skip
        job.parameters.epochs = job.parameters.epochs or 15
        self.jobs[job.id] = job
        return t.StartJobResponse(job=job)

    def CheckTraining(self, request: t.CheckTrainingRequest, context: Any) -> t.CheckTrainingResponse:
        return canned_check(request, self.problems)

    def ProposeNetworks(self, request: t.ProposeNetworksRequest, context: Any) -> t.ProposeNetworksResponse:
        return canned_networks(request.target)

    def EstimateNetwork(self, request: t.EstimateNetworkRequest, context: Any) -> t.EstimateNetworkResponse:
        return canned_estimate(request)

    def GetJob(self, request: t.GetJobRequest, context: Any) -> t.GetJobResponse:
        return t.GetJobResponse(job=self._job(request.job_id))

    def ListJobs(self, request: t.ListJobsRequest, context: Any) -> t.ListJobsResponse:
        return t.ListJobsResponse(jobs=[j for j in reversed(self.jobs.values()) if j.project_id == request.project_id])

    def StopJob(self, request: t.StopJobRequest, context: Any) -> t.StopJobResponse:
        job = self._job(request.job_id)
        if job.state == t.JOB_STATE_DONE:
            raise FailedPrecondition("JOB_ENDED", f"Job {job.id} has ended.", fix="Start a new one.")
        job.state = t.JOB_STATE_STOPPED
        return t.StopJobResponse(job=job)

    def SetJobPriority(self, request: t.SetJobPriorityRequest, context: Any) -> t.SetJobPriorityResponse:
        job = self._job(request.job_id)
        job.priority = request.priority
        return t.SetJobPriorityResponse(job=job)

    def ResumeJob(self, request: t.ResumeJobRequest, context: Any) -> t.ResumeJobResponse:
        job = self._job(request.job_id)
        job.state, job.error = t.JOB_STATE_QUEUED, ""
        return t.ResumeJobResponse(job=job)

    def WatchJob(self, request: t.WatchJobRequest, context: Any) -> Iterator[t.WatchJobResponse]:
        yield t.WatchJobResponse(job=self._job(request.job_id))

    def GetModel(self, request: t.GetModelRequest, context: Any) -> t.GetModelResponse:
        if request.model_id not in self.models:
            raise NotFound("UNKNOWN_MODEL", f"There is no model {request.model_id}.", fix="List the models.")
        return t.GetModelResponse(model=self.models[request.model_id])

    def ListModels(self, request: t.ListModelsRequest, context: Any) -> t.ListModelsResponse:
        return t.ListModelsResponse(
            models=[m for m in reversed(self.models.values()) if m.project_id == request.project_id]
        )

    def DownloadModel(self, request: t.DownloadModelRequest, context: Any) -> Iterator[t.DownloadModelResponse]:
        self.GetModel(t.GetModelRequest(model_id=request.model_id), context)
        name = "model.kmodel" if request.target else 'float "1".pt'
        if request.package:
            self.asked = request
            name = "model-k210.zip"
        for begin in range(0, len(MODEL_FILE), 1 << 20):
            block = t.DownloadModelResponse(data=MODEL_FILE[begin : begin + (1 << 20)])
            if not begin:
                block.file_name, block.size_bytes = name, len(MODEL_FILE)
            yield block

    def ConvertModel(self, request: t.ConvertModelRequest, context: Any) -> t.ConvertModelResponse:
        self.conversion = request
        files = self.models[request.model_id].files
        if request.target not in [one.id for one in self.ListTargets(t.ListTargetsRequest(), None).targets]:
            raise InvalidInput("UNKNOWN_TARGET", f"There is no target {request.target}.", fix="GET /api/v1/targets.")
        if request.target == "web-onnx" and request.max_accuracy_drop < 0.1:
            raise UnsupportedModel(
                "ACCURACY_DROP",
                "Layer conv7_dw loses most.",
                fix="Allow more with max_accuracy_drop.",
                layer="conv7_dw",
            )
        for file in files:
            if file.target == request.target:
                return t.ConvertModelResponse(file=file)
        files.append(converted(request.target, request.target.replace("-", "."), "model.bin"))
        return t.ConvertModelResponse(file=files[-1])

    def ListTargets(self, request: t.ListTargetsRequest, context: Any) -> t.ListTargetsResponse:
        rows = [
            (TARGET, "K210, MaixPy (kmodel V3)", "MaixPy-v1 and CanMV firmware", "k210", "kmodel_v3"),
            ("v831-awnn-int8", "V831, AWNN int8", "Maix-II-Dock with MaixPy3", "v831", "awnn_int8"),
            ("web-onnx", "ONNX", "onnxruntime and the browser", "web", "onnx"),
        ]
        names = ("id", "title", "description", "board_type", "format")
        return t.ListTargetsResponse(targets=[t.Target(**dict(zip(names, row, strict=True))) for row in rows])

    def Predict(self, request: t.PredictRequest, context: Any) -> t.PredictResponse:
        return self.prediction

    def GetGolden(self, request: t.GetGoldenRequest, context: Any) -> t.GetGoldenResponse:
        raise NotFound("UNKNOWN_MODEL", "The gateway never asks for this.")

    def GetModelCard(self, request: t.GetModelCardRequest, context: Any) -> t.GetModelCardResponse:
        model = self.GetModel(t.GetModelRequest(model_id=request.model_id), context).model
        first = t.Ancestor(model_id="0" * 12, name="solar-cells-0", version_id=model.version_id, weights="imagenet")
        mine = t.Ancestor(model_id=model.id, name=model.name, version_id=model.version_id, weights="model:" + "0" * 12)
        done = [one for one in self.evaluations.values() if one.model_id == model.id and one.figures.images]
        card = t.ModelCard(
            model=model, parameters=self.jobs[model.job_id].parameters, code_version="git 0123456789ab",
            lineage=[mine, first], version_number=1, train_count=70, validation_count=18, version_sha256="9f" * 32,
            evaluations=done,
        )  # fmt: skip
        return t.GetModelCardResponse(card=card)

    def _job(self, job: str) -> t.Job:
        if job not in self.jobs:
            raise NotFound("UNKNOWN_JOB", f"There is no job {job}.", fix="List the jobs.", job=job)
        return self.jobs[job]


def converted(target: str, form: str, name: str) -> t.ConvertedFile:
    """A file with its figures."""
    return t.ConvertedFile(
        target=target, format=form, file_name=name, size_bytes=870_432, sha256="c0" * 32,
        evaluation=evaluation([[41, 4], [6, 29]]), agreement=0.9875, ram_bytes=1_268_000,
        report_json=json.dumps(canned_report(target)),
        packages=["k210-zip", "kfpkg"] if target == TARGET else ["files"],
        fidelity_json=json.dumps(canned_fidelity(target, LABELS).to_json()),
    )  # fmt: skip


def evaluation(confusion: list[list[int]]) -> t.Evaluation:
    """The figures that follow from a confusion matrix."""
    total = sum(map(sum, confusion))
    columns = [sum(row[i] for row in confusion) for i in range(len(confusion))]
    classes = []
    for i, row in enumerate(confusion):
        precision, recall = row[i] / columns[i], row[i] / sum(row)
        f1 = 2 * precision * recall / (precision + recall)
        classes.append(t.ClassMetrics(label=LABELS[i], precision=precision, recall=recall, f1=f1, support=sum(row)))
    return t.Evaluation(
        images=total, accuracy=sum(row[i] for i, row in enumerate(confusion)) / total,
        confusion=[count for row in confusion for count in row], classes=classes,
        wrong_capture_ids=[f"{index:032x}" for index in (3, 11, 14, 20)],
    )  # fmt: skip


class Deployer(dg.BoardServiceServicer, dg.ReleaseServiceServicer):
    """Boards and releases in memory."""

    def __init__(self) -> None:
        self.boards: dict[str, d.Board] = {}
        self.releases: dict[str, d.Release] = {}
        self.results: list[d.Result] = []
        self.signature = b""

    def fill(self, project: str) -> None:
        """Two boards, one downloading, with results."""
        for board, name in zip(BOARDS, ("line 1", "line 2"), strict=True):
            self.boards[board] = d.Board(
                id=board, project_id=project, name=name, board_type="k210", state=d.BOARD_STATE_ONLINE,
                hardware="0f" * 8, firmware="maixpy 0.6.2", last_seen_at=stamp(3), created_at=stamp(4000),
            )  # fmt: skip
        first, second = self.boards.values()
        first.release_id, first.update_state = RELEASE, d.UPDATE_STATE_COMMITTED
        second.desired_release_id, second.update_state = RELEASE, d.UPDATE_STATE_DOWNLOADING
        second.update_progress, second.outbox, second.rejected = 0.62, 7, 1
        self.releases[RELEASE] = d.Release(
            id=RELEASE, project_id=project, model_id="0000000000a1", target=TARGET, name="solar-cells-1", counter=3,
            state=d.RELEASE_STATE_ROLLING_OUT, payload_bytes=968_736, created_at=stamp(120),
            boards=[
                d.BoardUpdate(board_id=BOARDS[0], state=d.UPDATE_STATE_COMMITTED),
                d.BoardUpdate(board_id=BOARDS[1], state=d.UPDATE_STATE_DOWNLOADING),
            ],
        )  # fmt: skip
        for index in range(8):
            self.results.append(
                d.Result(
                    board_id=BOARDS[0], release_id=RELEASE, logits=[2.5, -0.1], top=int(index % 3 == 1),
                    score=0.98 - index * 0.05, frame="0123456789abcdef", milliseconds=41, received_at=stamp(index * 9),
                )
            )  # fmt: skip

    def CreatePairing(self, request: d.CreatePairingRequest, context: Any) -> d.CreatePairingResponse:
        if not request.name:
            raise InvalidInput("BAD_NAME", "name is empty.", fix="Give the board a name.", field="name")
        identity = request.board_id or f"newboard{22 + len(self.boards)}"
        board = d.Board(
            id=identity, project_id=request.project_id, name=request.name, board_type=request.board_type,
            state=d.BOARD_STATE_PAIRING, created_at=stamp(),
        )  # fmt: skip
        self.boards[identity] = board
        code = f"BL1:{request.host or '192.168.1.20'}:{identity}:ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        return d.CreatePairingResponse(board=board, code=code, qr_png=qr(code), expires_at=stamp(-600))

    def CreateWifiCode(self, request: d.CreateWifiCodeRequest, context: Any) -> d.CreateWifiCodeResponse:
        code = f"WIFI:T:WPA;S:{request.ssid};P:{request.password};;"
        return d.CreateWifiCodeResponse(code=code, qr_png=qr(code))

    def GetBoard(self, request: d.GetBoardRequest, context: Any) -> d.GetBoardResponse:
        if request.board_id not in self.boards:
            raise NotFound("UNKNOWN_BOARD", f"There is no board {request.board_id}.", fix="List the boards.")
        return d.GetBoardResponse(board=self.boards[request.board_id])

    def ListBoards(self, request: d.ListBoardsRequest, context: Any) -> d.ListBoardsResponse:
        return d.ListBoardsResponse(boards=[b for b in self.boards.values() if b.project_id == request.project_id])

    def RevokeBoard(self, request: d.RevokeBoardRequest, context: Any) -> d.RevokeBoardResponse:
        board = self.GetBoard(d.GetBoardRequest(board_id=request.board_id), context).board
        board.state = self.boards[board.id].state = d.BOARD_STATE_REVOKED
        return d.RevokeBoardResponse(board=board)

    def ListResults(self, request: d.ListResultsRequest, context: Any) -> d.ListResultsResponse:
        wanted = [one for one in self.results if request.board_id in ("", one.board_id)]
        return d.ListResultsResponse(results=wanted[: request.limit or 100])

    def CreateRelease(self, request: d.CreateReleaseRequest, context: Any) -> d.CreateReleaseResponse:
        boards = list(request.board_ids) or list(self.boards)
        release = d.Release(
            id=f"{len(self.releases):032x}", project_id=request.project_id, model_id=request.model_id,
            name=request.name, target=request.target or TARGET,
            counter=len(self.releases) + 3, payload_bytes=968_736,
            created_at=stamp(), state=d.RELEASE_STATE_AWAITING_SIGNATURE,
            boards=[d.BoardUpdate(board_id=board, state=d.UPDATE_STATE_WAITING) for board in boards],
        )  # fmt: skip
        self.releases[release.id] = release
        return d.CreateReleaseResponse(release=release)

    def GetRelease(self, request: d.GetReleaseRequest, context: Any) -> d.GetReleaseResponse:
        if request.release_id not in self.releases:
            raise NotFound("UNKNOWN_RELEASE", f"There is no release {request.release_id}.")
        return d.GetReleaseResponse(release=self.releases[request.release_id])

    def ListReleases(self, request: d.ListReleasesRequest, context: Any) -> d.ListReleasesResponse:
        mine = [one for one in reversed(self.releases.values()) if one.project_id == request.project_id]
        return d.ListReleasesResponse(releases=mine)

    def SubmitSignature(self, request: d.SubmitSignatureRequest, context: Any) -> d.SubmitSignatureResponse:
        self.signature = request.signature
        release = self.releases[request.release_id]
        release.state = d.RELEASE_STATE_ROLLING_OUT
        return d.SubmitSignatureResponse(release=release)

    def GetManifest(self, request: d.GetManifestRequest, context: Any) -> d.GetManifestResponse:
        return d.GetManifestResponse(manifest=b'{"release": "' + request.release_id.encode() + b'"}')


def qr(text: str) -> bytes:
    """A real QR code."""
    out = io.BytesIO()
    segno.make(text, error="l").save(out, kind="png", scale=8, border=4)
    return out.getvalue()


class World:
    """The three servers; a test may take one away and bring it back at the same address."""

    def __init__(self, service_key: str) -> None:
        self._key = service_key
        self.collector, self.trainer, self.deployer = Collector(), Trainer(), Deployer()
        self.ports = {"collector": 0, "trainer": 0, "deployer": 0}
        self._servers: dict[str, RpcServer] = {}
        for name in self.ports:
            self.bring(name)

    def bring(self, name: str) -> None:
        """Starts a service."""
        server = RpcServer(name, f"127.0.0.1:{self.ports[name]}", self._key)
        rooms: dict[str, tuple[object, Any, list[str]]] = {
            "collector": (self.collector, cg, ["ProjectService", "CaptureService", "DatasetService"]),
            "trainer": (self.trainer, tg, ["TrainingService", "ModelService", "EvaluationService"]),
            "deployer": (self.deployer, dg, ["BoardService", "ReleaseService"]),
        }
        servicer, module, services = rooms[name]
        for service in services:
            add: Callable[[Any, Any], None] = getattr(module, f"add_{service}Servicer_to_server")
            server.add(add, servicer, f"boardloop.{name}.v1.{service}")
        if name == "trainer":
            add_preview = tg.add_PreviewServiceServicer_to_server
            server.add(add_preview, canned_preview(self.collector), f"boardloop.{name}.v1.PreviewService")
        self.ports[name] = server.start()
        self._servers[name] = server

    def take(self, name: str) -> None:
        """Stops a service."""
        self._servers.pop(name).stop(grace=0)

    def close(self) -> None:
        """Stops what still runs."""
        for name in list(self._servers):
            self.take(name)
