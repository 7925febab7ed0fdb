"""EfficientNet-Lite from ImageNet's weights: it knows a cat, and says what is wrong with another file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image

from services.common.errors import InvalidInput, Unavailable
from services.trainer.backbones.efficientnet_lite import EfficientNetLite, read_state
from services.trainer.published import fetch, published
from services.trainer.settings import TrainerSettings

CATS = range(281, 286)  # of ImageNet's 1000 classes: tabby to Egyptian cat


def weights(backbone: str) -> Path:
    found = published(backbone)
    assert found is not None
    try:
        return fetch(found, TrainerSettings().cache_dir)
    except Unavailable as error:
        pytest.skip(f"no ImageNet weights: {error}")


def random_state(variant: int) -> dict[str, torch.Tensor]:
    """As published: without a prefix, the classifier behind it."""
    return {**EfficientNetLite(variant).state_dict(), "_fc.weight": torch.zeros(1000, 1280)}


def saved(tmp_path: Path, state: object) -> Path:
    torch.save(state, tmp_path / "lite.pth")
    return tmp_path / "lite.pth"


@pytest.mark.parametrize("variant", [0, 2])
def test_with_imagenets_weights_it_knows_a_cat(variant: int) -> None:
    state = read_state(weights(f"efficientnet_lite{variant}"))
    network = EfficientNetLite(variant)
    network.load_pretrained(state, mean=0.0, std=1.0)
    cat = Image.open(Path(skimage.__file__).parent / "data" / "chelsea.png").crop((75, 0, 375, 300)).resize((256, 256))
    x = torch.from_numpy(np.asarray(cat).copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        logits = state["_fc.weight"] @ network.eval()(x).mean((2, 3))[0] + state["_fc.bias"]
    assert int(logits.argmax()) in CATS


def test_the_scaling_of_the_input_moves_into_the_first_layer() -> None:
    state = {name: torch.rand_like(value) if value.ndim else value for name, value in random_state(0).items()}
    ours, theirs = (EfficientNetLite(0).eval() for _ in range(2))
    ours.load_pretrained(state, mean=0.2, std=0.7)
    theirs.load_state_dict(state, strict=False)
    pixels = torch.rand(1, 3, 32, 32) * 255
    with torch.no_grad():
        got, expected = ours.stem((pixels / 255 - 0.2) / 0.7), theirs.stem((pixels - 127) / 128)
    assert torch.allclose(got[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1], atol=1e-4)


def test_the_weights_of_another_variant_are_refused_with_the_layer() -> None:
    with pytest.raises(InvalidInput, match=r"not of this EfficientNet-Lite: layer blocks\.\d+"):
        EfficientNetLite(0).load_pretrained(random_state(2), 0.0, 1.0)


def test_weights_that_lack_a_layer_are_refused() -> None:
    state = random_state(0)
    del state["last.1.bias"]
    with pytest.raises(InvalidInput, match="tensors, expected"):
        EfficientNetLite(0).load_pretrained(state, 0.0, 1.0)


@pytest.mark.parametrize("broken", ["cut", "text", "list", "numbers"])
def test_a_file_that_is_no_state_dictionary_is_refused_by_name(tmp_path: Path, broken: str) -> None:
    path = saved(tmp_path, {"numbers": {"a": 1}, "list": [1]}.get(broken, random_state(0)))
    if broken == "cut":
        path.write_bytes(path.read_bytes()[:10_000])
    elif broken == "text":
        path.write_text("weights")
    with pytest.raises(InvalidInput, match=r"lite\.pth is no state dictionary") as caught:
        read_state(path)
    assert caught.value.reason == "WEIGHTS_NOT_A_STATE"
