"""Words of the box editor, of archives and of versions for detection."""

from __future__ import annotations

__all__ = ["BOXES"]

BOXES: dict[str, tuple[str, str]] = {
    "boxes.title": ("Boxes", "标注框"),
    "boxes.subtitle": (
        "Draw a box around every object that a detector should find.",
        "在检测模型需要找到的每个物体周围画一个框。",
    ),
    "boxes.open": ("Draw boxes", "画标注框"),
    "boxes.back": ("Data sets", "数据集"),
    "boxes.previous": ("Previous picture (left arrow)", "上一张（左方向键）"),
    "boxes.next": ("Next picture (right arrow)", "下一张（右方向键）"),
    "boxes.undo": ("Undo (Ctrl+Z)", "撤销（Ctrl+Z）"),
    "boxes.redo": ("Redo (Ctrl+Y)", "重做（Ctrl+Y）"),
    "boxes.remove": ("Delete the chosen box (Del)", "删除所选的框（Del）"),
    "boxes.nothing": ("Nothing here (0)", "没有物体 (0)"),
    "boxes.hint": (
        "Drag to draw, with Shift also inside another box. Keys 1 to 9 choose the label, left and right the picture. "
        "Every change is saved at once.",
        "拖动即可画框，按住 Shift 可在其他框内画框。数字键 1 至 9 选择标签，左右方向键切换图片，所有更改立即保存。",
    ),
    "boxes.new_label": ("New label", "新标签"),
    "boxes.add": ("Add", "添加"),
    "boxes.none": ("No pictures match", "没有符合条件的图片"),
    "boxes.saving": ("Saving …", "正在保存…"),
    "boxes.not_saved": ("Not saved.", "未保存。"),
    "boxes.no_label": ("Add a label first.", "请先添加标签。"),
    "boxes.not_boxed": ("No boxes drawn yet", "尚未画框"),
    "boxes.boxes": ("Boxes: {count}", "标注框：{count}"),
    "boxes.background": ("Nothing on it: background", "没有物体：背景"),
    "boxes.any": ("Boxes: all", "标注框：全部"),
    "boxes.with": ("Boxes drawn · {count}", "已画框 · {count}"),
    "boxes.without": ("No boxes yet · {count}", "未画框 · {count}"),
    "archives.choose": ("Choose a zip", "选择 zip 文件"),
    "archives.hint": (
        "A zip of labelled pictures is imported as well: YOLO, COCO, Pascal VOC, or one folder a label.",
        "也可导入带标注的 zip：YOLO、COCO、Pascal VOC，或每个标签一个文件夹。",
    ),
    "archives.importing": ("Importing {file} …", "正在导入 {file}…"),
    "archives.done": (
        "{form}: {imported} pictures imported with {boxes} boxes, {duplicates} were there already, {refused} refused",
        "{form}：已导入 {imported} 张图片和 {boxes} 个框，{duplicates} 张已存在，{refused} 张被拒绝",
    ),
    "archives.more": ("… and {count} more lines", "……另有 {count} 行"),
    "versions.task": ("For", "用途"),
    "versions.classification": ("Classification: the labelled pictures", "分类：已标注标签的图片"),
    "versions.detection": ("Detection: the pictures with boxes", "检测：已画框的图片"),
    "versions.tag": ("detection", "检测"),
    "versions.boxes": ("{boxes} boxes, {background} of background", "{boxes} 个框，{background} 张背景"),
    "versions.download": ("Download", "下载"),
}
