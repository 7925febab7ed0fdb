from __future__ import annotations

import pytest

from services.common.errors import InvalidInput
from services.trainer.convert.kmodel_v3.firmware import FIRMWARE
from services.trainer.proposals import propose

LABELS = ("ok", "broken")
V3 = "k210-kmodel-v3"


def test_a_k210_gets_a_pretrained_network_that_every_firmware_holds() -> None:
    first, *rest = propose(V3, LABELS, pictures=300)
    assert first.recommended and first.reason == "best" and first.backbone.startswith("mobilenet_v1_")
    assert first.estimate.ram <= min(firmware.budget for firmware in FIRMWARE.values())
    assert not any(one.recommended for one in rest)


def test_a_detector_is_narrower_because_its_head_takes_room() -> None:
    first = propose(V3, LABELS, "yolo2")[0]
    assert first.backbone == "mobilenet_v1_0.25" and first.estimate.ram <= 1 << 20
    assert (first.width, first.height) == (320, 224)  # as wide as the camera


@pytest.mark.parametrize("target", [V3, "v831-awnn-int8"])
def test_a_detector_has_the_cells_that_the_boards_decoder_is_told(target: str) -> None:
    """A cut network's are 16 pixels wide: services.trainer.packages refuses it."""
    assert not any(one.backbone.endswith("_cut8") for one in propose(target, LABELS, "yolo2"))
    assert any(one.backbone.endswith("_cut8") for one in propose("linux-ncnn-fp16", LABELS, "yolo2"))


def test_those_that_cannot_fit_come_last_with_the_reason() -> None:
    found = propose(V3, LABELS)
    reasons = [one.reason for one in found]
    assert reasons == sorted(reasons, key=lambda reason: reason == "refused") and "refused" in reasons
    refused = [one for one in found if not one.estimate.fits]
    assert all(one.why == one.estimate.refusal for one in refused) and "bytes of RAM" in refused[0].why


def test_the_relative_speed_is_that_of_the_multiply_adds() -> None:
    first, second = propose(V3, LABELS)[:2]
    assert first.relative_speed == 1
    assert second.relative_speed == first.estimate.multiply_adds / second.estimate.multiply_adds > 1


def test_a_chip_without_depthwise_convolutions_gets_dense_networks() -> None:
    assert propose("v831-awnn-int8", LABELS)[0].backbone.startswith(("resnet18", "darknet"))


def test_those_without_anchors_are_for_targets_that_decode_them() -> None:
    first, *_ = found = propose("linux-ncnn-int8", LABELS, "anchor_free")
    assert first.recommended and all(one.estimate.fits and one.estimate.file_size for one in found)
    refused = propose(V3, LABELS, "anchor_free")
    assert refused and all("know YOLOv2 only" in one.why and not one.recommended for one in refused)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no target"):
        propose("z80", LABELS)
