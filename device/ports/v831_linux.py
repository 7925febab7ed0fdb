"""The Linux side of the V831 board (Maix-II-Dock): sockets, keys, WiFi, chip number. Python 3.8.

Written from the sources of MaixPy3 and of the board's Tina Linux image; never run on hardware.
"""

import fcntl
import hashlib
import os
import socket
import struct
import subprocess
import time

from ports.button import DEBOUNCE_MS, kind_of

RECV_S = 1.0
CONNECT_S = 5.0
WIFI_S = 30.0
KEY_RIGHT = 0x02  # S1, "OK"
PRESSED, RELEASED = 1, 0  # 2 is auto-repeat
WPA_CONFIG = "/etc/wpa_supplicant.conf"
START_NETWORK = ("/etc/init.d/S40network", "restart")
CHIP_INFO = "/sys/class/sunxi_info/sys_info"  # of Allwinner's kernels: "sunxi_chipid : <hex>", or "unsupported"
MAC = "/sys/class/net/wlan0/address"
SIOCGIFADDR = 0x8915  # linux/sockios.h


class Link:
    """recv: b'' on a time-out; OSError at the end, which a Linux socket can tell apart."""

    def __init__(self, host, port):
        self.sock = socket.create_connection((host, port), CONNECT_S)

    def send(self, data):
        self.sock.settimeout(CONNECT_S)
        self.sock.sendall(data)

    def recv(self, count):
        self.sock.settimeout(RECV_S)
        try:
            data = self.sock.recv(count)
        except socket.timeout:
            return b""
        if not data:
            raise OSError("closed by the other side")
        return data

    def close(self):
        self.sock.close()


class Keys:
    """The right key (S1), by the kernel's own times of press and release: exact however late they are read."""

    def __init__(self, device):
        self.device = device
        self.down_at = None

    def poll(self):
        """None, or the kind of the first press that has ended and was not told yet."""
        while True:
            event = self.device.read_one()
            if event is None:
                return None
            if event.code != KEY_RIGHT:
                continue
            if event.value == PRESSED:
                self.down_at = event.timestamp()
            elif event.value == RELEASED and self.down_at is not None:
                length = round((event.timestamp() - self.down_at) * 1000)
                self.down_at = None
                if length >= DEBOUNCE_MS:
                    return kind_of(length)


def wpa_config(ssid, password):
    """wpa_supplicant.conf with hexadecimal name and key, so that no sign in them means anything to its parser."""
    name = ssid.encode()
    lines = ["ctrl_interface=/var/run/wpa_supplicant", "network={", "  scan_ssid=1", "  ssid=" + name.hex()]
    if password:
        key = hashlib.pbkdf2_hmac("sha1", password.encode(), name, 4096, 32)  # IEEE 802.11i, annex H.4
        lines.append("  psk=" + key.hex())
    else:
        lines.append("  key_mgmt=NONE")
    return "\n".join(lines) + "\n}\n"


def join(ssid, password):
    """OSError when the network gives no address in 30 s."""
    with open(WPA_CONFIG + ".new", "w") as file:
        file.write(wpa_config(ssid, password))
        file.flush()
        os.fsync(file.fileno())
    os.replace(WPA_CONFIG + ".new", WPA_CONFIG)
    subprocess.run(START_NETWORK, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begin = time.monotonic()
    while not has_address():
        if time.monotonic() - begin > WIFI_S:
            raise OSError("no address in the network %s after %d s" % (ssid, WIFI_S))
        time.sleep(0.2)


def has_address(interface="wlan0"):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        fcntl.ioctl(sock.fileno(), SIOCGIFADDR, struct.pack("256s", interface.encode()))
        return True
    except OSError:
        return False
    finally:
        sock.close()


def unique_id():
    """The chip's number; the WiFi's hardware address where the kernel does not tell it. OSError without both."""
    try:
        with open(CHIP_INFO) as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == "sunxi_chipid":
                    return bytes.fromhex(value.strip())
    except (OSError, ValueError):
        pass  # no such file, or "unsupported"
    with open(MAC) as file:
        return bytes.fromhex(file.read().strip().replace(":", ""))
