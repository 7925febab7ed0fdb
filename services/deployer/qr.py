"""QR codes that a small camera reads: the WiFi code and the pairing code as PNG."""

from __future__ import annotations

import io
import re

import segno

from services.common.errors import InvalidInput

__all__ = ["qr_png", "wifi_code"]

MODULE_PIXELS = 8  # at least, so that a screen's pixels do not show
IMAGE_PIXELS = 480  # about; small codes get larger modules
QUIET_ZONE = 4  # modules, ISO/IEC 18004
SSID_BYTES = 32  # IEEE 802.11
SPECIAL = re.compile(r'([\\;,:"])')


def qr_png(text: str) -> bytes:
    """A black and white PNG, modules of 8 pixels or more, with quiet zone.

    Error level L: fewest modules, which decides what a K210's camera reads; segno raises it where it costs no module.
    """
    code = segno.make_qr(text, error="l")
    modules = code.symbol_size(border=QUIET_ZONE)[0]
    scale = max(MODULE_PIXELS, -(-IMAGE_PIXELS // modules))
    file = io.BytesIO()
    code.save(file, kind="png", scale=scale, border=QUIET_ZONE)
    return file.getvalue()


def wifi_code(ssid: str, password: str) -> str:
    r"""`WIFI:T:WPA;S:<ssid>;P:<password>;;` with `\` before each of `\ ; , : "`; `T:nopass` for an open network.

    InvalidInput: BAD_SSID (not 1 to 32 bytes), BAD_WIFI_PASSWORD (not 8 to 63 printable ASCII characters).
    """
    if not 1 <= len(ssid.encode()) <= SSID_BYTES or not ssid.isprintable():
        message = f"The network name has {len(ssid.encode())} bytes; WiFi allows 1 to {SSID_BYTES}, printable."
        raise InvalidInput("BAD_SSID", message, fix="Give the name as the access point shows it.")
    if not password:
        return f"WIFI:T:nopass;S:{_escaped(ssid)};;"
    if not 8 <= len(password) <= 63 or not password.isascii() or not password.isprintable():
        message = f"The WiFi password has {len(password)} characters; WPA allows 8 to 63 of printable ASCII."
        raise InvalidInput("BAD_WIFI_PASSWORD", message, fix="Leave it empty for an open network.")
    return f"WIFI:T:WPA;S:{_escaped(ssid)};P:{_escaped(password)};;"


def _escaped(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text)
