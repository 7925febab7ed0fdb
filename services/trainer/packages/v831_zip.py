"""v831-zip: the files that MaixHub's app on a V831 unpacks into models/<id>/, and a main.py that needs no app.

The app wants a .mud and report.json in the archive's top folder and loads `model.mud` from there; `nn.load` takes the
same settings as a dict, which main.py does: the .mud parser of libmaix has narrow buffers.
"""

from __future__ import annotations

from services.trainer.convert.awnn.container import parse
from services.trainer.packages.content import Package, PackageContent
from services.trainer.packages.program import program, shown_names
from services.trainer.packages.report import labels_txt, report_json

__all__ = ["PACKAGE"]


def _contents(content: PackageContent) -> dict[str, bytes]:
    content.check_cells()  # MaixHub's app has no other way to know them
    files = content.unpacked()
    names = [f"{content.stem}.{kind}" for kind in ("param", "bin", "mud")]
    return {
        "main.py": _main(content, names[0], names[1]),
        **{name: files[name] for name in names},
        "labels.txt": labels_txt(content),
        "report.json": report_json(content),
    }


def _main(content: PackageContent, param: str, weights: str) -> bytes:
    files, options = parse(content.data).nn_load(param, weights)
    settings = {
        "MODEL": files,
        "OPTIONS": options,
        "LABELS": list(content.labels),
        "NAMES": shown_names(content.labels),
        "INPUT": (content.input.width, content.input.height),
    }
    if content.anchors:
        return program("v831_detect.py", {**settings, "ANCHORS": list(content.flat_anchors)})
    return program("v831_classify.py", settings)


PACKAGE = Package("v831-zip", "-v831.zip", lambda target: target.format == "awnn_int8", _contents)
