"""What a QR code says: a pairing code (docs/protocol.md section 1) or a WiFi code (section 9)."""

try:
    import ujson as json
except ImportError:
    import json

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
HOST_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LONGEST = 64


def _all_in(text, letters):
    for letter in text:
        if letter not in letters:
            return False
    return True


def base32(text):
    """26 characters of A-Z2-7 -> 16 bytes (RFC 4648, no padding). Raises ValueError."""
    if len(text) != 26 or not _all_in(text, LETTERS):
        raise ValueError("secret")
    number = 0
    for letter in text:
        number = number << 5 | LETTERS.index(letter)
    return (number >> 2).to_bytes(16, "big")  # 130 bits hold 128


def read_pairing(text):
    """`BL1:<host>[:port]:<board id>:<secret>` -> (host, port, board id, secret of 16 bytes), or None."""
    parts = text.split(":")
    if len(parts) == 4:
        parts.insert(2, "1883")
    if len(parts) != 5 or parts[0] != "BL1" or len(text.encode()) > LONGEST:
        return None
    host, port, board, secret = parts[1:]
    if not host or not _all_in(host, HOST_LETTERS + ".-") or host[0] in ".-" or host[-1] in ".-":
        return None
    if not 1 <= len(port) <= 5 or not _all_in(port, "0123456789") or not 1 <= int(port) <= 65535:
        return None
    if len(board) != 10 or not _all_in(board, LETTERS.lower()):
        return None
    try:
        return host, int(port), board, base32(secret)
    except ValueError:
        return None


def _fields(text):
    """`T:WPA;S:a\\;b;;` -> {"T": "WPA", "S": "a;b"}; a backslash takes the next character as it is."""
    fields = {}
    key, value, escaped = None, "", False
    for letter in text:
        if escaped:
            value += letter
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == ":" and key is None:
            key, value = value, ""
        elif letter == ";":
            if key is not None:
                fields[key] = value
            key, value = None, ""
        else:
            value += letter
    return fields


def read_wifi(text):
    """`WIFI:T:WPA;S:<ssid>;P:<password>;;` or MaixHub's {"s": ssid, "p": password} -> (ssid, password), or None."""
    if text.startswith("WIFI:"):
        fields = _fields(text[5:])
        ssid = fields.get("S", "")
        password = "" if fields.get("T", "").lower() == "nopass" else fields.get("P", "")
    else:
        try:
            fields = json.loads(text)
        except ValueError:
            return None
        if not isinstance(fields, dict):
            return None
        ssid, password = fields.get("s"), fields.get("p", "")
    if not isinstance(ssid, str) or not isinstance(password, str) or not ssid:
        return None
    return ssid, password
