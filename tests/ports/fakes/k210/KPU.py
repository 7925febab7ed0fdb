"""MaixPy's KPU: paths must hold .kmodel, the image must have its planar buffer; results are fmaps."""

log = []
state = {"outputs": None, "finds": None}  # what the next model answers; outputs None: sum and first byte of the picture


class Task:
    def __init__(self, path):
        self.path = path


class Fmap:
    def __init__(self, values):
        self.values = values

    def __getitem__(self, index):
        return tuple(self.values[index])


def load(path):
    if not any(word in path for word in (".kmodel", ".smodel", ".emodel")):
        raise ValueError("[MAIXPY]kpu: model format don't match, only supply .kmodel ")
    with open(path, "rb") as file:
        if file.read(4) != b"\x03\0\0\0":
            raise ValueError("[MAIXPY]kpu: load error:2002, ERR_KMODEL_VERSION")
    log.append("load")
    return Task(path)


def deinit(task):
    assert isinstance(task, Task)
    log.append("deinit")


def forward(task, picture):
    assert isinstance(task, Task)
    if picture.pix_ai is None:
        raise ValueError("[MAIXPY]kpu: check img format err!\r\n")
    if state["outputs"] is not None:
        return Fmap(state["outputs"])
    return Fmap([float(sum(picture.pix_ai)), float(picture.pix_ai[0])])


class Find:
    def __init__(self, x, y, w, h, classid, value):
        self.x, self.y, self.w, self.h = lambda: x, lambda: y, lambda: w, lambda: h
        self.classid, self.value = lambda: classid, lambda: value


def init_yolo2(task, threshold, nms, count, anchors):
    """The number of classes is channels / 5 - 5 there: five anchors or nonsense."""
    assert isinstance(task, Task) and 0 <= threshold <= 1 and 0 <= nms <= 1
    assert count == 5 and len(anchors) == 10
    task.yolo = True


def run_yolo2(task, picture):
    """At most ten finds, None without any."""
    assert task.yolo, "init_yolo2 first"
    if picture.pix_ai is None:
        raise ValueError("[MAIXPY]kpu: check img format err!\r\n")
    return [Find(*find) for find in state["finds"]] if state["finds"] else None
