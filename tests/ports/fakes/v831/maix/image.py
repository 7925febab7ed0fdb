"""maix.image: RGB pixels; the first pixel is (scene, scene + 1, scene + 2)."""


class Image:
    def __init__(self, size, first=0):
        self.size = size
        self.first = first
        self.codes = []
        self.drawn = []

    def resize(self, width, height):
        return Image((width, height), self.first)

    def tobytes(self, format="rgb"):
        if format == "jpg":
            return b"\xff\xd8 jpeg"
        count = self.size[0] * self.size[1]
        return bytes([self.first, self.first + 1, self.first + 2]) * count

    def draw_string(self, x, y, text, color, scale=1):
        self.drawn.append((y, text))

    def draw_rectangle(self, x1, y1, x2, y2, color, thickness=1):
        self.drawn.append((x1, y1, x2, y2))

    def find_qrcodes(self):
        return self.codes


def new(size, color, mode):
    return Image(size)
