"""MaixPy's KPU: paths must hold .kmodel, the image must have its planar buffer; results are fmaps."""

log = []


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
    return Fmap([float(sum(picture.pix_ai)), float(picture.pix_ai[0])])
