"""Every sentence of "Try it" on a model's page."""

from __future__ import annotations

__all__ = ["TRYING"]

TRYING: dict[str, tuple[str, str]] = {
    "try.title": ("Try it", "试一试"),
    "try.help": (
        "Ask the model about a picture. The data set’s own pictures it may know from its training; new ones tell more.",
        "让模型识别一张图片。数据集中的图片可能参与过训练，新图片更能说明问题。",
    ),
    "try.choose": ("Choose a picture", "选择图片"),
    "try.photo": ("Take a photo", "拍照"),
    "try.invite": (
        "Drop a JPEG or PNG here, choose one, or take one of the data set’s above.",
        "把 JPEG 或 PNG 拖到这里，选择文件，或点击上方数据集中的图片。",
    ),
    "try.more": ("More", "更多"),
    "try.confidence": ("Confidence from", "置信度下限"),
    "try.asking": ("Asking …", "识别中……"),
    "try.input": ("as the network sees it", "网络看到的图片"),
    "try.truth": ("labelled “{label}” in the data set", "数据集中的标签：“{label}”"),
    "try.time": ("{ms} ms", "{ms} 毫秒"),
    "try.time_help": (
        "The time is that of the network on this server; a converted file runs in its chip’s simulator. It says "
        "nothing about the speed of a board.",
        "时间为网络在本服务器上的用时；转换后的文件在芯片模拟器中运行，与开发板的速度无关。",
    ),
    "try.rest": ("and {count} more", "另有 {count} 项"),
    "try.nothing": (
        "Nothing found. A lower confidence shows what it is less sure of.",
        "未找到目标。降低置信度可显示更多。",
    ),
    "try.PICTURE_BROKEN": (
        "“{file}” is no whole JPEG or PNG picture. Send it again if it was cut off; save other kinds (HEIC, WebP) as "
        "JPEG first.",
        "“{file}” 不是完整的 JPEG 或 PNG 图片。若文件不完整请重新获取；其他格式（HEIC、WebP）请先另存为 JPEG。",
    ),
    "try.PICTURE_TOO_LARGE": (
        "“{file}” is too large: at most 16 MiB, 32 million pixels and 64 scans. Save it smaller and choose it again.",
        "“{file}” 过大：最多 16 MiB、3200 万像素、64 次扫描。请缩小后重新选择。",
    ),
    "try.MODEL_NOT_FOUND": ("The model was deleted.", "该模型已被删除。"),
    "try.FILE_NOT_FOUND": (
        "The model has no such file any more. Load the page again.",
        "该模型的这个文件已不存在。请刷新页面。",
    ),
    "try.LOGIN_REQUIRED": ("You are no longer logged in. Load the page again.", "登录已失效。请刷新页面。"),
    "try.SERVICE_UNAVAILABLE": (
        "The trainer does not answer. See that it runs, then try again.",
        "训练服务没有响应。请确认其正在运行后重试。",
    ),
    "try.DEADLINE_EXCEEDED": (
        "The trainer took too long: it may be busy with a training. Try again.",
        "训练服务响应超时，可能正在训练。请重试。",
    ),
}
