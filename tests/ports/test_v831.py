"""The V831 port in CPython over a fake MaixPy3 (fakes/v831)."""

from __future__ import annotations

import hashlib
import importlib
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from services.trainer.convert import convert, simulator
from services.trainer.graph import Activation
from tests.ports.conftest import DEVICE, HERE
from tests.trainer.convert.networks import conv, graph, pictures

OURS = ("ports", "boardloop", "maix", "evdev")


def forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """ports.v831_linux, with the fake vendor modules on the path."""
    forget()
    monkeypatch.syspath_prepend(str(DEVICE))
    monkeypatch.syspath_prepend(str(HERE / "fakes" / "v831"))
    yield importlib.import_module("ports.v831_linux")
    forget()


@pytest.fixture
def port(linux: ModuleType) -> Any:
    return importlib.import_module("ports.v831").Port()


def vendor(name: str) -> Any:
    return sys.modules[name]


def model_file(path: Path, param: bytes = b"7767517\n1 1\n") -> Path:
    about = {"param": len(param), "input": [4, 8, 3], "output": [1, 1, 2], "mean": [127.5] * 3, "norm": [1 / 128] * 3}
    head = json.dumps(about).encode()
    path.write_bytes(len(head).to_bytes(4, "big") + head + param + b"weights")
    return path


def test_a_capture_is_a_jpeg_of_the_size_that_the_camera_was_set_to(port: Any) -> None:
    assert port.capture() == (b"\xff\xd8 jpeg", 224, 224)
    assert vendor("maix.camera").state["size"] == (224, 224)


def test_a_camera_that_another_program_holds_is_an_oserror(port: Any) -> None:
    vendor("maix.camera").state["busy"] = True
    for ask in (port.capture, port.scan_qr, lambda: port.frame(8, 4)):
        with pytest.raises(OSError, match="another program"):
            ask()


def test_the_id_of_a_frame_is_the_hash_of_its_planar_bytes(port: Any) -> None:
    planar = bytes([10] * 32 + [11] * 32 + [12] * 32)
    assert port.frame_id(port.frame(8, 4)) == hashlib.sha256(planar).hexdigest()[:16]


def test_a_golden_input_becomes_hwc_and_keeps_its_id(port: Any) -> None:
    data = bytes(range(96))
    frame = port.golden_frame(data, 8, 4)
    assert frame[0][:6] == bytes([0, 32, 64, 1, 33, 65])
    assert port.frame_id(frame) == hashlib.sha256(data).hexdigest()[:16]


def test_a_model_is_laid_out_as_two_files_and_run(port: Any, tmp_path: Path) -> None:
    path = model_file(tmp_path / "m.awnn")
    port.load_model(str(path))
    names, options = vendor("maix.nn").loaded[0]
    assert Path(names["param"]).read_bytes() == b"7767517\n1 1\n"
    assert Path(names["bin"]).read_bytes() == b"weights"
    assert (options["inputs"], options["outputs"]) == ({"input0": (4, 8, 3)}, {"output0": (1, 1, 2)})
    assert port.infer(port.golden_frame(bytes(range(96)), 8, 4)) == [float(sum(range(96))), 0.0]
    port.unload_model()
    with pytest.raises(OSError, match="no model"):
        port.infer(None)


def test_a_model_that_the_library_refuses_is_an_oserror(port: Any, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="load model failed"):
        port.load_model(str(model_file(tmp_path / "m.awnn", b"rubbish")))
    broken = tmp_path / "broken"
    broken.write_bytes(b"\0\0\0\5no json")
    with pytest.raises(ValueError, match="Expecting value"):
        port.load_model(str(broken))


def test_a_converted_detector_answers_through_the_port_as_its_simulator_does(port: Any, tmp_path: Path) -> None:
    """The board's library eats and gives maps as HWC, the project's files and golden outputs are CHW."""
    relu = Activation.relu()
    network = graph(conv("a", (3, 8), activation=relu), conv("map", (8, 5), stride=2, activation=Activation.none()))
    images = pictures(4)[0]
    path = tmp_path / "m.awnn"
    path.write_bytes(convert(network, "v831-awnn-int8", images).data)
    wanted = simulator("v831-awnn-int8", path.read_bytes()).run(images)
    port.load_model(str(path))
    vendor("maix.nn").board = simulator("v831-awnn-int8", path.read_bytes())
    for image, outputs in zip(images, wanted, strict=True):
        np.testing.assert_array_equal(port.infer(port.golden_frame(image.tobytes(), 32, 32)), outputs)
    assert vendor("maix.nn").loaded[0][1]["outputs"] == {"output0": (16, 16, 5)}


def test_presses_are_told_one_by_one_by_the_kernels_own_times(port: Any) -> None:
    evdev = vendor("evdev")
    right, left = 0x02, 0x03
    for seconds, code, value in (
        (1.0, right, 1),
        (1.01, right, 0),  # a bounce
        (2.0, right, 1),
        (2.5, left, 1),
        (3.0, right, 2),  # auto-repeat
        (3.9, right, 0),
        (10.0, right, 1),
        (12.0, right, 0),
        (20.0, right, 1),
        (25.1, right, 0),
    ):
        evdev.waiting.append(evdev.Event(seconds, code, value))
    assert [port.button() for _ in range(4)] == ["short", "long", "hold", None]


def test_a_code_is_read(port: Any) -> None:
    assert port.scan_qr() is None
    vendor("maix.camera").state["codes"] = [{"payload": "BL1:10.0.0.2:board:SECRET"}]
    assert port.scan_qr() == "BL1:10.0.0.2:board:SECRET"


def test_text_is_drawn_line_by_line(port: Any) -> None:
    port.show("one\ntwo")
    assert vendor("maix.display").shown[-1].drawn == [(4, "one"), (26, "two")]


# ---- WiFi


def test_nothing_in_a_name_or_password_can_be_read_as_configuration(linux: ModuleType) -> None:
    name = 'home"\nupdate_config=1'
    text = linux.wpa_config(name, "secret}\nnetwork={")
    assert "update_config" not in text and text.count("network={") == 1
    assert f"  ssid={name.encode().hex()}\n" in text


def test_the_key_is_that_of_ieee_802_11i(linux: ModuleType) -> None:
    """The standard's own test vector (802.11i-2004, annex H.4.1)."""
    key = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    assert f"  psk={key}\n" in linux.wpa_config("IEEE", "password")


def test_an_open_network_has_no_key(linux: ModuleType) -> None:
    text = linux.wpa_config("cafe", "")
    assert "key_mgmt=NONE" in text and "psk" not in text
    assert f"ssid={b'cafe'.hex()}\n" in text


def test_joining_writes_the_file_restarts_the_network_and_waits_for_an_address(
    linux: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "started"
    monkeypatch.setattr(linux, "WPA_CONFIG", str(tmp_path / "wpa.conf"))
    monkeypatch.setattr(linux, "START_NETWORK", ("touch", str(log)))
    monkeypatch.setattr(linux, "has_address", log.exists)
    linux.join("home", "secret12")
    assert (tmp_path / "wpa.conf").read_text() == linux.wpa_config("home", "secret12")
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".new")] == []
    monkeypatch.setattr(linux, "WIFI_S", 0)
    log.unlink()
    monkeypatch.setattr(linux, "START_NETWORK", ("true",))
    with pytest.raises(OSError, match="no address"):
        linux.join("home", "secret12")


def test_an_interface_without_address_is_seen(linux: ModuleType) -> None:
    assert linux.has_address("lo")
    assert not linux.has_address("absent0")


# ---- chip, link


def test_the_chips_number_and_without_one_the_wifis_address(
    linux: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    info, mac = tmp_path / "sys_info", tmp_path / "address"
    monkeypatch.setattr(linux, "CHIP_INFO", str(info))
    monkeypatch.setattr(linux, "MAC", str(mac))
    with pytest.raises(OSError):
        linux.unique_id()
    mac.write_text("02:00:5e:10:00:01\n")
    assert linux.unique_id().hex() == "02005e100001"
    info.write_text("sunxi_platform    : sun8iw19\nsunxi_chipid      : unsupported\n")
    assert linux.unique_id().hex() == "02005e100001"
    info.write_text("sunxi_platform    : sun8iw19\nsunxi_chipid      : 2c21020e786746240000540000000000\n")
    assert linux.unique_id().hex() == "2c21020e786746240000540000000000"


def test_silence_gives_no_bytes_and_the_end_is_an_error(linux: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "RECV_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = linux.Link("127.0.0.1", server.getsockname()[1])
        far, _ = server.accept()
        with far:
            assert link.recv(10) == b""
            far.sendall(b"hello")
            assert link.recv(3) == b"hel"
            link.send(b"up")
            assert far.recv(10) == b"up"
            assert link.recv(10) == b"lo"
        with pytest.raises(OSError, match="closed"):
            link.recv(10)
        link.close()
