"""A storage in memory that loses power where a test wants it to."""

from boardloop import storage


class PowerCut(BaseException):
    pass


class Card:
    """A storage in memory that loses power at the n-th operation; a write is then half there.

    kind: "posix" (rename replaces), "refuse" (rename to an existing name fails: SPIFFS), "fat" (MicroPython's FAT
    driver removes the old file, then renames: two operations).
    """

    def __init__(self, kind):
        self.kind = kind
        self.files = {}
        self.left = 0

    def burn(self):
        self.left -= 1
        if self.left == 0:
            raise PowerCut()

    def mkdir(self, path):
        pass

    def listdir(self, path):
        return [name[len(path) + 1 :] for name in self.files if name.startswith(path + "/")]

    def stat(self, path):
        if path not in self.files:
            raise OSError(2)
        return (0, 0, 0, 0, 0, 0, len(self.files[path]))

    def remove(self, path):
        self.stat(path)
        self.burn()
        del self.files[path]

    def rename(self, old, new):
        self.stat(old)
        self.burn()
        if new in self.files and self.kind == "refuse":
            raise OSError(17)
        if new in self.files and self.kind == "fat":
            del self.files[new]
            self.burn()
        self.files[new] = self.files.pop(old)
        self.burn()

    def open(self, path, mode="rb"):
        if "w" in mode:
            self.burn()
            self.files[path] = b""
        elif path not in self.files:
            if mode == "rb":
                raise OSError(2)
            self.files[path] = b""
        return File(self, path)


class File:
    def __init__(self, card, path):
        self.card, self.path, self.at = card, path, 0

    def write(self, data):
        half = bytes(data)[: len(data) // 2]
        if self.card.left == 1:
            self.card.files[self.path] += half
        self.card.burn()
        self.card.files[self.path] += bytes(data)

    def read(self, count=-1):
        data = self.card.files[self.path][self.at :]
        if count >= 0:
            data = data[:count]
        self.at += len(data)
        return data

    def seek(self, at):
        self.at = at

    def flush(self):
        pass

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def insert(card, flat=False):
    """The core's files are on this card from now on -> Storage."""
    storage.os = card
    storage.open = card.open
    return storage.Storage("/card", flat)
