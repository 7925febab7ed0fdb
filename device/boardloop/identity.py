"""Who this board is: the document boardloop.json.

{"wifi": {"ssid": "…", "password": "…"}, "host": "…", "port": 1883, "board": "<id>", "secret": "<32 hex>", "paired":
 true, "signer": "<768 hex>", "previous": {…the same of an older pairing…}}

A person may put "wifi_code" and "pairing_code" into it on the card; they are taken over once and removed. "lang": "zh"
turns the display to Chinese. `boots` counts starts (see crypto.Pool) and lives in a document of its own.
"""

from boardloop import codes
from boardloop.crypto import hexlify, sha256, unhex
from boardloop.frames import Keys, renew_secret

NAME = "boardloop.json"
BOOTS = "boots.json"
PAIRING_FIELDS = ("host", "port", "board", "secret", "paired", "signer")


class Identity:
    def __init__(self, storage):
        self._storage = storage
        self._keys = None
        self._document = storage.load(NAME)
        self.boots = self.count_boot()
        self._take_codes()

    def count_boot(self):
        """A number that no two boots of this board share."""
        boots = self._storage.load(BOOTS).get("boots", 0) + 1
        self._storage.save(BOOTS, {"boots": boots})
        self.boots = boots
        return boots

    def _take_codes(self):
        wifi, pairing = self._document.pop("wifi_code", None), self._document.pop("pairing_code", None)
        if isinstance(wifi, str):
            self.take(wifi)
        if isinstance(pairing, str):
            self.take(pairing)

    def take(self, text):
        """Take over a scanned text -> "wifi", "pairing" or None when it is neither."""
        wifi = codes.read_wifi(text)
        if wifi:
            self._document["wifi"] = {"ssid": wifi[0], "password": wifi[1]}
            self._save()
            return "wifi"
        pairing = codes.read_pairing(text)
        if not pairing:
            return None
        if self.paired:
            self._document["previous"] = self._pick(self._document)
        host, port, board, secret = pairing
        self._set(
            {"host": host, "port": port, "board": board, "secret": hexlify(secret), "paired": False, "signer": ""}
        )
        return "pairing"

    def _pick(self, document):
        picked = {}
        for field in PAIRING_FIELDS:
            picked[field] = document[field]
        return picked

    def _set(self, fields):
        self._document.update(fields)
        self._keys = None
        self._save()

    def _save(self):
        self._storage.save(NAME, self._document)

    def finish(self, board_nonce, server_nonce, signer):
        """The pairing WELCOME came: the code's secret P gives way to the board's own S. Durable when it returns."""
        secret = renew_secret(unhex(self._document["secret"], 16), board_nonce, server_nonce)
        self._document.pop("previous", None)
        self._set({"secret": hexlify(secret), "paired": True, "signer": signer})

    def go_back(self):
        """A new code did not work: be again who the board was before -> False when it was nobody."""
        previous = self._document.pop("previous", None)
        if not previous:
            return False
        self._set(self._pick(previous))
        return True

    @property
    def known(self):
        """There is a pairing code or a pairing to log in with."""
        return "secret" in self._document

    @property
    def paired(self):
        return bool(self._document.get("paired"))

    @property
    def keys(self):
        if self._keys is None:
            self._keys = Keys(unhex(self._document["secret"], 16))
        return self._keys

    @property
    def login(self):
        """MQTT user name and client id."""
        return self.board if self.paired else self.board + ".pair"

    @property
    def board(self):
        return self._document.get("board", "")

    @property
    def host(self):
        return self._document["host"]

    @property
    def port(self):
        return self._document["port"]

    @property
    def signer(self):
        return self._document.get("signer", "")

    @property
    def trust(self):
        """A short name of the signer: the security counter counts per signer."""
        return hexlify(sha256(self.signer.encode())[:8])

    @property
    def wifi(self):
        """(ssid, password) or None."""
        wifi = self._document.get("wifi")
        return (wifi["ssid"], wifi["password"]) if wifi else None

    @property
    def language(self):
        return self._document.get("lang", "en")
