"""Archives for tests, made in memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from PIL import Image, ImageDraw

Files = Mapping[str, bytes | str]
RED, BLUE = (220, 30, 30), (30, 60, 220)


def pack(files: Files) -> io.BytesIO:
    """A zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    out.seek(0)
    return out


def picture(
    seed: int = 0, size: tuple[int, int] = (80, 40), kind: str = "JPEG", mode: str = "RGB", **save: object
) -> bytes:
    """A red block in the upper left quarter; no two seeds alike."""
    image = Image.new("RGB", size, (seed * 7 % 256, 200, seed * 13 % 256))
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2 - 1, size[1] // 2 - 1), fill=RED)
    out = io.BytesIO()
    image.convert(mode).save(out, kind, **save)
    return out.getvalue()


def yolo(count: int = 3) -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {"set/data.yaml": "path: .\ntrain: images/train\nnames: [cat, dog]\n"}
    for seed in range(count):
        files[f"set/images/train/{seed}.jpg"] = picture(seed)
        files[f"set/labels/train/{seed}.txt"] = f"{seed % 2} 0.25 0.25 0.5 0.5\n"
    return files


def voc(name: str = "a", *, size: tuple[int, int] = (80, 40), box: tuple[object, ...] = (1, 1, 40, 20)) -> str:
    edges = "".join(f"<{tag}>{edge}</{tag}>" for tag, edge in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return (
        f"<annotation><filename>{name}.jpg</filename><size><width>{size[0]}</width><height>{size[1]}</height>"
        f"<depth>3</depth></size><object><name>cat</name><bndbox>{edges}</bndbox></object></annotation>"
    )
