"""WiFi and TCP of the K210 boards: an ESP8285 behind a UART (Dock with M1W, Go) or an ESP32 behind SPI (Maixduino).

Written from the firmware's source (MaixPy-v1 d8901fd, standard_lib/network and socket); never run on hardware. What it
knows of that source:

* ESP8285: `connect` pastes name and password into an AT command unescaped; `connect(name)` alone passes wrong
  arguments; `isconnected()` is a flag that nothing clears; the UART must run at 921600 with a buffer of 10,240 bytes.
* Both: `recv` raises or gives b'' on a time-out and at the end; `settimeout` truncates to whole seconds on the ESP32.
* `getaddrinfo` asks the module's DNS even for 192.168.1.2, and fails: a dotted address goes to `connect` directly.
* GPIOHS0 is WIFI_EN and GPIOHS1 the M1W's power, GPIOHS10 to 15 the ESP32's pins: the button takes GPIOHS21.
"""

import socket
import time

import network

SEND_BYTES = 2048  # one AT+CIPSEND
RECV_S = 1
SEND_S = 5
FAST = 921600
UART_BUFFER = 10240
AT_TRIES = 5


def at_escaped(text):
    """For use inside the quotes of an AT command. OSError: a line end would begin a command of its own."""
    if "\r" in text or "\n" in text:
        raise OSError("a WiFi name or password cannot hold a line end")
    for sign in ("\\", '"', ","):
        text = text.replace(sign, "\\" + sign)
    return text


def is_dotted(host):
    parts = host.split(".")
    return len(parts) == 4 and all(part.isdigit() for part in parts)


class Link:
    """One TCP connection; both modules have one only."""

    def __init__(self, host, port):
        address = (host, port) if is_dotted(host) else socket.getaddrinfo(host, port)[0][-1]
        self.sock = socket.socket()
        self.sock.settimeout(SEND_S)
        self.sock.connect(address)  # not closed when it fails: the firmware closes only what was connected

    def send(self, data):
        self.sock.settimeout(SEND_S)
        view = memoryview(data)
        while len(view):
            sent = self.sock.send(view[:SEND_BYTES])
            if not sent:
                raise OSError("the link is gone")
            view = view[sent:]

    def recv(self, count):
        self.sock.settimeout(RECV_S)
        try:
            return self.sock.recv(count)
        except OSError:
            return b""

    def close(self):
        self.sock.close()


class Esp8285:
    """`board_info`, `fm` and `GPIO` come from the port: their places differ between the firmwares."""

    def __init__(self, board_info, fm, GPIO):
        self.board_info = board_info
        self.fm = fm
        self.GPIO = GPIO
        self.nic = None

    def join(self, ssid, password):
        """OSError when the module or the network does not answer (10 s)."""
        name, key = at_escaped(ssid), at_escaped(password)
        if self.nic is None:
            self.nic = network.ESP8285(self.start())
            time.sleep_ms(500)
        self.nic.connect(name, key)

    def start(self):
        """Power, reset, and the UART at its full speed."""
        from machine import UART

        fm, info, GPIO = self.fm, self.board_info, self.GPIO
        fm.register(0, fm.fpioa.GPIOHS1, force=True)
        GPIO(GPIO.GPIOHS1, GPIO.OUT).value(0)  # M1W power, low = on
        fm.register(getattr(info, "WIFI_EN", 8), fm.fpioa.GPIOHS0, force=True)
        enable = GPIO(GPIO.GPIOHS0, GPIO.OUT)
        fm.register(getattr(info, "WIFI_RX", 7), fm.fpioa.UART2_TX, force=True)
        fm.register(getattr(info, "WIFI_TX", 6), fm.fpioa.UART2_RX, force=True)
        uart = UART(UART.UART2, 115200, timeout=1000, read_buf_len=UART_BUFFER)
        for _ in range(AT_TRIES):
            enable.value(0)
            time.sleep_ms(50)
            enable.value(1)
            time.sleep_ms(500)
            if self.says_ok(uart, b"AT\r\n"):
                break
        else:
            raise OSError("the ESP8285 does not answer")
        self.says_ok(uart, b"AT+UART_CUR=921600,8,1,0,0\r\n")
        return UART(UART.UART2, FAST, timeout=1000, read_buf_len=UART_BUFFER)

    def says_ok(self, uart, command):
        uart.read()
        uart.write(command)
        time.sleep_ms(200)
        answer = uart.read()
        return bool(answer) and b"OK" in answer


class Esp32:
    """Hardware SPI, pins as on the Maixduino where /flash/config.json names no others."""

    def __init__(self, board_info, fm):
        self.board_info = board_info
        self.fm = fm
        self.nic = None

    def join(self, ssid, password):
        if self.nic is None:
            self.nic = self.start()
        self.nic.connect(ssid, password)
        if not self.nic.isconnected():
            raise OSError("the network %s does not answer" % ssid)

    def start(self):
        io, info = self.fm.fpioa, self.board_info
        for key, pin, function in (
            ("ESP32_CS", 25, io.GPIOHS10),
            ("ESP32_RST", 8, io.GPIOHS11),
            ("ESP32_RDY", 9, io.GPIOHS12),
            ("ESP32_MOSI", 28, io.SPI1_D0),
            ("ESP32_MISO", 26, io.SPI1_D1),
            ("ESP32_SCLK", 27, io.SPI1_SCLK),
        ):
            self.fm.register(getattr(info, key, pin), function, force=True)
        return network.ESP32_SPI(cs=io.GPIOHS10, rst=io.GPIOHS11, rdy=io.GPIOHS12, spi=1)


def wifi_of(board_info, fm, GPIO):
    """The module that /flash/config.json names; without one, the ESP8285 of the Dock."""
    if hasattr(board_info, "ESP32_CS"):
        return Esp32(board_info, fm)
    return Esp8285(board_info, fm, GPIO)
