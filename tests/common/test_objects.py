"""services/common/objects.py: the same tests on a directory and on a real S3."""

from __future__ import annotations

import errno
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import InvalidInput, NotFound, StorageFull, Unavailable
from services.common.objects import DirectoryStore, ObjectStore, S3Store, open_object_store
from services.common.settings import CommonSettings
from tests.servers import free_port


def test_an_object_comes_back_as_it_went_in(any_store: ObjectStore) -> None:
    data = bytes(range(256)) * 100
    any_store.put("captures/ab/one.jpg", data)
    assert any_store.get("captures/ab/one.jpg") == data
    assert any_store.size("captures/ab/one.jpg") == len(data)
    assert any_store.exists("captures/ab/one.jpg")


def test_an_empty_object_is_an_object(any_store: ObjectStore) -> None:
    any_store.put("empty", b"")
    assert any_store.get("empty") == b"" and any_store.size("empty") == 0 and any_store.exists("empty")


def test_a_second_put_replaces(any_store: ObjectStore) -> None:
    any_store.put("a/b", b"a longer first content")
    any_store.put("a/b", b"second")
    assert any_store.get("a/b") == b"second"


def test_an_object_of_20_mib_passes(any_store: ObjectStore) -> None:
    data = os.urandom(1024 * 1024) * 20
    any_store.put("models/big", data)
    assert any_store.get("models/big") == data


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 4, b"0123"), (3, 4, b"3456"), (8, 100, b"89"), (10, 5, b""), (50, 5, b""), (2, 0, b"")],
)
def test_a_part_can_be_read(any_store: ObjectStore, offset: int, length: int, expected: bytes) -> None:
    any_store.put("digits", b"0123456789")
    assert any_store.read("digits", offset, length) == expected


def test_what_is_not_there_is_not_found(any_store: ObjectStore) -> None:
    any_store.put("folder/x", b"1")
    for key in ("nothing", "folder", "folder/x/y"):
        assert not any_store.exists(key)
        for ask in (any_store.get, any_store.size, lambda key: any_store.read(key, 0, 1)):
            with pytest.raises(NotFound):
                ask(key)


def test_delete_removes_and_does_not_mind_absence(any_store: ObjectStore) -> None:
    any_store.put("a/b", b"1")
    any_store.put("a/c", b"2")
    any_store.delete("a/b")
    any_store.delete("a/b")
    any_store.delete("never/there")
    any_store.delete("a")
    assert not any_store.exists("a/b") and any_store.get("a/c") == b"2"


def test_keys_are_listed_by_prefix(any_store: ObjectStore) -> None:
    names = ["captures/a1", "captures/a2", "captures/b/c1", "models/m.kmodel", "top"]
    for name in names:
        any_store.put(name, b"x")
    assert sorted(any_store.keys("")) == names
    assert sorted(any_store.keys("captures/")) == names[:3]
    assert sorted(any_store.keys("captures/a")) == names[:2]
    assert sorted(any_store.keys("cap")) == names[:3]
    assert list(any_store.keys("other/")) == []


def test_many_keys_are_all_listed(any_store: ObjectStore) -> None:
    names = {f"many/{number:04}" for number in range(1100)}  # more than one page of S3's list
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: any_store.put(name, b""), sorted(names)))
    assert set(any_store.keys("many/")) == names


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../up",
        "a/../b",
        "a//b",
        "a/",
        ".hidden",
        "a/.b",
        "a b",
        "a\\b",
        "a\nb",
        "ä",
        "a\0",
        "x" * 513,
    ],
)
def test_a_key_that_is_none_is_refused(any_store: ObjectStore, key: str) -> None:
    for act in (lambda: any_store.put(key, b"1"), lambda: any_store.get(key), lambda: any_store.delete(key)):
        with pytest.raises(InvalidInput):
            act()


@pytest.mark.parametrize("prefix", ["../", "/", "a//", ".t", "a b"])
def test_a_prefix_that_is_none_is_refused(any_store: ObjectStore, prefix: str) -> None:
    with pytest.raises(InvalidInput):
        list(any_store.keys(prefix))


def test_a_negative_range_is_refused(any_store: ObjectStore) -> None:
    any_store.put("x", b"123")
    with pytest.raises(InvalidInput):
        any_store.read("x", -1, 1)


def test_threads_may_share_a_store(any_store: ObjectStore) -> None:
    def round_trip(number: int) -> bool:
        data = str(number).encode() * 1000
        any_store.put(f"threads/{number % 10}/{number}", data)
        return any_store.get(f"threads/{number % 10}/{number}") == data

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(round_trip, range(100)))


# ---------------------------------------------------------------------- the directory


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, number: int
) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/kept", b"old")

    def full(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, full)
        with pytest.raises(StorageFull):
            store.put("a/kept", b"new")
    assert [path.read_bytes() for path in files_below(tmp_path)] == [b"old"]


def test_a_really_full_disk_keeps_what_it_had(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root may mount the small disk that this test fills")
    try:
        store = DirectoryStore(tmp_path)
        store.put("a/kept", b"x" * 50_000)
        with pytest.raises(StorageFull):
            store.put("a/kept", b"y" * 200_000)
        assert store.get("a/kept") == b"x" * 50_000 and len(files_below(tmp_path)) == 1
        store.put("b/small", b"z" * 1000)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_an_unwritable_disk_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(tmp_path)

    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(Unavailable, match="Input/output error"):
        store.put("a", b"1")


def test_the_file_and_its_folder_are_synced_before_put_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    DirectoryStore(tmp_path).put("new/folder/name", b"1")
    temporary, *folders = synced
    assert temporary.startswith(str(tmp_path / ".tmp"))
    assert {str(tmp_path), str(tmp_path / "new"), str(tmp_path / "new/folder")} <= set(folders)
    assert folders[-1] == str(tmp_path / "new/folder")


def test_what_a_killed_process_left_is_cleared_away_after_a_day(tmp_path: Path) -> None:
    DirectoryStore(tmp_path)
    old, young = tmp_path / ".tmp" / "old", tmp_path / ".tmp" / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    DirectoryStore(tmp_path)
    assert not old.exists() and young.exists()
    assert list(DirectoryStore(tmp_path).keys("")) == []


def test_the_default_store_is_a_folder_of_the_data_directory(tmp_path: Path) -> None:
    open_object_store(CommonSettings(data_dir=tmp_path)).put("a/b", b"1")
    assert (tmp_path / "objects" / "a" / "b").read_bytes() == b"1"


# ---------------------------------------------------------------------- S3


def test_the_bucket_is_made_at_the_first_use(s3_url: str) -> None:
    store = open_object_store(CommonSettings(object_store_url=s3_url.replace("/boardloop?", "/fresh?")))
    store.put("a", b"1")
    assert store.get("a") == b"1"


def test_a_wrong_secret_is_unavailable(s3_url: str) -> None:
    with pytest.raises(Unavailable) as raised:
        S3Store(s3_url.replace("SECRET", "WRONG")).put("a", b"1")
    assert "SignatureDoesNotMatch" in raised.value.message or "AccessDenied" in raised.value.message


def test_a_store_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable) as raised:
        S3Store(f"s3://a:b@127.0.0.1:{free_port()}/bucket?secure=false").get("a")
    assert raised.value.reason == "STORE_UNAVAILABLE"


@pytest.mark.parametrize(
    "url", ["http://a:b@host/bucket", "s3://host/bucket", "s3://a:b@host/", "s3://a:b@host/a/b", "x"]
)
def test_an_address_of_no_store_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        S3Store(url)
    assert raised.value.reason == "BAD_STORE_URL"


def test_staged_objects_are_there_once_settled(any_store: ObjectStore) -> None:
    objects = {f"batch/{number}/x": bytes([number]) * 100 for number in range(5)}
    for key, data in objects.items():
        any_store.stage(key, data)
    any_store.settle(objects)
    assert {key: any_store.get(key) for key in any_store.keys("batch/")} == objects
    with pytest.raises(InvalidInput):
        any_store.stage("../outside", b"x")
