"""Object store: named byte strings in a directory or in an S3 bucket, with the same behaviour.

A key is a path of names (`captures/ab/cd.jpg`): letters, digits and `._-`, separated by `/`, at most 512 characters; no
name begins with a dot.
"""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from services.common.errors import BoardloopError, InvalidInput, NotFound, StorageFull, Unavailable
from services.common.settings import CommonSettings

__all__ = ["DirectoryStore", "ObjectStore", "S3Store", "open_object_store"]

KEY = re.compile(r"(?!.{513})[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
PREFIX = re.compile(r"(?!.{513})(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/?)*")
PART_BYTES = 64 * 1024 * 1024  # of a multipart upload; smaller objects go in one request
STALE_SECONDS = 24 * 3600
FULL_CODES = {"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "SlowDownWrite"}


class ObjectStore(Protocol):
    """All methods raise InvalidInput (BAD_KEY) and Unavailable; threads may share a store."""

    def put(self, key: str, data: bytes) -> None:
        """Stores or replaces, wholly or not at all; durable when it returns. StorageFull when there is no room."""

    def stage(self, key: str, data: bytes) -> None:
        """put() whose durability may wait for settle(): for many objects at once."""

    def settle(self, keys: Iterable[str]) -> None:
        """Staged objects are durable when it returns."""

    def get(self, key: str) -> bytes:
        """The whole object; NotFound."""

    def read(self, key: str, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer, down to none, at the object's end. NotFound."""

    def size(self, key: str) -> int:
        """In bytes; NotFound."""

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None:
        """No error when it is not there."""

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys that begin with `prefix` ("" = all), in no promised order."""


def open_object_store(settings: CommonSettings) -> ObjectStore:
    """The store that `object_store_url` names, or the folder `<data_dir>/objects`."""
    if settings.object_store_url:
        return S3Store(settings.object_store_url)
    return DirectoryStore(settings.data_dir / "objects")


def _check(key: str) -> str:
    if not KEY.fullmatch(key):
        raise InvalidInput("BAD_KEY", f"{key[:80]!r} is no object key (letters, digits, ._- and /).")
    return key


def _check_prefix(prefix: str) -> str:
    if not PREFIX.fullmatch(prefix):
        raise InvalidInput("BAD_KEY", f"{prefix[:80]!r} is no beginning of an object key.")
    return prefix


def _check_range(offset: int, length: int) -> None:
    if offset < 0 or length < 0:
        raise InvalidInput("BAD_RANGE", f"Offset {offset} and length {length} must not be negative.")


def _missing(key: str) -> NotFound:
    return NotFound("OBJECT_NOT_FOUND", f"The object {key!r} is not in the store.")


class DirectoryStore:
    """Objects as files. Written under `.tmp`, synced, renamed, the folder synced: a power cut leaves all or nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._temporary = self.root / ".tmp"
        with _disk(str(root)):
            self._temporary.mkdir(parents=True, exist_ok=True)
            for path in self._temporary.iterdir():  # left by a process that was killed while it wrote
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink(missing_ok=True)

    def put(self, key: str, data: bytes) -> None:
        self.stage(key, data)
        self.settle([key])

    def stage(self, key: str, data: bytes) -> None:
        path = self.root / _check(key)
        temporary = self._temporary / secrets.token_hex(12)
        with _disk(key):
            try:
                _write_synced(temporary, data)
                _make_folder(path.parent)
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def settle(self, keys: Iterable[str]) -> None:
        for folder in {(self.root / _check(key)).parent for key in keys}:
            with _disk(str(folder)):
                _sync_folder(folder)

    def get(self, key: str) -> bytes:
        with _disk(key):
            return (self.root / _check(key)).read_bytes()

    def read(self, key: str, offset: int, length: int) -> bytes:
        _check_range(offset, length)
        with _disk(key), open(self.root / _check(key), "rb") as file:
            file.seek(offset)
            return file.read(length)

    def size(self, key: str) -> int:
        path = self.root / _check(key)
        with _disk(key):
            if not path.is_file():
                raise _missing(key)
            return path.stat().st_size

    def exists(self, key: str) -> bool:
        return (self.root / _check(key)).is_file()

    def delete(self, key: str) -> None:
        path = self.root / _check(key)
        with _disk(key):
            if path.is_file():
                path.unlink(missing_ok=True)
                _sync_folder(path.parent)

    def keys(self, prefix: str) -> Iterator[str]:
        folder = self.root / _check_prefix(prefix).rpartition("/")[0]
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            base = Path(parent).relative_to(self.root)
            for name in names:
                key = (base / name).as_posix()
                if key.startswith(prefix):
                    yield key


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(path: Path) -> None:
    """mkdir -p whose every new level survives a power cut."""
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _disk(what: str) -> Iterator[None]:
    """Turns the operating system's errors into ours."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise _missing(what) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fix = "Free space on the disk of BOARDLOOP_DATA_DIR; what was stored before is intact."
            raise StorageFull("STORAGE_FULL", f"The disk is full while writing {what!r}.", fix=fix) from error
        message = f"The disk failed at {what!r}: {error.strerror or error}"
        raise Unavailable("STORE_UNAVAILABLE", message, fix="See the disk of BOARDLOOP_DATA_DIR.") from error


class S3Store:
    """Objects in one bucket, made at the first use. `s3://ACCESS:SECRET@host:port/bucket?secure=false&region=…`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.bucket = parts.path.strip("/")
        if (
            parts.scheme != "s3"
            or not parts.hostname
            or not parts.username
            or not re.fullmatch(r"[^/]{3,63}", self.bucket)
        ):
            fix = "Write s3://ACCESS:SECRET@host:port/bucket; add ?secure=false for plain HTTP."
            raise InvalidInput("BAD_STORE_URL", "BOARDLOOP_OBJECT_STORE_URL cannot be read.", fix=fix)
        timeout = urllib3.Timeout(connect=5, read=30)
        retries = urllib3.Retry(total=2, backoff_factor=0.2, status_forcelist=[502, 503, 504])
        self._client = Minio(
            parts.netloc.rpartition("@")[2],
            access_key=unquote(parts.username),
            secret_key=unquote(parts.password or ""),
            secure=options.get("secure", "true") != "false",
            region=options.get("region", "us-east-1"),
            http_client=urllib3.PoolManager(maxsize=16, timeout=timeout, retries=retries),
        )
        self._lock = threading.Lock()
        self._bucket_known = False

    def put(self, key: str, data: bytes) -> None:
        with self._request(_check(key)) as client:
            client.put_object(self.bucket, key, io.BytesIO(data), len(data), part_size=PART_BYTES)

    def stage(self, key: str, data: bytes) -> None:
        self.put(key, data)

    def settle(self, keys: Iterable[str]) -> None:
        """Nothing to do: a put is answered when it is stored."""

    def get(self, key: str) -> bytes:
        with self._request(_check(key)) as client:
            return _body(client.get_object(self.bucket, key))

    def read(self, key: str, offset: int, length: int) -> bytes:
        _check_range(offset, length)
        if offset >= self.size(key) or length == 0:  # a range behind the end is an error in S3, not an empty answer
            return b""
        with self._request(key) as client:
            return _body(client.get_object(self.bucket, key, offset=offset, length=length))

    def size(self, key: str) -> int:
        with self._request(_check(key)) as client:
            return client.stat_object(self.bucket, key).size or 0

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except NotFound:
            return False
        return True

    def delete(self, key: str) -> None:
        with self._request(_check(key)) as client:
            client.remove_object(self.bucket, key)

    def keys(self, prefix: str) -> Iterator[str]:
        with self._request(_check_prefix(prefix)) as client:
            for item in client.list_objects(self.bucket, prefix=prefix, recursive=True):
                if item.object_name and not item.is_dir:
                    yield item.object_name

    @contextmanager
    def _request(self, key: str) -> Iterator[Minio]:
        """The client, its bucket there, its errors turned into ours."""
        try:
            with self._lock:
                if not self._bucket_known:
                    if not self._client.bucket_exists(self.bucket):
                        self._make_bucket()
                    self._bucket_known = True
            yield self._client
        except S3Error as error:
            raise _from_s3(error, key) from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            message = f"The object store does not answer ({type(error).__name__}) at {key!r}."
            fix = "See that it runs and BOARDLOOP_OBJECT_STORE_URL is right; then try again."
            raise Unavailable("STORE_UNAVAILABLE", message, fix=fix) from error

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self.bucket)
        except S3Error as error:
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):  # another service was faster
                raise


def _body(response: urllib3.BaseHTTPResponse) -> bytes:
    try:
        return response.read()
    finally:
        response.close()
        response.release_conn()


def _from_s3(error: S3Error, key: str) -> BoardloopError:
    if error.code in ("NoSuchKey", "NoSuchObject"):
        return _missing(key)
    if error.code in FULL_CODES or error.response.status == 507:
        fix = "Free space in the object store; what was stored before is intact."
        return StorageFull("STORAGE_FULL", f"The object store is full while writing {key!r}.", fix=fix)
    message = f"The object store answered {error.code} at {key!r}: {error.message}"
    return Unavailable("STORE_UNAVAILABLE", message, fix="See the store's log and BOARDLOOP_OBJECT_STORE_URL.")
