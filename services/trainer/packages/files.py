"""files: what the target's own tools read, with the labels, the report and a page on what to do next."""

from __future__ import annotations

from services.trainer.convert import TARGETS
from services.trainer.packages.content import Package, PackageContent
from services.trainer.packages.report import labels_txt, report_json

__all__ = ["PACKAGE"]

OWN_ZIP = ("kmodel_v3", "awnn_int8")

# What loads the files of a format; the converter's own notes say what goes in and comes out.
NEXT = {
    "kmodel_v5": (
        "A firmware built on the nncase runtime that the target names loads it; CanMV's branch feat/kpu has\n"
        "KPU().load(path), run(image), get_outputs([0]). The stock images of MaixPy-v1 and CanMV do not load kmodel V5."
    ),
    "ncnn": "ncnn::Net: load_param, load_model; an Extractor's input and extract take the blob names that .param has.",
    "tinymaix": (
        "TinyMaix: include the .h, whose first lines say what tm_port.h must set, or read the .tmdl into memory; then\n"
        "tm_load, tm_preprocess and tm_run, as in TinyMaix's examples."
    ),
    "onnx": (
        "Python:   onnxruntime.InferenceSession(path).run(None, {name: array})\n"
        "Browser:  (await ort.InferenceSession.create(path)).run({name: tensor}), of onnxruntime-web"
    ),
}


def _contents(content: PackageContent) -> dict[str, bytes]:
    files = {name: data for name, data in content.unpacked().items() if name not in ("report.json", "labels.txt")}
    return {
        "README.txt": _readme(content, sorted(files)).encode(),
        **files,
        "labels.txt": labels_txt(content),
        "report.json": report_json(content),
    }


def _readme(content: PackageContent, names: list[str]) -> str:
    target, spec = TARGETS[content.target], content.input
    output = f"{len(content.labels)} logits, one per label in the order of labels.txt: softmax makes probabilities."
    if content.anchors:
        output = "the last map of a YOLOv2 detector: per anchor x, y, w, h, objectness and one logit per label."
    notes = "".join(f"* {note}\n" for note in (*content.report.get("notes", ()), *content.report.get("warnings", ())))
    return (
        f"{content.name}, made by Boardloop for {content.target}\n"
        f"{target.describe()}\n\n"
        f"Files:  {', '.join(names)}\n"
        f"Input:  RGB, {spec.height} high, {spec.width} wide, trained as x = (pixel/255 - mean) / std\n"
        f"        mean {spec.mean}, std {spec.std}\n"
        f"Output: {output}\n\n"
        f"{NEXT.get(target.format, 'The board of your own loads it.')}\n\n{notes}{notes and chr(10)}"
        "report.json says how the file was converted and how its answers compare with the float network's.\n"
    )


PACKAGE = Package("files", "-files.zip", lambda target: target.format not in OWN_ZIP, _contents)
