"""Which weights a job may name: a caller of the API must not read this machine's files, nor use its address."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import InvalidInput
from services.rpc.boardloop.trainer.v1 import trainer_pb2
from services.trainer.config import TrainingConfig
from services.trainer.models import Model
from services.trainer.parameters import (
    config,
    from_scratch_warning,
    pretrained,
    resolved,
    starting_weights,
    teachers_weights,
)
from services.trainer.published import published
from services.trainer.settings import TrainerSettings

_MOBILENET = {"backbone": "mobilenet_v1_0.5"}


@pytest.fixture
def settings(tmp_path: Path) -> TrainerSettings:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "link.pb").symlink_to("/etc/hostname")
    allowed = f"{tmp_path / 'models'}, https://models.example/pub"
    return TrainerSettings(cache_dir=tmp_path / "cache", weights_allowed=allowed)


@pytest.mark.parametrize(
    "source",
    [
        "/etc/passwd",
        "/no/such/file",
        "{tmp}/models/../secret.pb",
        "{tmp}/models/link.pb",
        "{tmp}/models-of-others/net.pb",
        "{tmp}/models/net\0.pb",
        "http://127.0.0.1:7001/",
        "http://169.254.169.254/latest/meta-data/",
        "http://models.example/pub/net.pb",
        "https://models.example.evil.example/pub/net.pb",
        "https://models.example/pub@evil.example/net.pb",
        "https://models.example/private/net.pb",
        "file:///etc/passwd",
    ],
)
def test_other_weights_are_refused_in_the_same_words(settings: TrainerSettings, tmp_path: Path, source: str) -> None:
    weights = source.replace("{tmp}", str(tmp_path))
    for refused in (
        lambda: resolved(trainer_pb2.TrainingParameters(weights=weights), settings),
        lambda: pretrained(weights, "mobilenet_v1_0.5", settings),  # a job from before the setting was changed
    ):
        with pytest.raises(InvalidInput, match="BOARDLOOP_WEIGHTS_ALLOWED") as caught:
            refused()
        assert caught.value.reason == "WEIGHTS_NOT_ALLOWED"


@pytest.mark.parametrize(
    "source",
    ["imagenet", "none", "{tmp}/models/net.pb", "{tmp}/cache/weights/net.pb", "https://models.example/pub/net.pb"],
)
def test_named_places_and_the_cache_are_allowed(settings: TrainerSettings, tmp_path: Path, source: str) -> None:
    weights = source.replace("{tmp}", str(tmp_path))
    assert resolved(trainer_pb2.TrainingParameters(weights=weights), settings).weights == weights


def test_a_network_without_imagenet_weights_starts_from_scratch_and_the_log_says_so(settings: TrainerSettings) -> None:
    asked = resolved(trainer_pb2.TrainingParameters(backbone="resnet18_0.25"), settings)
    assert asked.weights == "imagenet" and starting_weights(asked) == "none"
    assert "no ImageNet weights for resnet18_0.25" in from_scratch_warning(asked)
    assert pretrained(starting_weights(asked), asked.backbone, settings) is None


@pytest.mark.parametrize(("backbone", "weights"), [("mobilenet_v1_0.25", "imagenet"), ("tiny_cnn", "none")])
def test_weights_that_are_there_need_no_warning(settings: TrainerSettings, backbone: str, weights: str) -> None:
    asked = resolved(trainer_pb2.TrainingParameters(backbone=backbone, weights=weights), settings)
    assert starting_weights(asked) == weights and from_scratch_warning(asked) == ""


@pytest.mark.parametrize(
    ("asked", "weights"),
    [
        ({"backbone": "mobilenet_v1_0.25", "distil": "efficientnet_lite0"}, "imagenet"),
        ({"backbone": "tiny_cnn", "distil": "mobilenet_v1_0.5"}, "imagenet"),
        ({"backbone": "mobilenet_v1_0.25", "distil": "efficientnet_lite0", "weights": "none"}, "none"),
        ({"distil": "mobilenet_v1_1.0", "weights": "net.pb"}, "net.pb"),
        ({"distil": "efficientnet_lite0", "weights": "net.pb"}, "imagenet"),
        ({"backbone": "efficientnet_lite0", "distil": "efficientnet_lite2", "weights": "lite0.pth"}, "imagenet"),
    ],
)
def test_a_teacher_starts_from_weights_of_its_own_kind(asked: dict[str, str], weights: str) -> None:
    assert teachers_weights(trainer_pb2.TrainingParameters(**{"weights": "imagenet", **_MOBILENET, **asked})) == weights


def test_a_teacher_without_imagenet_weights_starts_from_random_ones(settings: TrainerSettings) -> None:
    assert pretrained("imagenet", "resnet18_1.0", settings) is None


@pytest.mark.parametrize("backbone", ["mobilenet_v1_0.25", "mobilenet_v1_1.0_cut8", "efficientnet_lite2"])
def test_the_source_of_imagenets_weights_names_their_licence(backbone: str) -> None:
    found = published(backbone)
    assert found is not None and "Apache-2.0" in found.source and found.requirement.split("==")[0] in found.source


def test_a_file_of_one_network_does_not_start_another(settings: TrainerSettings, tmp_path: Path) -> None:
    asked = trainer_pb2.TrainingParameters(backbone="tiny_cnn", weights=f"{tmp_path}/models/net.pb")
    with pytest.raises(InvalidInput, match="the backbone is tiny_cnn"):
        resolved(asked, settings)


def test_every_setting_is_resolved_and_zero_is_a_value(settings: TrainerSettings) -> None:
    asked = trainer_pb2.TrainingParameters(dropout=0.0, ema=0.0, optimizer="sgd", flip_horizontal=False, patience=4)
    job = resolved(asked, settings)
    assert (job.dropout, job.ema, job.optimizer, job.flip_horizontal, job.patience) == (0, 0, "sgd", False, 4)
    assert (job.weight_decay, job.schedule, job.keep, job.rotate) == (0.05, "cosine", "best", 5)
    assert {name for name in SETTINGS if not has(job, name)} == set()
    wanted = {"dropout": 0, "ema": 0, "optimizer": "sgd", "flip_horizontal": False, "patience": 4, "threads": 1}
    assert config(job, "", 1) == TrainingConfig.model_validate(wanted)


def test_the_pooling_is_average_unless_peaks_are_asked_for(settings: TrainerSettings) -> None:
    assert resolved(trainer_pb2.TrainingParameters(), settings).pooling == "average"
    job = resolved(trainer_pb2.TrainingParameters(pooling="peaks"), settings)
    assert config(job, "", 1).pooling == "peaks"
    with pytest.raises(InvalidInput, match="pooling: Input should be 'average' or 'peaks'"):
        resolved(trainer_pb2.TrainingParameters(pooling="loudest"), settings)
    with pytest.raises(InvalidInput, match="pooling is for classifiers") as refused:
        resolved(trainer_pb2.TrainingParameters(pooling="peaks"), settings, task="detection")
    assert refused.value.reason == "POOLING_DETECTOR"


SETTINGS = [field.name for field in trainer_pb2.TrainingParameters.DESCRIPTOR.fields if field.has_presence]


def has(parameters: trainer_pb2.TrainingParameters, name: str) -> bool:
    return parameters.HasField(name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [("dropout", 1.0), ("ema", 1.0), ("optimizer", "adam"), ("distil", "vgg19"), ("freeze", 1.5), ("erase", -0.1)],
)
def test_a_setting_out_of_range_is_named(settings: TrainerSettings, name: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        resolved(trainer_pb2.TrainingParameters(**{name: value}), settings)  # type: ignore[arg-type]
    assert caught.value.reason == "TRAINING_PARAMETERS"


def test_fine_tuning_in_8_bits_for_a_chip_in_float_is_refused(settings: TrainerSettings) -> None:
    with pytest.raises(InvalidInput, match="web-onnx") as caught:
        resolved(trainer_pb2.TrainingParameters(qat_epochs=2, target="web-onnx"), settings)
    assert caught.value.reason == "QAT_TARGET"


def registered(model_id: str) -> Model:
    return Model(id=model_id, backbone="tiny_cnn", input_size=160)


def test_a_job_from_a_model_takes_its_network_and_size(settings: TrainerSettings) -> None:
    job = resolved(trainer_pb2.TrainingParameters(weights="model:abc"), settings, registered)
    assert (job.backbone, job.input_size, starting_weights(job)) == ("tiny_cnn", 160, "model:abc")


def test_a_job_from_a_model_pools_as_it_does_unless_another_pooling_is_asked_for(settings: TrainerSettings) -> None:
    def peaked(model_id: str) -> Model:
        return Model(id=model_id, backbone="mobilenet_v1_0.5", input_size=256, parameters={"pooling": "peaks"})

    asked = trainer_pb2.TrainingParameters(weights="model:abc")
    assert resolved(asked, settings, peaked).pooling == "peaks"
    asked.pooling = "average"
    assert resolved(asked, settings, peaked).pooling == "average"
    assert resolved(trainer_pb2.TrainingParameters(weights="model:abc"), settings, registered).pooling == "average"


@pytest.mark.parametrize(
    ("other", "word"), [({"backbone": "resnet18_0.25"}, "is a tiny_cnn"), ({"distil": "resnet18_1.0"}, "no teacher")]
)
def test_a_job_from_a_model_refuses_what_does_not_fit(
    settings: TrainerSettings, other: dict[str, str], word: str
) -> None:
    with pytest.raises(InvalidInput, match=word):
        resolved(trainer_pb2.TrainingParameters(weights="model:abc", **other), settings, registered)
