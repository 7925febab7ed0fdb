"""Every sentence of the `boardloop` command and of the demo: key -> English, Chinese."""

from __future__ import annotations

__all__ = ["CONSOLE"]

CONSOLE: dict[str, tuple[str, str]] = {
    "up.page": ("Page     {url}", "网页     {url}"),
    "up.broker": ("Broker   {host}:{port} for the boards", "Broker   {host}:{port}，供开发板连接"),
    "up.data": ("Data     {folder}", "数据     {folder}"),
    "up.login": (
        "Login    admin, one-time password {password} (shown this once)",
        "登录     admin，一次性密码 {password}（仅显示这一次）",
    ),
    "up.end": ("Ctrl-C ends it.", "按 Ctrl-C 结束。"),
    "sign.done": ("Signed. The release is {state}.", "已签名。该发布的状态：{state}。"),
    "demo.login": (
        "Page {url}   login admin / {password}   log {log}",
        "网页 {url}   登录 admin / {password}   日志 {log}",
    ),
    "demo.stays": (
        "The page stays at {url} (admin / {password}) until Ctrl-C.",
        "网页保持在 {url}（admin / {password}），按 Ctrl-C 结束。",
    ),
    "demo.downloading": (
        "weights and photographs (first time: 120 MB) …",
        "正在获取权重和照片（首次约 120 MB）……",
    ),
    "demo.title": ("The loop", "闭环"),
    "demo.time": ("time: {step}", "用时：{step}"),
    "demo.seconds": ("{n} s", "{n} 秒"),
    "demo.held": ("held  ", "成立"),
    "demo.failed": ("FAILED", "失败"),
    "demo.pressed": ("pressed", "已拍摄"),
    "demo.stored": ("stored", "已入库"),
    "demo.training": ("training", "训练"),
    "demo.epoch": ("epoch {epoch}  loss {loss}  accuracy {accuracy}", "第 {epoch} 轮  损失 {loss}  准确率 {accuracy}"),
    "demo.step.downloads": ("downloads", "下载"),
    "demo.step.start": ("start", "启动"),
    "demo.step.pair": ("pair", "配对"),
    "demo.step.capture": ("capture", "采集"),
    "demo.step.train": ("train and convert", "训练与转换"),
    "demo.step.release": ("release", "发布"),
    "demo.step.classify": ("classify", "识别"),
    "demo.figure.boards": ("boards paired by QR codes and online", "经二维码配对并在线的开发板"),
    "demo.figure.captures_sent": ("captures sent", "已发送的图片"),
    "demo.figure.captures_stored": ("captures stored", "已入库的图片"),
    "demo.figure.captures_lost": ("captures lost", "丢失的图片"),
    "demo.figure.captures_duplicated": ("captures there twice, or other than sent", "重复或与发送不符的图片"),
    "demo.figure.train_images": ("training images", "训练图片"),
    "demo.figure.validation_images": ("validation images", "验证图片"),
    "demo.figure.float_accuracy": ("accuracy, float network", "准确率，浮点网络"),
    "demo.figure.kmodel_accuracy": ("accuracy, kmodel simulated bit by bit", "准确率，逐位模拟的 kmodel"),
    "demo.figure.kmodel_images": ("validation images simulated", "已模拟的验证图片"),
    "demo.figure.agreement": ("kmodel gives the float network's answer", "kmodel 与浮点网络一致"),
    "demo.figure.kmodel_bytes": ("kmodel file", "kmodel 文件"),
    "demo.figure.ram_bytes": ("estimated RAM on the board", "开发板内存估计"),
    "demo.figure.release_bytes": ("encrypted payload of the release", "发布的加密数据"),
    "demo.figure.boards_committed": (
        "boards that verified, tried and committed it",
        "已验证、试运行并启用的开发板",
    ),
    "demo.figure.board_predictions": ("predictions on the boards, fresh photographs", "开发板对新照片的识别次数"),
    "demo.figure.board_equal_simulated": ("equal to the simulation of the same file", "与同一文件的模拟结果一致"),
    "demo.figure.board_accuracy": ("right, by the experts' labels", "与专家标注一致"),
    "demo.check.paired": ("both boards paired by the pixels of two QR codes", "两块开发板均由二维码像素配对"),
    "demo.check.stored_once": (
        "every capture stored once, over a restart of the collector",
        "collector 重启期间，每张图片恰好入库一次",
    ),
    "demo.check.same_version": ("the same seed freezes the same data set", "相同种子得到相同的数据集"),
    "demo.check.all_simulated": (
        "the whole validation split went through the kmodel's simulator",
        "整个验证集都经过 kmodel 模拟器",
    ),
    "demo.check.committed": ("both boards run the released model", "两块开发板都在运行所发布的模型"),
    "demo.check.equal": ("every prediction on a board equals the simulation", "开发板的每次识别都与模拟一致"),
}
