"""WiFi and TCP of the K210 boards over the fake ESP8285 and ESP32."""

from __future__ import annotations

import pytest

from tests.ports.conftest import Runner


def test_the_esp8285_is_brought_to_full_speed_before_it_is_used(k210: Runner) -> None:
    k210("""
        import machine, network
        port.wifi("home", "secret")
        assert network.joined == ["home"]
        slow, fast = machine.uarts
        assert (slow.baud, fast.baud, fast.buffer) == (115200, 921600, 10240)
        assert slow.commands[-1] == b"AT+UART_CUR=921600,8,1,0,0\\r\\n"
    """)


def test_a_module_that_is_slow_to_wake_is_reset_again(k210: Runner) -> None:
    k210("""
        import machine, network
        machine.state["silent"] = 3
        port.wifi("home", "secret")
        assert network.joined == ["home"]
    """)


def test_a_board_without_a_module_says_so(k210: Runner) -> None:
    k210("""
        import machine
        machine.state["silent"] = 1000
        assert "does not answer" in raises(OSError, port.wifi, "home", "secret")
    """)


@pytest.mark.parametrize("sign", ['"', ",", "\\", '\\",'])
def test_signs_that_an_at_command_takes_for_its_own_are_escaped(k210: Runner, sign: str) -> None:
    name, password = f"my {sign} home", f"a{sign}b"
    k210(f"""
        import network
        network.air[{name!r}] = {password!r}
        port.wifi({name!r}, {password!r})
        assert network.joined == [{name!r}]
    """)


def test_a_line_end_cannot_begin_an_at_command_of_its_own(k210: Runner) -> None:
    k210("""
        import network
        assert "line end" in raises(OSError, port.wifi, "home\\r\\nAT+RESTORE", "secret")
        assert "line end" in raises(OSError, port.wifi, "home", "secret\\n")
        assert network.joined == []
    """)


def test_an_open_network_is_joined_with_an_empty_key(k210: Runner) -> None:
    k210("""
        import network
        network.air["cafe"] = ""
        port.wifi("cafe", "")
        assert network.joined == ["cafe"]
    """)


def test_joining_anew_is_tried_although_the_flag_says_connected(k210: Runner) -> None:
    k210("""
        import network
        port.wifi("home", "secret")
        port.wifi("home", "secret")
        assert network.joined == ["home", "home"]
        network.air["home"] = "changed"
        assert "could not connect" in raises(OSError, port.wifi, "home", "secret")
        assert port.wireless.nic.isconnected()
    """)


def test_the_esp32_is_used_where_config_json_names_its_pins_and_a_refusal_is_noticed(micropython: Runner) -> None:
    micropython("""
        from board import board_info
        from fpioa_manager import fm
        import network
        board_info.ESP32_CS = 25
        port = rig.port("maixpy")
        port.wifi("home", "secret")
        assert network.joined == ["home"]
        assert fm.pins["GPIOHS10"] == 25 and fm.pins["SPI1_SCLK"] == 27
        assert "does not answer" in raises(OSError, port.wifi, "home", "wrong")
    """)


# ---- TCP


def test_a_dotted_address_never_goes_through_getaddrinfo(k210: Runner) -> None:
    k210("""
        from fake_socket import far
        port.connect("10.0.0.2", 1883)
        assert far["looked_up"] == [] and far["connected"] == ("10.0.0.2", 1883)
        port.connect("broker.local", 1883)
        assert far["looked_up"] == ["broker.local"] and far["connected"] == ("10.0.0.2", 1883)
    """)


def test_a_connection_that_failed_is_not_closed(k210: Runner) -> None:
    k210("""
        from fake_socket import far
        raises(OSError, port.connect, "10.0.0.3", 1883)
        assert far["closed"] == 0
        port.connect("10.0.0.2", 1883).close()
        assert far["closed"] == 1
    """)


def test_all_bytes_are_sent_in_blocks_of_one_at_command_also_when_the_socket_takes_fewer(k210: Runner) -> None:
    k210("""
        from fake_socket import far
        link = port.connect("10.0.0.2", 1883)
        data = bytes([i % 251 for i in range(5000)])
        link.send(data)
        assert [len(part) for part in far["sent"]] == [2048, 2048, 904]
        far["most"] = 1000
        link.send(data)
        assert b"".join(far["sent"][3:]) == data
        far["most"] = 0
        assert "gone" in raises(OSError, link.send, b"x")
    """)


def test_silence_and_the_end_both_give_no_bytes(k210: Runner) -> None:
    k210("""
        from fake_socket import far
        link = port.connect("10.0.0.2", 1883)
        far["incoming"] += b"hello"
        assert link.recv(3) == b"hel" and link.recv(10) == b"lo" and link.recv(10) == b""
        far["dead"] = True
        assert link.recv(10) == b""
        raises(OSError, link.send, b"x")
    """)
