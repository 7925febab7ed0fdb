"""What both K210 ports do, each trap of the firmware with its own test. `port` and `rig`: fakes/k210/rig.py."""

from __future__ import annotations

from tests.ports.conftest import Runner

# ---- camera


def test_a_capture_is_shown_first_then_compressed_and_is_a_copy_of_the_cameras_memory(k210: Runner) -> None:
    k210("""
        import lcd, sensor
        sensor.state["scene"] = 5
        jpeg, width, height = port.capture()
        assert (width, height) == (224, 224)
        assert len(lcd.pictures) == 1
        assert type(jpeg) is bytes and jpeg == b"\\xff\\xd8 jpeg of \\x05\\x5a", jpeg
        sensor.state["scene"] = 9
        port.snapshot()
        assert jpeg[-2] == 5
    """)


def test_a_camera_that_times_out_once_is_started_again(k210: Runner) -> None:
    k210("""
        import sensor
        sensor.state["failures"] = 1
        assert port.capture()[0]
        assert sensor.state["starts"] == 2
    """)


def test_a_dead_camera_is_an_oserror(k210: Runner) -> None:
    k210("""
        import sensor
        sensor.state["failures"] = 2
        assert "Sensor timeout" in raises(OSError, port.capture)
        sensor.state["failures"] = 1000
        assert "Reset Failed" in raises(OSError, port.capture)
    """)


def test_too_little_memory_for_a_jpeg_is_an_oserror(k210: Runner) -> None:
    k210("""
        import image
        def full(self, quality):
            raise MemoryError("memory allocation failed, allocating 716800 bytes")
        image.Image.compress = full
        assert "700 KiB" in raises(OSError, port.capture)
    """)


def test_a_resized_frame_has_the_buffer_that_the_kpu_reads(k210: Runner) -> None:
    k210("""
        frame = port.frame(32, 16)
        assert (frame.width(), frame.height()) == (32, 16)
        assert frame.pix_ai is not None
    """)


def test_the_id_of_a_frame_is_the_hash_of_the_very_bytes_that_the_kpu_reads(k210: Runner) -> None:
    k210("""
        import hashlib, binascii
        frame = port.frame(224, 224)
        assert port.frame_id(frame) == binascii.hexlify(hashlib.sha256(bytes(frame.pix_ai)).digest()[:8]).decode()
    """)


def test_an_image_of_another_layout_is_refused_and_not_guessed_at(k210: Runner) -> None:
    k210("""
        frame = port.frame(32, 16)
        frame.object[8] = 99
        assert "otherwise" in raises(OSError, port.frame_id, frame)
    """)


def test_a_golden_input_reaches_the_kpu_without_the_loss_of_rgb565(k210: Runner) -> None:
    k210("""
        with open("m.kmodel", "wb") as file:
            file.write(b"\\x03\\0\\0\\0")
        port.root = "."
        port.load_model("m.kmodel")
        data = bytes([7 * i % 256 for i in range(192)])
        frame = port.golden_frame(data, 8, 8)
        assert port.infer(frame) == [float(sum(data)), 0.0]
        import hashlib, binascii
        assert port.frame_id(frame) == binascii.hexlify(hashlib.sha256(data).digest()[:8]).decode()
    """)


# ---- model


def test_a_model_is_loaded_once_and_freed_before_the_next(k210: Runner) -> None:
    k210("""
        with open("m.kmodel", "wb") as file:
            file.write(b"\\x03\\0\\0\\0")
        assert "no model" in raises(OSError, port.infer, None)
        port.unload_model()
        port.load_model("m.kmodel")
        port.load_model("m.kmodel")
        port.unload_model()
        port.unload_model()
        try:
            import KPU as vendor
        except ImportError:
            pass
        import maix
        assert (vendor.log or maix.log) == ["load", "deinit", "load", "deinit"]
    """)


def test_a_refused_model_leaves_no_model_and_no_second_free(k210: Runner) -> None:
    k210("""
        with open("m.kmodel", "wb") as file:
            file.write(b"\\x05\\0\\0\\0")
        try:
            port.load_model("m.kmodel")
            assert False
        except (OSError, ValueError):
            pass
        port.unload_model()
        assert "no model" in raises(OSError, port.infer, None)
    """)


# ---- codes


def test_a_code_is_read_and_a_picture_without_one_gives_none(k210: Runner) -> None:
    k210("""
        import sensor
        assert port.scan_qr() is None
        sensor.state["code"] = ("BL1:10.0.0.2:board:SECRET", 0)
        assert port.scan_qr() == "BL1:10.0.0.2:board:SECRET"
    """)


def test_a_mirrored_camera_is_found_out(k210: Runner) -> None:
    k210("""
        import sensor
        sensor.state["code"] = ("text", 1)
        looks = 0
        while not port.scan_qr():
            looks += 1
            assert looks <= 20
    """)


def test_firmware_without_find_qrcodes_says_so_and_still_starts(micropython: Runner) -> None:
    micropython("""
        import image
        del image.Image.find_qrcodes
        port = rig.port("maixpy")
        assert "no QR codes" in raises(OSError, port.scan_qr)
        assert port.capture()[0]
    """)


# ---- key

KEY = """
from parts import GPIO
pin = GPIO.made["GPIOHS21"]
def press(ms):
    pin.press()
    port.button()
    clock.now += ms
    pin.level = 1
    return port.button()
"""


def test_the_length_of_a_press_says_what_is_meant(k210: Runner) -> None:
    k210(
        KEY
        + """
kinds = []
for ms in (100, 1999, 2000, 5000, 5001):
    kinds.append(press(ms))
    clock.now += 100
assert kinds == ["short", "short", "long", "long", "hold"], kinds
"""
    )


def test_bounces_of_press_and_release_are_no_presses(k210: Runner) -> None:
    k210(
        KEY
        + """
pin.press()
clock.now += 10
pin.level = 1
assert port.button() is None
pin.press()
clock.now += 200
pin.level = 1
assert port.button() == "short"
clock.now += 10
pin.press()
pin.level = 1
clock.now += 100
assert port.button() is None
"""
    )


def test_a_press_that_begins_and_ends_while_the_program_waits_is_not_lost(k210: Runner) -> None:
    k210(
        KEY
        + """
assert port.button() is None
pin.press()
pin.level = 1
clock.now += 900
assert port.button() == "short"
assert port.button() is None
"""
    )


def test_a_press_whose_edge_was_lost_is_seen_by_its_level(k210: Runner) -> None:
    k210(
        KEY
        + """
pin.level = 0
assert port.button() is None
clock.now += 2500
pin.level = 1
assert port.button() == "long"
"""
    )


def test_the_key_is_on_the_pin_that_config_json_names(micropython: Runner) -> None:
    micropython("""
        from board import board_info
        from fpioa_manager import fm
        board_info.BOOT_KEY = 23
        rig.port("maixpy")
        assert fm.pins["GPIOHS21"] == 23
    """)


def test_the_key_and_the_wifi_share_no_gpiohs(k210: Runner) -> None:
    k210(
        KEY
        + """
port.wifi("home", "secret")
assert press(100) == "short"
"""
    )


# ---- storage, display, the rest


def test_with_a_card_storage_is_a_folder_and_without_one_the_flat_flash(micropython: Runner) -> None:
    micropython("""
        card = rig.port("maixpy")
        assert (card.root, card.flat, card.free()) == ("/sd/boardloop-data", False, 512 * 40)
        flash = rig.port("maixpy", card=False)
        assert (flash.root, flash.flat, flash.free()) == ("/flash", True, 512 * 40)
    """)


def test_texts_are_broken_to_the_width_of_the_display(k210: Runner) -> None:
    k210("""
        import lcd
        port.show("x" * 30 + "\\nsecond")
        assert [text for _, _, text in lcd.lines] == ["x" * 26, "x" * 4, "second"]
        assert [y for _, y, _ in lcd.lines] == [4, 22, 40]
    """)


def test_chip_number_reset_and_watchdog(k210: Runner) -> None:
    k210("""
        import machine
        assert port.unique_id() == bytes(range(32))
        port.feed()
        port.feed()
        assert machine.state["fed"] == 2
        port.reset()
        assert machine.state["resets"] == 1
        assert port.firmware == "0.6.3 v0.6.3-1"
    """)


def test_the_ports_fit_the_interface(k210: Runner) -> None:
    k210("""
        assert port.board_type == "k210" and port.model_format == "kmodel_v3"
        frame_and_mac = 28 + 16 + 32 + 24
        assert port.chunk + frame_and_mac <= 2048 and port.block + frame_and_mac <= 2048
        begin = port.ticks_ms()
        port.sleep_ms(30)
        assert port.ticks_diff(port.ticks_ms(), begin) == 30
    """)
