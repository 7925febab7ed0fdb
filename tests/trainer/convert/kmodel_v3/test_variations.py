from __future__ import annotations

import numpy as np

from services.trainer.convert.kmodel_v3.variations import variations


def images(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 3, height, width)).astype(np.uint8)


def test_there_is_one_variation_of_every_image_and_always_the_same() -> None:
    varied = variations(images(64, 64), 4, 4)
    assert varied.shape == (6, 3, 64, 64) and varied.min() >= 0 and varied.max() <= 255
    assert np.array_equal(varied, variations(images(64, 64), 4, 4))


def test_sizes_stay_even_before_every_stride() -> None:
    """224 by five strides of 2 is 7: sizes are whole multiples of 32."""
    assert variations(images(224, 224), 7, 7).shape[2:] == (128, 128)
    assert variations(images(96, 320), 3, 10).shape[2:] == (96, 128)


def test_some_are_turned_or_have_other_colours_and_some_are_negatives() -> None:
    picture = np.zeros((24, 3, 8, 8), np.uint8)
    picture[:, 0, :, :4] = 250
    varied = variations(picture, 4, 4)
    bright = varied.reshape(24, 3, 64) > 125
    assert len({part.tobytes() for part in bright}) > 8
    assert 4 < (bright.mean((1, 2)) > 0.5).sum() < 20
