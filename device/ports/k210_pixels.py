"""The network input inside a firmware picture, byte by byte.

A picture's pixels are RGB565, but the KPU reads its second buffer, `pix_ai`: u8 planar, made by `pix_to_ai` or by the
camera itself. Python has no name for it; `uctypes` reaches it through the picture object (py_image.c and imdefs.h, the
same in MaixPy-v1 d8901fd and CanMV 8633336; 64-bit pointers). Never run on hardware; in particular, whether the CPU's
cache shows what the camera wrote by DMA is not known.

    id(picture) ->  +0 type*   +8 w i32   +12 h i32   +16 bpp i32   +24 pixels*   +32 pix_ai*
"""

import uctypes

WIDTH_AT, HEIGHT_AT, PLANES_AT = 8, 12, 32


def number_at(address, size):
    return int.from_bytes(bytes(uctypes.bytearray_at(address, size)), "little")


def planes(picture):
    """u8 (3 x height x width), a bytearray over the firmware's own memory. OSError when the layout is another."""
    here = id(picture)
    width, height = picture.width(), picture.height()
    at = number_at(here + PLANES_AT, 8)
    if (number_at(here + WIDTH_AT, 4), number_at(here + HEIGHT_AT, 4)) != (width, height) or not at:
        raise OSError("this firmware lays its pictures out otherwise")
    return uctypes.bytearray_at(at, 3 * width * height)
