"""The trainer as the deployer sees it: a real gRPC server that answers from fixed bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from services.common.errors import NotFound
from services.common.rpc import RpcServer
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc as grpc_pb

MODEL = bytes(i * 7 % 251 for i in range(300_000))
INPUTS = [bytes(i * k % 256 for i in range(3 * 32 * 32)) for k in (3, 5)]
OUTPUTS = [[2.51, -0.11], [-1.2, 1.4]]
TARGET = "k210-kmodel-v3"


class FakeTrainer(grpc_pb.ModelServiceServicer):
    """`m1.<project>`: a model of that project with a file for the K210 and none for the V831."""

    def __init__(self, service_key: str) -> None:
        self.server = RpcServer("trainer", "127.0.0.1:0", service_key)
        name = pb.DESCRIPTOR.services_by_name["ModelService"].full_name
        self.server.add(grpc_pb.add_ModelServiceServicer_to_server, self, name)
        self.address = f"127.0.0.1:{self.server.start()}"
        self.labels = ["functional", "defective"]
        self.task = "classification"
        self.v831 = ""  # the target, once the model has a file for it
        self.outputs = OUTPUTS
        self.sha256 = hashlib.sha256(MODEL).hexdigest()

    def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.GetModelResponse:
        name, _, project = request.model_id.partition(".")
        if name != "m1":
            raise NotFound("UNKNOWN_MODEL", f"There is no model {request.model_id!r}.")
        files = [
            pb.ConvertedFile(target=target, format=form, size_bytes=len(MODEL), sha256=self.sha256)
            for target, form in ((TARGET, "kmodel_v3"), (self.v831, "awnn_int8"))
            if target
        ]
        return pb.GetModelResponse(
            model=pb.Model(
                id=request.model_id,
                project_id=project,
                name="solar cells",
                labels=self.labels,
                files=files,
                task=self.task,
            )
        )

    def ListTargets(self, request: pb.ListTargetsRequest, context: Any) -> pb.ListTargetsResponse:
        k210 = pb.Target(id=TARGET, board_type="k210", format="kmodel_v3")
        v831 = pb.Target(id="v831-awnn-int8", board_type="v831", format="awnn_int8")
        v5 = pb.Target(id="k210-kmodel-v5", board_type="k210", format="kmodel_v5")
        web = pb.Target(id="web-onnx", board_type="web", format="onnx")
        return pb.ListTargetsResponse(targets=[k210, v831, v5, web])

    def DownloadModel(self, request: pb.DownloadModelRequest, context: Any) -> Iterator[pb.DownloadModelResponse]:
        assert request.target in (TARGET, self.v831)
        for at in range(0, len(MODEL), 100_000):
            yield pb.DownloadModelResponse(size_bytes=len(MODEL), data=MODEL[at : at + 100_000])

    def GetGolden(self, request: pb.GetGoldenRequest, context: Any) -> pb.GetGoldenResponse:
        cases = [pb.GoldenCase(input_u8_chw=i, output=o) for i, o in zip(INPUTS, self.outputs, strict=True)]
        return pb.GetGoldenResponse(width=32, height=32, channels=3, cases=cases)
