"""kfpkg: the model as Sipeed's kflash writes it into a K210's flash, beside the firmware that is there.

    0x000000          0x300000 (default)                    0xD00000           0x1000000
    | firmware         | models                              | file system /flash |

A .kfpkg is a zip with flash-list.json. kflash puts the addresses into quotes by the regular expression
`"address": (.*),` before it parses the JSON (kflash.py, 1.1.x): one key to a line, `address` not the last one.
"""

from __future__ import annotations

import json

from services.common.errors import InvalidInput
from services.trainer.packages.content import FLASH_ADDRESS, Package, PackageContent

__all__ = ["FILE_SYSTEM", "PACKAGE", "SECTOR"]

SECTOR = 0x1000  # kflash writes whole sectors of 4 KiB
FILE_SYSTEM = 0xD00000  # SPIFFS of MaixPy-v1, 3 MiB (vfs_spiffs.c); writing over it costs the board its files
MOST_BYTES = 6 * 1024 * 1024  # MaixPy refuses models of that size and more


def _contents(content: PackageContent) -> dict[str, bytes]:
    _check(content)
    model = f"{content.stem}.kmodel"
    entry = {"address": content.flash_address, "bin": model, "sha256Prefix": False}  # a prefix is for firmware only
    listed = json.dumps({"version": "0.1.0", "files": [entry]}, indent=2)
    return {"flash-list.json": f"{listed}\n".encode(), model: content.data}


def _check(content: PackageContent) -> None:
    address, size = content.flash_address, len(content.data)
    end = address + -(-size // SECTOR) * SECTOR
    if size >= MOST_BYTES:
        raise InvalidInput(
            "MODEL_TOO_LARGE",
            f"The model has {size} bytes; MaixPy loads models below {MOST_BYTES}.",
            fix="Use a narrower network.",
        )
    if address % SECTOR or address < FLASH_ADDRESS or end > FILE_SYSTEM:
        raise InvalidInput(
            "FLASH_ADDRESS",
            f"The model would take the flash from {address:#x} to {end:#x}. Models lie in whole sectors of {SECTOR} "
            f"bytes between {FLASH_ADDRESS:#x}, the end of the firmware's room, and {FILE_SYSTEM:#x}, where the "
            "board's file system begins.",
            fix=f"Choose a multiple of {SECTOR:#x} from {FLASH_ADDRESS:#x} to {FILE_SYSTEM - (end - address):#x}.",
        )


PACKAGE = Package("kfpkg", ".kfpkg", lambda target: target.board_type == "k210", _contents)
