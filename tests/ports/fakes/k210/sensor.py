"""The camera: one buffer for all snapshots; RuntimeError("Sensor timeout!") as often as `failures` says."""

from image import Code, Image

RGB565, QVGA = 2, 8
state = {"starts": 0, "running": 0, "window": None, "mirror": None, "failures": 0, "scene": 7, "code": None}
buffers = {}


def reset():
    if state["failures"] >= 100:
        raise RuntimeError("Reset Failed")
    state["starts"] += 1


def set_pixformat(kind):
    assert kind == RGB565


def set_framesize(size):
    assert size == QVGA


def set_windowing(window):
    state["window"] = window
    buffers["pixels"] = bytearray(2 * window[0] * window[1])
    buffers["ai"] = bytearray(3 * window[0] * window[1])


def set_hmirror(on):
    state["mirror"] = on


def run(on):
    state["running"] = on


def skip_frames(time=0):
    pass


def snapshot():
    assert state["running"]
    if state["failures"]:
        state["failures"] -= 1
        raise RuntimeError("Sensor timeout!")
    pixels = buffers["pixels"]
    pixels[:] = bytes([state["scene"]]) * len(pixels)
    buffers["ai"][:] = bytes([state["scene"]]) * len(buffers["ai"])
    picture = Image(size=state["window"], memory=pixels)
    picture.give_ai(buffers["ai"])
    if state["code"] and state["mirror"] == state["code"][1]:
        picture.codes = [Code(state["code"][0])]
    return picture
