"""What a person is told before a training: networks that fit, and the pre-flight check."""

from __future__ import annotations

__all__ = ["PREFLIGHT"]

PREFLIGHT: dict[str, tuple[str, str]] = {
    "training.allow_oversize_help": (
        "Convert also what a full firmware has no memory for; default off.",
        "即使完整固件内存不足也转换；默认关闭。",
    ),
    "networks.title": ("Networks for this chip, estimated before any training", "适合此芯片的网络（训练前估算）"),
    "networks.more": ("More networks", "更多网络"),
    "networks.recommended": ("recommended", "推荐"),
    "networks.refused": ("does not fit", "不适合"),
    "networks.file": ("file {size}", "文件 {size}"),
    "networks.of": (" of {budget}", "（共 {budget}）"),
    "networks.work": ("{millions} million multiply-adds", "{millions} 百万次乘加"),
    "networks.speed": ("{times} times the speed", "速度 {times} 倍"),
    "networks.best": (
        "Of those that fit with room to spare it should see the most.",
        "在有余量的网络中，它看得最细。",
    ),
    "networks.pretrained": (
        "Starts from ImageNet weights, which counts most while pictures are few.",
        "从 ImageNet 权重开始，图片少时最有用。",
    ),
    "networks.scratch": (
        "Starts from random weights: it needs many more pictures to become as good.",
        "从随机权重开始：需要更多图片才能达到同样效果。",
    ),
    "networks.tight": (
        "Fits only where little else needs memory, a minimum firmware say.",
        "只有在内存占用少的固件（如最小固件）上才放得下。",
    ),
    "networks.dense": (
        "The chip has no depthwise convolutions; they become dense ones, many times larger.",
        "芯片不支持深度卷积，要变成大很多倍的普通卷积。",
    ),
    "networks.slow": (
        "Much work for such a board: try its speed before you decide.",
        "对这种板子计算量较大：决定前请先试速度。",
    ),
    "preflight.split_empty": (
        "The version has no {split} pictures.",
        "此版本没有 {split} 图片。",
    ),
    "preflight.split_empty_fix": (
        "Make a version with more captures or another share.",
        "用更多图片或其他比例重新创建版本。",
    ),
    "preflight.one_label": (
        "All pictures have one label: {label}.",
        "所有图片只有一个标签：{label}。",
    ),
    "preflight.one_label_fix": (
        "Collect captures of at least two labels.",
        "至少采集两个标签的图片。",
    ),
    "preflight.no_boxes": (
        "No picture of the version has a box.",
        "此版本的图片没有任何框。",
    ),
    "preflight.no_boxes_fix": (
        "Draw boxes on the page Data sets, then make a new version.",
        "在数据集页面画框，然后新建版本。",
    ),
    "preflight.unreadable": (
        "{count} pictures cannot be read: {first}",
        "{count} 张图片无法读取：{first}",
    ),
    "preflight.unreadable_fix": (
        "Delete these captures and make a new version, or switch on that unreadable pictures are left out.",
        "删除这些图片并新建版本，或开启“跳过无法读取的图片”。",
    ),
    "preflight.left_out": (
        "{count} pictures cannot be read and will be left out: {first}",
        "{count} 张图片无法读取，将被跳过：{first}",
    ),
    "preflight.left_out_fix": (
        "Nothing needs to be done; deleting these captures and making a new version ends the warning.",
        "无需处理；删除这些图片并新建版本后不再提示。",
    ),
    "preflight.unfetched": (
        "The pictures cannot be fetched: {failure}",
        "无法取得图片：{failure}",
    ),
    "preflight.unfetched_fix": (
        "Delete a capture that is damaged and make a new version.",
        "删除损坏的图片并新建版本。",
    ),
    "preflight.network": ("The network cannot be converted: {reason}", "网络无法转换：{reason}"),
    "preflight.network_fix": (
        "Choose a network of the list that fits.",
        "请从列表中选择合适的网络。",
    ),
    "preflight.oversize": (
        "Its size is allowed although: {reason}",
        "虽已允许，但：{reason}",
    ),
    "preflight.oversize_fix": (
        "Load it on a minimum firmware only.",
        "只在最小固件上使用。",
    ),
    "preflight.size_unknown": (
        "The size of the file is not known: {reason}",
        "文件大小未知：{reason}",
    ),
    "preflight.size_unknown_fix": (
        "The training can start all the same.",
        "仍可开始训练。",
    ),
    "preflight.from_scratch": (
        "There are no ImageNet weights for {backbone}: it starts from random ones and needs many more pictures.",
        "{backbone} 没有 ImageNet 权重：从随机权重开始，需要更多图片。",
    ),
    "preflight.from_scratch_fix": (
        "Choose a MobileNetV1, or train on from a model.",
        "选择 MobileNetV1，或从已有模型继续训练。",
    ),
    "preflight.label_unused": (
        "Label {label} has no picture in this version.",
        "标签 {label} 在此版本中没有图片。",
    ),
    "preflight.label_unused_fix": (
        "The model will not know it; collect some.",
        "模型不会认识它；请采集一些。",
    ),
    "preflight.never_trained": (
        "Label {label} is only in the validation pictures ({count}).",
        "标签 {label} 只出现在验证图片中（{count}）。",
    ),
    "preflight.never_trained_fix": (
        "Collect more of it and make a new version.",
        "多采集一些并新建版本。",
    ),
    "preflight.few_pictures": (
        "Label {label} has {count} to train on; below {few} chance decides.",
        "标签 {label} 只有 {count} 个用于训练；少于 {few} 个全凭运气。",
    ),
    "preflight.few_pictures_fix": (
        "Collect more of it.",
        "请多采集一些。",
    ),
    "preflight.never_validated": (
        "Label {label} has no validation picture: how well it is told nobody will know.",
        "标签 {label} 没有验证图片：无法知道识别效果。",
    ),
    "preflight.never_validated_fix": (
        "Collect more of it, or take a larger validation share.",
        "多采集一些，或加大验证比例。",
    ),
    "preflight.imbalance": (
        "There are {ratio} times as many of {most} as of {least}.",
        "{most} 的数量是 {least} 的 {ratio} 倍。",
    ),
    "preflight.imbalance_fix": (
        "Switch on Balance labels, or collect more of {least}.",
        "打开“平衡标签”，或多采集 {least}。",
    ),
    "preflight.tiny_boxes": (
        "{share} of the boxes are below {pixels} pixels at the network's input.",
        "{share} 的框在网络输入中小于 {pixels} 像素。",
    ),
    "preflight.tiny_boxes_fix": (
        "Take a larger input, or go nearer with the camera.",
        "加大输入尺寸，或把相机靠近一些。",
    ),
    "preflight.background": (
        "{share} of the pictures have no box.",
        "{share} 的图片没有框。",
    ),
    "preflight.background_fix": (
        "Leave some of them out, or draw the boxes that are missing.",
        "去掉一些，或补画缺少的框。",
    ),
    "preflight.tiny": (
        "{count} pictures are smaller than 32 pixels.",
        "{count} 张图片小于 32 像素。",
    ),
    "preflight.tiny_fix": (
        "Delete them: there is nothing to learn from.",
        "请删除：从中学不到东西。",
    ),
    "preflight.huge": (
        "{count} pictures have over 4 megapixels, and decoding them takes longer than learning.",
        "{count} 张图片超过 400 万像素，解码比学习更慢。",
    ),
    "preflight.huge_fix": (
        "Make them smaller before you upload them.",
        "上传前请先缩小。",
    ),
    "preflight.smaller": (
        "{share} of the pictures are less than half as large as the input {input}.",
        "{share} 的图片不到输入 {input} 的一半大。",
    ),
    "preflight.smaller_fix": (
        "Take a smaller input: it runs faster and sees as much.",
        "选择更小的输入：更快，效果一样。",
    ),
    "preflight.stretched": (
        "{share} of the pictures have another shape than the input {input} and are stretched.",
        "{share} 的图片与输入 {input} 的形状不同，会被拉伸。",
    ),
    "preflight.stretched_fix": (
        "Board and training stretch alike; choose an input of their shape where there is one.",
        "板子与训练的拉伸一致；如有相同形状的输入，请选择它。",
    ),
    "preflight.conflict": (
        "{count} times the same picture has two labels.",
        "有 {count} 次同一张图片有两个标签。",
    ),
    "preflight.conflict_fix": (
        "Keep the right one of each.",
        "每张只保留正确的那个。",
    ),
    "preflight.leak": (
        "{count} validation pictures ({share}) are also training pictures: the accuracy will look too good.",
        "{count} 张验证图片（{share}）同时也是训练图片：准确率会偏高。",
    ),
    "preflight.leak_fix": (
        "Delete the doubles and make a new version.",
        "删除重复图片并新建版本。",
    ),
    "preflight.near_leak": (
        "{count} validation pictures ({share}) hardly differ from training pictures: the accuracy will look too good.",
        "{count} 张验证图片（{share}）与训练图片几乎相同：准确率会偏高。",
    ),
    "preflight.near_leak_fix": (
        "Take pictures further apart in time, or of other things.",
        "请间隔更久再拍，或拍其他物体。",
    ),
    "preflight.unlabelled": (
        "{count} captures of the project have no label; they are left out.",
        "项目中有 {count} 张图片没有标签，不参加训练。",
    ),
    "preflight.unlabelled_fix": (
        "Label them on the page Data sets, then make a new version.",
        "在数据集页面标注，然后新建版本。",
    ),
    "preflight.sample": (
        "{count} of {total} pictures were looked at.",
        "检查了 {total} 张中的 {count} 张图片。",
    ),
    "preflight.sample_fix": (
        "They are a random sample; the rest is most likely alike.",
        "这是随机样本，其余很可能类似。",
    ),
    "preflight.disk_full": (
        "The training needs {needed} MiB of disk, and {free} MiB are free.",
        "训练需要 {needed} MiB 磁盘空间，只剩 {free} MiB。",
    ),
    "preflight.disk_full_fix": (
        "Make room on the server's disk.",
        "请清理服务器磁盘。",
    ),
    "preflight.ui.title": ("Before it starts", "开始之前"),
    "preflight.ui.check": ("Check", "检查"),
    "preflight.ui.checking": ("Looking at the pictures …", "正在检查图片……"),
    "preflight.ui.good": ("Nothing stands in the way.", "没有问题。"),
    "preflight.ui.label": ("Label", "标签"),
    "preflight.ui.train": ("Train", "训练"),
    "preflight.ui.validation": ("Validation", "验证"),
    "preflight.ui.error": ("error", "错误"),
    "preflight.ui.warning": ("warning", "警告"),
    "preflight.ui.note": ("note", "提示"),
    "preflight.ui.time": (
        "About {time} at {rate} pictures/s, an estimate from a few steps just now.",
        "约 {time}，每秒 {rate} 张（刚才几步的估计）。",
    ),
    "preflight.ui.time_job": (
        "About {time} at {rate} pictures/s, as an earlier training had.",
        "约 {time}，每秒 {rate} 张（来自之前的训练）。",
    ),
    "preflight.ui.disk": ("Needs {needed} of disk; {free} are free.", "需要磁盘 {needed}，剩余 {free}。"),
    "preflight.ui.parameters": ("All {count} parameters", "全部 {count} 个参数"),
}
