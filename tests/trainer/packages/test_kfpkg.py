"""The .kfpkg against the rules of kflash.py, written down here again."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable

import pytest

from services.common.errors import InvalidInput
from services.trainer.packages import PackageContent, build
from services.trainer.packages.kfpkg import FILE_SYSTEM, MOST_BYTES, SECTOR

Content = Callable[..., PackageContent]
SECTOR_BYTES = 4096


def flashed(name: str, archive: bytes) -> dict[int, bytes]:
    """Address -> bytes written, as kflash.py does it (kflash.py: process() and flash_firmware())."""
    assert archive.startswith(b"PK") and name.endswith(".kfpkg")  # how it tells a kfpkg from a plain binary
    written = {}
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        text = opened.read("flash-list.json").decode()
        listed = json.loads(re.sub(r'"address": (.*),', r'"address": "\1",', text))
        for entry in listed["files"]:
            assert entry["sha256Prefix"] is False
            data = opened.read(entry["bin"])
            address = int(entry["address"], 0)
            assert address % SECTOR_BYTES == 0
            written[address] = data.ljust(-(-len(data) // SECTOR_BYTES) * SECTOR_BYTES, b"\0")
    return written


def test_kflash_writes_the_model_to_where_the_firmware_loads_it_from(content: Content) -> None:
    pack = content()
    written = flashed(*build("kfpkg", pack))
    assert list(written) == [0x300000]
    assert written[0x300000].startswith(pack.data) and not any(written[0x300000][len(pack.data) :])


def test_another_address_is_taken_up_to_the_file_system(content: Content) -> None:
    pack = content()
    last = FILE_SYSTEM - -(-len(pack.data) // SECTOR) * SECTOR
    assert list(flashed(*build("kfpkg", content(flash_address=last)))) == [last]


@pytest.mark.parametrize("address", [0, 0x2FF000, 0x300001, 0x300800, 0xD00000, 0xFFF000])
def test_an_address_of_somebody_else_is_refused_with_the_limits(content: Content, address: int) -> None:
    with pytest.raises(InvalidInput, match=r"0x300000.*0xd00000") as caught:
        build("kfpkg", content(flash_address=address))
    assert caught.value.reason == "FLASH_ADDRESS" and "0x300000" in caught.value.fix


def test_a_model_that_would_reach_into_the_file_system_is_refused(content: Content) -> None:
    with pytest.raises(InvalidInput, match="to 0xd01000"):
        build("kfpkg", content(flash_address=FILE_SYSTEM - SECTOR, data=bytes(SECTOR + 1)))


def test_a_model_that_maixpy_would_not_load_is_refused(content: Content) -> None:
    with pytest.raises(InvalidInput, match=str(MOST_BYTES)):
        build("kfpkg", content(data=bytes(MOST_BYTES)))
