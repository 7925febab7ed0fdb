"""A job with another network than MobileNetV1, from the parameters to the registered file."""

from __future__ import annotations

from pathlib import Path

from tests.trainer.world import World, pb


def test_a_job_trains_converts_and_says_that_it_began_from_scratch(tmp_path: Path) -> None:
    backbone, target = "tiny_cnn", "mcu-tinymaix-int8"
    world = World(tmp_path)
    try:
        job = world.wait(world.start_job(20, backbone=backbone, target=target, input_size=96, epochs=1, batch_size=4))
        assert job.state == pb.JOB_STATE_DONE, job.error
        assert any(f"no ImageNet weights for {backbone}" in line for line in job.log)
        model = world.models.GetModel(pb.GetModelRequest(model_id=job.model_id)).model
        assert model.backbone == backbone and model.weights_source.startswith("none: trained from random weights")
        assert [file.target for file in model.files] == [target]
    finally:
        world.close()
