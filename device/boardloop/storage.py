"""Files that a power cut at any moment leaves right.

A file is written under `<name>.new`, closed, then renamed: what carries its final name is whole. A JSON document that
is rewritten meets firmwares whose rename refuses an existing name (SPIFFS) or removes it first (FAT): the old one is
kept as `<name>.bak` meanwhile, and `load` takes the first of `<name>`, `.new`, `.bak` that parses: a JSON object cut
anywhere does not parse, because its last byte closes it.

Flat storage (SPIFFS) has no folders: `outbox/17.blc` becomes `outbox-17.blc`.
"""

try:
    import uos as os
except ImportError:
    import os
try:
    import ujson as json
except ImportError:
    import json

NEW, BAK = ".new", ".bak"


class Storage:
    """All paths of the board below `root`."""

    def __init__(self, root, flat):
        self.root = root
        self.flat = flat
        if not flat:
            self._folder(root)

    def _folder(self, path):
        try:
            os.mkdir(path)
        except OSError:
            os.listdir(path)  # it was there; anything else speaks up here

    def folder(self, name):
        """Make the folder `name` (nothing to do on flat storage)."""
        if not self.flat:
            self._folder(self.root + "/" + name)

    def path(self, name):
        return self.root + "/" + (name.replace("/", "-") if self.flat else name)

    def names(self, folder):
        """Names of the files in `folder`, in no order, one at a time: ten thousand captures do not fit into memory."""
        prefix = folder + "-" if self.flat else ""
        where = self.root if self.flat else self.root + "/" + folder
        entries = os.ilistdir(where) if hasattr(os, "ilistdir") else os.listdir(where)
        for entry in entries:
            name = entry if isinstance(entry, str) else entry[0]
            if name.startswith(prefix):
                yield name[len(prefix) :]

    def size(self, name):
        """Bytes of the file, -1 when there is none."""
        try:
            return os.stat(self.path(name))[6]
        except OSError:
            return -1

    def open(self, name, mode="rb"):
        return open(self.path(name), mode)

    def remove(self, name):
        """Remove the file if it is there."""
        try:
            os.remove(self.path(name))
        except OSError:
            if self.size(name) >= 0:
                raise

    def _rename(self, old, new):
        os.rename(self.path(old), self.path(new))
        self._sync_folder(new)

    def move(self, old, new):
        """Rename to a name that nothing has yet."""
        self._rename(old, new)

    def write(self, name, parts):
        """Write a new file whole or not at all. Raises OSError (disk full); nothing is left behind then."""
        try:
            f = self.open(name + NEW, "wb")
            try:
                for part in parts:
                    f.write(part)
                self._sync(f)
            finally:
                f.close()
            self._rename(name + NEW, name)
        except OSError:
            self.remove(name + NEW)
            raise

    def append(self, name, data):
        """Add to the end of a file, durable when it returns."""
        f = self.open(name, "ab")
        try:
            f.write(data)
            self._sync(f)
        finally:
            f.close()

    def _sync(self, f):
        f.flush()
        if hasattr(os, "fsync"):
            os.fsync(f.fileno())

    def _sync_folder(self, name):
        """The name of a new file is durable too: Linux keeps it in memory for seconds."""
        if hasattr(os, "fsync") and hasattr(os, "open"):
            path = self.path(name)
            folder = os.open(path[: path.rindex("/")] or "/", os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def finish(self, name, f):
        """Close the file `name` that was written through `open`; it is durable when this returns."""
        try:
            self._sync(f)
        finally:
            f.close()
        self._sync_folder(name)

    def save(self, name, document):
        """Replace a JSON document (a dict)."""
        text = json.dumps(document).encode()
        f = self.open(name + NEW, "wb")
        try:
            f.write(text)
            self._sync(f)
        finally:
            f.close()
        try:
            self._rename(name + NEW, name)
        except OSError:
            if self.size(name) < 0:
                raise
            self.remove(name + BAK)
            self._rename(name, name + BAK)
            self._rename(name + NEW, name)
        self.remove(name + BAK)

    def load(self, name):
        """The JSON document, {} when there is none. Finishes a `save` that a power cut stopped."""
        for candidate in (name, name + NEW, name + BAK):
            document = self._parse(candidate)
            if document is None:
                continue
            if candidate != name:
                self.remove(name)
                self._rename(candidate, name)
            self.remove(name + NEW)
            self.remove(name + BAK)
            return document
        return {}

    def _parse(self, name):
        if self.size(name) <= 0:
            return None
        try:
            with self.open(name) as f:
                document = json.loads(f.read().decode())
        except ValueError:  # cut, or not UTF-8
            return None
        return document if isinstance(document, dict) else None
