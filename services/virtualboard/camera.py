"""What the camera of a virtual board makes of the picture before it: captures, network inputs, decoded QR codes.

Everything is deterministic: the same picture gives the same bytes. For QR codes the picture goes through a lens first
(tilted, blurred, noisy, low contrast), so the decoder works on pixels as a board's camera would give them.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np
import numpy.typing as npt
import zxingcpp
from PIL import Image, ImageFilter

from services.trainer.imaging import open_rgb, to_input

__all__ = ["CAPTURE_SIDE", "capture", "frame_id", "lens_cap", "network_input", "qr_picture", "scan"]

CAPTURE_SIDE = 224  # px; the K210 tools' habit (MaixPy capture_image_tool)
CAPTURE_QUALITY = 90  # JPEG
VIEW = (320, 240)  # px, QVGA: the frame in which the boards look for QR codes
TILT = 0.03  # of the view's width: how far the corners move
BLUR = 0.7  # px, Gaussian
NOISE = 6.0  # grey levels, standard deviation
ONLY_QR = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode])
CONTRAST = (40, 210)  # grey levels that black and white become


def capture(picture: bytes, width: int = CAPTURE_SIDE, height: int = CAPTURE_SIDE) -> bytes:
    """The JPEG of a press of the shutter: the whole picture, resized to `width` x `height` px."""
    out = io.BytesIO()
    resized = open_rgb(picture).resize((width, height), Image.Resampling.BILINEAR)
    resized.save(out, "JPEG", quality=CAPTURE_QUALITY)
    return out.getvalue()


def network_input(picture: bytes, width: int, height: int) -> npt.NDArray[np.uint8]:
    """The network input that a board makes of this picture: uint8 (3, height, width), RGB."""
    return to_input(picture, width, height)


def frame_id(pixels: npt.NDArray[np.uint8]) -> str:
    """Its name in RESULT: the first 8 bytes of SHA-256 of the network input, as 16 hex characters."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:16]


def scan(picture: bytes, look: int = 0) -> str | None:
    """One look for a QR code, None when none is read. `look` counts them: hand and noise differ a little each time."""
    codes = zxingcpp.read_barcodes(through_lens(open_rgb(picture), look), formats=ONLY_QR)
    return codes[0].text if codes else None


def through_lens(picture: Image.Image, look: int) -> npt.NDArray[np.uint8]:
    """Grey pixels (240, 320) of a camera held before `picture` by hand."""
    seed = hashlib.sha256(picture.tobytes()).digest()[:8]
    random = np.random.default_rng([int.from_bytes(seed, "big"), look])
    width, height = VIEW
    small = picture.convert("L")
    small.thumbnail((width - 20, height - 10), Image.Resampling.BOX)
    view = Image.new("L", VIEW, 128)
    view.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    shift = random.uniform(-TILT * width, TILT * width, 8)
    corners = np.array([0, 0, 0, height, width, height, width, 0]) + shift
    view = view.transform(VIEW, Image.Transform.QUAD, corners.tolist(), Image.Resampling.BILINEAR, fillcolor=128)
    grey = np.asarray(view.filter(ImageFilter.GaussianBlur(BLUR)), dtype=np.float64)
    dark, bright = CONTRAST
    grey = dark + grey * (bright - dark) / 255 + random.normal(0, NOISE, grey.shape)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def qr_picture(text: str) -> bytes:
    """PNG of a QR code with its quiet zone, level L: what a page would show for `text`."""
    code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="L")
    return as_png(Image.fromarray(np.array(code.to_image(scale=8), dtype=np.uint8)))


def lens_cap() -> bytes:
    """PNG of what a camera sees before anything is put there: black."""
    return as_png(Image.new("L", VIEW))


def as_png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
