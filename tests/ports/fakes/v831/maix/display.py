"""maix.display."""

shown = []


def show(picture):
    shown.append(picture)
