"""What the display says, in English and Chinese. The words are the keys; `say` fills in the values."""

TEXTS = {
    "start": ("Boardloop {}", "Boardloop {}"),
    "scan": ("Show the WiFi code or the pairing code", "请出示WiFi码或配对码"),
    "scan_pairing": ("Show the pairing code", "请出示配对码"),
    "not_a_code": ("Not a Boardloop code", "不是Boardloop的码"),
    "wifi_joining": ("Joining WiFi {}", "正在连接WiFi {}"),
    "wifi_joined": ("Joined WiFi {}", "已连接WiFi {}"),
    "wifi_failed": ("WiFi failed: {}", "WiFi连接失败: {}"),
    "connecting": ("Connecting to {}", "正在连接 {}"),
    "offline": ("Offline, next try in {} s", "离线，{} 秒后重试"),
    "refused": ("Login refused: {}", "登录被拒绝: {}"),
    "unknown": ("The server does not know this board", "服务器不认识这块板"),
    "pairing": ("Paired: {}", "已配对: {}"),
    "online": ("Online: {}", "在线: {}"),
    "label": ("Label: {}", "标签: {}"),
    "no_label": ("Label: (none)", "标签: (无)"),
    "classify": ("Classify", "识别"),
    "no_model": ("No model", "没有模型"),
    "result": ("Result: {} {} %", "结果: {} {} %"),
    "captured": ("Saved {} {}", "已保存 {} {}"),
    "camera_failed": ("Camera failed", "摄像头故障"),
    "full": ("Storage full, capture not taken, {} waiting", "存储已满，未拍摄，{} 张待传"),
    "stored": ("Stored {}, {} waiting", "已入库 {}，{} 张待传"),
    "kept": ("Server says {1}, {0} waiting", "服务器: {1}，{0} 张待传"),
    "put_aside": ("Put aside {}: {}", "已搁置 {}: {}"),
    "no_such_label": ("Put aside {}: no label {}", "已搁置 {}: 没有标签 {}"),
    "update": ("Update {}", "更新 {}"),
    "downloaded": ("Update DOWNLOADING {} %", "更新 DOWNLOADING {} %"),
    "update_failed": ("Update FAILED {}", "更新 FAILED {}"),
    "busy": ("Updating, please wait", "正在更新，请稍候"),
    "model_damaged": ("Model damaged", "模型已损坏"),
    "model_failed": ("Model failed", "模型运行失败"),
    "trouble": ("Trouble: {}", "故障: {}"),
}


def say(language, word, *values):
    """The text for `word` in "en" or "zh"."""
    return TEXTS[word][1 if language == "zh" else 0].format(*values).strip()
