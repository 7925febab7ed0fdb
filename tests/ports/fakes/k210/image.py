"""image.Image of the K210 firmwares: RGB565 pixels, a second planar buffer, JPEG in place, memory that is shared."""

import uctypes

JPEG = b"\xff\xd8 jpeg of "


class Code:
    def __init__(self, text):
        self.text = text

    def payload(self):
        return self.text


class Image:
    """`address` is where the C object would lie: type, w, h, bpp, pixels*, pix_ai* (imdefs.h)."""

    def __init__(self, path=None, size=None, memory=None):
        self.w, self.h = size
        self.memory = memory if memory is not None else bytearray(2 * self.w * self.h)
        self.pix_ai = None
        self.jpeg_size = 0
        self.codes = []
        self.drawn = []
        self.object = bytearray(40)
        self.address = uctypes.addressof(self.object)
        self.object[8:16] = self.w.to_bytes(4, "little") + self.h.to_bytes(4, "little")

    def width(self):
        return self.w

    def height(self):
        return self.h

    def pix_to_ai(self):
        if self.pix_ai is None:
            self.give_ai(bytearray(3 * self.w * self.h))
        for i in range(self.w * self.h):  # what RGB565 leaves of the colours
            pixel = self.memory[2 * i] << 8 | self.memory[2 * i + 1]
            for plane, value in enumerate((pixel >> 11 << 3, pixel >> 5 & 0x3F << 2, (pixel & 0x1F) << 3)):
                self.pix_ai[plane * self.w * self.h + i] = value & 0xFF

    def give_ai(self, buffer):
        self.pix_ai = buffer
        self.object[32:40] = uctypes.addressof(buffer).to_bytes(8, "little")

    def resize(self, width, height):
        assert not self.jpeg_size
        small = Image(size=(width, height))  # without pix_ai, as in the firmware
        small.memory[:] = bytes([self.memory[0]]) * len(small.memory)
        return small

    def draw_string(self, x, y, text, color, scale=1):
        """The built-in font has the signs from blank to ~; of others the firmware draws boxes."""
        assert all(" " <= sign <= "~" for sign in text), text
        self.drawn.append((x, y, text))

    def draw_rectangle(self, x, y, w, h, color):
        assert all(isinstance(side, int) for side in (x, y, w, h))
        self.drawn.append((x, y, w, h))

    def compress(self, quality=50):
        """In place: from here on the picture is a JPEG and no pixels."""
        data = JPEG + bytes([self.memory[0], quality])
        self.memory[: len(data)] = data
        self.jpeg_size = len(data)
        return self

    def to_bytes(self):
        """The firmware's memory itself, not a copy."""
        return uctypes.bytearray_at(uctypes.addressof(self.memory), self.jpeg_size or len(self.memory))

    def find_qrcodes(self):
        assert not self.jpeg_size
        return self.codes
