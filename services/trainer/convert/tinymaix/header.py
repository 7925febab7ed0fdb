"""The file as a C header, with the names that TinyMaix's examples use, and guards against a port that is too small."""

from __future__ import annotations

from services.trainer.convert.tinymaix.layers import HEAD_BYTES, MODEL_HEAD_BYTES, MdlType
from services.trainer.convert.tinymaix.limits import needs
from services.trainer.convert.tinymaix.reader import read

__all__ = ["c_header"]

BYTES_PER_LINE = 16


def c_header(data: bytes) -> str:
    """`mdl_data` with its buffer sizes; raises UnsupportedModel for a file TinyMaix could not run.

    MDL_BUF_LEN: bytes of the main buffer. LBUF_LEN: bytes that hold the head and the largest layer.
    """
    model = read(data)
    ends = [*model.starts[1:], len(data)]
    largest = max((end - start for start, end in zip(model.starts, ends, strict=True)), default=HEAD_BYTES)
    _, height, width, channels = model.in_dims
    outputs = model.out_dims[1:]
    kind = "TM_MDL_INT8" if model.mdl_type is MdlType.INT8 else "TM_MDL_FP32"
    lines = [
        "/* Written by Boardloop. Include tinymaix.h first. */",
        f"/* Input: RGB, {height} high, {width} wide, {channels} channels, one byte each, pixel by pixel (HWC). */",
        f"/* Output: float32 {outputs[0]} x {outputs[1]} x {outputs[2]} (h, w, c), before a softmax. */",
        "#ifndef __MODEL_FILE__H",
        "#define __MODEL_FILE__H",
        "",
        "#include <stdint.h>",
        *_guard("TM_MDL_TYPE", f"TM_MDL_TYPE != {kind}", f"this model needs TM_MDL_TYPE {kind} in tm_port.h"),
        *_guard("TM_FASTSCALE", "TM_FASTSCALE", "this model needs TM_FASTSCALE 0 in tm_port.h"),
    ]
    for macro, need in needs(model).items():
        lines += _guard(macro, f"{macro} < {need.value}", f"this model needs {macro} {need.value} in tm_port.h")
    lines += [
        f"#define MDL_BUF_LEN ({model.buf_size})",
        f"#define LBUF_LEN ({MODEL_HEAD_BYTES + largest})",
        f"#define MDL_PREPROCESS (TMPP_{model.preprocess.name})",
        "#ifdef __GNUC__",
        "__attribute__((aligned(8)))",
        "#endif",
        f"const uint8_t mdl_data[{len(data)}] = {{",
        *_rows(data),
        "};",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _guard(macro: str, condition: str, message: str) -> list[str]:
    return [f"#if defined({macro}) && ({condition})", f'#error "{message}"', "#endif"]


def _rows(data: bytes) -> list[str]:
    return [
        "  0x" + data[i : i + BYTES_PER_LINE].hex(" ").replace(" ", ", 0x") + ","
        for i in range(0, len(data), BYTES_PER_LINE)
    ]
