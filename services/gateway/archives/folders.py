"""Classification: one folder a label (train/cat/1.jpg, cat/1.jpg)."""

from __future__ import annotations

from services.gateway.archives.entries import Entry, Finder, Parsed
from services.gateway.archives.opening import Archive

__all__ = ["read_folders"]

NO_LABEL = {"images", "jpegimages", "train", "val", "valid", "validation", "test"}  # folders that every form has


def read_folders(archive: Archive) -> Parsed | None:
    """Every picture's folder is its label; in no folder, or one of a data set's own, it has none. None without any."""
    pictures = Finder(archive).pictures
    if not pictures:
        return None
    entries = [Entry(name, label=_label(name)) for name in pictures]
    bare = sum(not entry.label for entry in entries)
    notes = [("", f"{bare} pictures lie in no folder of a label: they come without one")] if bare else []
    return Parsed("folders", lambda: entries, (), notes)


def _label(name: str) -> str:
    folders = name.split("/")[:-1]
    label = folders[-1].strip() if folders else ""
    return "" if label.lower() in NO_LABEL else label
