"""The display; refuses a picture that has been compressed, of which the firmware would show noise."""

lines = []
pictures = []


def init():
    pass


def clear(colour):
    lines.clear()


def display(picture):
    assert not picture.jpeg_size, "display after compress"
    pictures.append(picture)


def draw_string(x, y, text, colour, background):
    lines.append((x, y, text))
