"""The advanced settings of a training: name, and one sentence that explains it with its default."""

from __future__ import annotations

__all__ = ["TRAINING"]

TRAINING: dict[str, tuple[str, str]] = {
    "training.advanced": ("Advanced: learning", "高级：学习"),
    "training.changes": ("Advanced: changes of the pictures", "高级：图片增强"),
    "training.weights_model": ("Model {name}", "模型 {name}"),
    "training.from_model": ("Train on from this model", "从此模型继续训练"),
    "training.optimizer": ("Optimiser", "优化器"),
    "training.optimizer_help": (
        "AdamW (default) needs little tuning; SGD wants a learning rate some twenty times larger.",
        "AdamW（默认）几乎无需调整；SGD 需要约二十倍的学习率。",
    ),
    "training.schedule": ("Learning rate falls along", "学习率下降曲线"),
    "training.schedule_help": (
        "A cosine (default) stays high for longer than a straight line.",
        "余弦（默认）比直线更久地保持较高学习率。",
    ),
    "training.schedule_cosine": ("a cosine", "余弦"),
    "training.schedule_linear": ("a straight line", "直线"),
    "training.final_learning_rate": ("Learning rate at the end, share", "最终学习率比例"),
    "training.final_learning_rate_help": (
        "What is left of the learning rate in the last step; default 0.02.",
        "最后一步剩下的学习率比例；默认 0.02。",
    ),
    "training.warmup_epochs": ("Warm-up, epochs", "预热轮数"),
    "training.warmup_epochs_help": (
        "The learning rate grows over so many epochs, so that the first steps spoil nothing; default 1.",
        "学习率在这些轮内逐渐升高，避免开头破坏权重；默认 1。",
    ),
    "training.weight_decay": ("Weight decay", "权重衰减"),
    "training.weight_decay_help": (
        "Pulls weights towards zero, against learning pictures by heart; default 0.05.",
        "把权重拉向零，防止死记图片；默认 0.05。",
    ),
    "training.label_smoothing": ("Label smoothing", "标签平滑"),
    "training.label_smoothing_help": (
        "Share of a label spread over all others, for labels that may be wrong; default 0.1.",
        "把标签的一部分分给其他标签，适合可能有误的标签；默认 0.1。",
    ),
    "training.dropout": ("Dropout", "随机失活"),
    "training.dropout_help": (
        "Share of the features that a step does not see; default 0.2.",
        "每一步看不到的特征比例；默认 0.2。",
    ),
    "training.pooling": ("Pooling of the last map", "末层池化"),
    "training.pooling_help": (
        "Of classifiers: peaks for what fills a small part of the picture, a crack or a spot; default: average.",
        "仅用于分类：目标只占画面一小部分（裂纹、斑点）时选峰值；默认取平均。",
    ),
    "training.pooling_average": ("average", "平均"),
    "training.pooling_peaks": ("peaks", "峰值"),
    "training.ema": ("Average of the weights", "权重滑动平均"),
    "training.ema_help": (
        "Share of the running average kept in each step; steadier than single steps; 0 is none, default 0.99.",
        "每一步保留的滑动平均比例，比单步更稳；0 为不用，默认 0.99。",
    ),
    "training.patience": ("Early stopping, epochs", "提前停止轮数"),
    "training.patience_help": (
        "Ends the training after so many epochs without a better one; 0 (default) is never.",
        "连续这么多轮没有提高就结束；0（默认）为不提前结束。",
    ),
    "training.keep": ("Epoch that is kept", "保留的轮次"),
    "training.keep_help": (
        "The best on the validation pictures (default), or the last where those are few.",
        "验证集上最好的（默认）；验证图片很少时可选最后一轮。",
    ),
    "training.keep_best": ("the best", "最好的"),
    "training.keep_last": ("the last", "最后的"),
    "training.freeze": ("Frozen share of the network", "冻结的网络比例"),
    "training.freeze_help": (
        "The first layers that stay as they start: faster, and safer with few pictures; default 0; 1: only the head.",
        "前面若干层保持初始值：更快，图片少时更稳；默认 0，1 表示只训练分类头。",
    ),
    "training.balance_classes": ("Balance labels", "平衡标签"),
    "training.balance_classes_help": (
        "Rare labels count as much as frequent ones; default off.",
        "稀少的标签与常见的同等重要；默认关闭。",
    ),
    "training.negatives": ("Pictures of background", "背景图片"),
    "training.negatives_help": (
        "Of a detection: learns from pictures without boxes too; default on.",
        "用于检测：也从没有标注框的图片中学习；默认开启。",
    ),
    "training.workers": ("Workers", "工作进程"),
    "training.workers_help": (
        "Processes, on a cluster also machines, that share each batch; default 0: one.",
        "共同计算每一批的进程（在集群上可分布在多台机器）；默认 0：一个。",
    ),
    "training.distil": ("Teacher", "教师网络"),
    "training.distil_help": (
        "A larger network learns first and then teaches this one, kept if better: three trainings; default none.",
        "先训练更大的网络，再由它教这个网络，更好才保留：共三次训练；默认无。",
    ),
    "training.distil_none": ("None", "无"),
    "training.qat_epochs": ("Fine-tuning in 8 bits, epochs", "8 位微调轮数"),
    "training.qat_epochs_help": (
        "After the training the network practises the chip's rounding; the file is kept if better; default 0: none.",
        "训练后让网络适应芯片的 8 位取整，转换文件更好才保留；默认 0：不微调。",
    ),
    "training.flip_horizontal": ("Mirror left and right", "左右翻转"),
    "training.flip_horizontal_help": (
        "At random; default on. Switch off when left and right mean something.",
        "随机进行；默认开启。左右有区别时请关闭。",
    ),
    "training.flip_vertical": ("Mirror up and down", "上下翻转"),
    "training.flip_vertical_help": (
        "At random; default off. For pictures from above, which have no up.",
        "随机进行；默认关闭。适合没有上下之分的俯拍图片。",
    ),
    "training.quarter_turns": ("Quarter turns", "直角旋转"),
    "training.quarter_turns_help": (
        "Turned by 0, 90, 180 or 270 degrees at random; default off.",
        "随机旋转 0、90、180 或 270 度；默认关闭。",
    ),
    "training.rotate": ("Turn, degrees", "旋转角度"),
    "training.rotate_help": ("Up to so many degrees either way; default 5.", "向两侧最多旋转这么多度；默认 5。"),
    "training.shift": ("Shift", "平移"),
    "training.shift_help": (
        "Moved by up to this share of the picture; default 0.05.",
        "最多移动图片的这一比例；默认 0.05。",
    ),
    "training.zoom": ("Zoom", "缩放"),
    "training.zoom_help": (
        "Larger or smaller by up to this share; default 0.05.",
        "放大或缩小不超过这一比例；默认 0.05。",
    ),
    "training.brightness": ("Brightness", "亮度"),
    "training.brightness_help": (
        "Lighter or darker by up to this share; default 0.15.",
        "变亮或变暗不超过这一比例；默认 0.15。",
    ),
    "training.contrast": ("Contrast", "对比度"),
    "training.contrast_help": (
        "Harder or softer by up to this share; default 0.15.",
        "增强或减弱不超过这一比例；默认 0.15。",
    ),
    "training.erase": ("Cut-out", "随机擦除"),
    "training.erase_help": (
        "A grey rectangle of this share of each side hides a part of the picture; default 0.",
        "用边长为这一比例的灰色矩形遮住图片的一部分；默认 0。",
    ),
}
