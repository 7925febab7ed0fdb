"""Pictures unlike the calibration images, made of them: what a network may see that those few do not show.

Rounding weights for the calibration images helps half as much on photographs of other scenes: their channels vary
together in other ways. Turned, mirrored, with colours exchanged and light made dark, the same images excite other
channels (measured with ImageNet weights: 0.2 dB of the outputs), and they only run in float.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["variations"]

LARGEST = 128  # pixels high and wide: larger ones cost more time than they tell


def variations(images_u8: npt.NDArray[np.uint8], last_height: int, last_width: int) -> npt.NDArray[np.float32]:
    """One of every image (n, c, h, w), 0 to 255, always the same; at most LARGEST high and wide.

    `last_height`, `last_width` of the network's last map: sizes that stay even before every stride 2 for the images do
    so for the variations.
    """
    _, channels, height, width = images_u8.shape
    size = _smaller(height, last_height), _smaller(width, last_width)
    rng = np.random.default_rng(0)
    varied = []
    for image in _resized(images_u8, size):
        x = image[rng.permutation(channels)]
        if rng.random() < 0.5:
            x = 255 - x
        turns = int(rng.integers(4))
        x = np.rot90(x, turns if size[0] == size[1] else turns // 2 * 2, (1, 2))
        varied.append(x[:, :, ::-1] if rng.random() < 0.5 else x)
    return np.stack(varied)


def _smaller(length: int, last: int) -> int:
    return length // last * max(min(last, LARGEST * last // length), 1)


def _resized(images_u8: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    import torch
    import torch.nn.functional as F

    resized: npt.NDArray[np.float32] = F.interpolate(torch.from_numpy(images_u8).float(), size, mode="area").numpy()
    return resized
