"""The changes of training pictures: a name and one sentence for each kind, and for how often it happens."""

from __future__ import annotations

__all__ = ["CHANGES"]

# kind: English, Chinese, how often by default
_OFTEN = {
    "flip_horizontal": ("Mirror left and right", "左右翻转", 0.5),
    "flip_vertical": ("Mirror up and down", "上下翻转", 0.5),
    "quarter_turns": ("Quarter turns", "直角旋转", 1),
    "rotate": ("Turn", "旋转", 1),
    "shift": ("Shift", "平移", 1),
    "zoom": ("Zoom", "缩放", 1),
    "crop": ("Crop", "裁剪", 0.5),
    "brightness": ("Brightness", "亮度", 1),
    "contrast": ("Contrast", "对比度", 1),
    "colour": ("Colour", "色彩", 1),
    "hue": ("Hue", "色相", 0.5),
    "saturation": ("Saturation", "饱和度", 0.5),
    "blur": ("Blur", "模糊", 0.5),
    "noise": ("Noise", "噪声", 0.5),
    "jpeg": ("JPEG artefacts", "JPEG 失真", 0.5),
    "nearest": ("Dropped pixels", "丢弃像素", 0.5),
    "erase": ("Cut-out", "随机擦除", 0.5),
    "mixup": ("Mixup", "图片混合", 0.5),
    "mosaic": ("Mosaic", "马赛克拼图", 0.5),
}
_NAMED = {
    "crop": (
        "Up to this share of each side is cut away, which also changes the proportions; default 0.",
        "每边最多裁去这一比例，比例也随之改变；默认 0。",
    ),
    "colour": (
        "Red, green and blue harder or softer by up to this share, each on its own, as under other lamps; default 0.",
        "红、绿、蓝各自增强或减弱不超过这一比例，如同不同灯光；默认 0。",
    ),
    "hue": ("Colours turn by up to so many degrees; default 0.", "颜色最多转动这么多度；默认 0。"),
    "saturation": (
        "More or less colourful by up to this share; default 0.",
        "色彩变浓或变淡不超过这一比例；默认 0。",
    ),
    "blur": (
        "Out of focus: a Gaussian of up to so many pixels; default 0.",
        "失焦：最多这么多像素的高斯模糊；默认 0。",
    ),
    "noise": (
        "Grain of up to this share of white, as a small sensor has in the dark; default 0.",
        "噪点不超过白色的这一比例，如小型传感器在暗处；默认 0。",
    ),
    "jpeg": (
        "Up to this share of the JPEG quality is lost: blocks and smeared colours; default 0.",
        "JPEG 质量最多损失这一比例：出现方块和色彩涂抹；默认 0。",
    ),
    "nearest": (
        "Up to this share of rows and columns is dropped, as boards do when they shrink a frame; default 0.",
        "最多丢弃这一比例的行和列，与开发板缩小画面时相同；默认 0。",
    ),
    "mixup": (
        "Up to this share of another picture shines through, with its label in the same share; for classifiers only; "
        "default 0.",
        "叠加另一张图片，最多占这一比例，标签按同样比例混合；仅用于图像分类；默认 0。",
    ),
    "mosaic": (
        "Parts of four pictures in one, for detections only; default off.",
        "将四张图片的局部拼成一张，仅用于目标检测；默认关闭。",
    ),
}

CHANGES: dict[str, tuple[str, str]] = {
    **{f"training.{kind}": _OFTEN[kind][:2] for kind in _NAMED},
    **{f"training.{kind}_help": sentence for kind, sentence in _NAMED.items()},
    **{f"training.{kind}_probability": (f"{en}: how often", f"{zh}：概率") for kind, (en, zh, _) in _OFTEN.items()},
    **{
        f"training.{kind}_probability_help": (
            f"The chance that a picture gets it each time it is seen; default {often:g}.",
            f"每次使用图片时发生的概率；默认 {often:g}。",
        )
        for kind, (_, _, often) in _OFTEN.items()
    },
    "training.how_often": ("How often", "概率"),
    "training.preview": ("Preview", "预览"),
    "training.preview_help": (
        "Your pictures, left as they are, then as the training will see them. Again: other draws.",
        "左边是原图，右边是训练时看到的样子。再次点击：重新随机。",
    ),
    "training.preview_original": ("background", "背景"),
    "training.least_visible": ("Least of a box", "标框最少可见"),
    "training.least_visible_help": (
        "A box of which less than this share is left after the changes goes; default 0.4.",
        "增强之后可见部分少于这一比例的标框会被去掉；默认 0.4。",
    ),
    "training.skip_unreadable": ("Leave out unreadable pictures", "跳过无法读取的图片"),
    "training.skip_unreadable_help": (
        "Pictures that cannot be read are left out and named in the log; default off: they end the job.",
        "无法读取的图片会被跳过并写入日志；默认关闭：遇到时任务结束。",
    ),
}
