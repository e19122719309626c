"""Objects in a bucket of an S3-compatible store: AWS, Ceph RGW, MinIO and others that know If-None-Match."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    JoinError,
    NotFoundError,
    PreconditionError,
)
from obstore.store import S3Store as Bucket

from openvbs.stores.base import (
    BadName,
    Bytes,
    NameTaken,
    ObjectInfo,
    ObjectMissing,
    ObjectTooShort,
    StoreError,
    StoreFull,
    StoreUnavailable,
    check_name,
)

_LIST_CHUNK = 1000
_CONNECT_TIMEOUT = timedelta(seconds=10)
_REQUEST_TIMEOUT = timedelta(minutes=5)
"""Enough for a whole pack at 1 Mbit/s."""
_FULL_MARKS = ("QuotaExceeded", "507 Insufficient Storage", "XMinioStorageFull")


class S3Store:
    """A prefix in a bucket. The library reads endpoint, region and credentials from the AWS_* variables."""

    def __init__(self, bucket: str, prefix: str | None) -> None:
        self._prefix = f"{check_name(prefix)}/" if prefix else ""
        with _translated(f"s3://{bucket}"):
            # One request is one try here: stores/retry.py is the place that repeats.
            self._bucket = Bucket(
                bucket,
                client_options={
                    "allow_http": True,  # only used if the endpoint that was configured says http
                    "connect_timeout": _CONNECT_TIMEOUT,
                    "timeout": _REQUEST_TIMEOUT,
                },
                retry_config={"max_retries": 0},
            )

    def put(self, name: str, data: Bytes) -> None:
        with _translated(name):
            # Not in parts: a crash would leave parts that no listing shows and that cost space.
            obstore.put(self._bucket, self._key(name), data, use_multipart=False)

    def create(self, name: str, data: Bytes) -> None:
        with _translated(name):
            obstore.put(self._bucket, self._key(name), data, mode="create", use_multipart=False)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        key = self._key(name)
        if length is None and not offset:
            with _translated(name):
                return obstore.get(self._bucket, key).bytes().to_bytes()
        size = self.stat(name).size_bytes if length is None or not length else None
        wanted = length if length is not None else max(0, (size or 0) - offset)
        if size is not None and offset + wanted > size:
            raise ObjectTooShort(f"{name} has {size} bytes; {offset + wanted} were asked for")
        if not wanted:
            return b""
        try:
            with _translated(name):
                data = obstore.get_range(self._bucket, key, start=offset, length=wanted).to_bytes()
        except StoreUnavailable:
            # A range that begins after the end is an error too, and not one that time mends.
            self._refuse_beyond(name, offset + wanted)
            raise
        if len(data) < wanted:
            raise ObjectTooShort(f"{name} has {offset + len(data)} bytes; {offset + wanted} were asked for")
        return data

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder = self._prefix + prefix.rpartition("/")[0]
        with _translated(prefix):
            for chunk in obstore.list(self._bucket, folder or None, chunk_size=_LIST_CHUNK):
                for meta in chunk:
                    name = meta["path"].removeprefix(self._prefix)
                    if name.startswith(prefix) and _is_name(name):
                        yield ObjectInfo(name, meta["size"], meta["last_modified"].timestamp())

    def stat(self, name: str) -> ObjectInfo:
        with _translated(name):
            meta = obstore.head(self._bucket, self._key(name))
            return ObjectInfo(name, meta["size"], meta["last_modified"].timestamp())

    def delete(self, name: str) -> None:
        key = self._key(name)
        try:
            with _translated(name):
                obstore.delete(self._bucket, key)
        except ObjectMissing:
            return

    def close(self) -> None:
        pass  # the library closes its connections when they idle

    def _key(self, name: str) -> str:
        return self._prefix + check_name(name)

    def _refuse_beyond(self, name: str, end: int) -> None:
        size = self.stat(name).size_bytes
        if end > size:
            raise ObjectTooShort(f"{name} has {size} bytes; {end} were asked for")


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except BadName:
        return False
    return True


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """The library's errors as ours."""
    try:
        yield
    except BaseError as error:
        _raise(name, error)
    except FileNotFoundError as error:
        raise ObjectMissing(f"there is no object {name}") from error


def _raise(name: str, error: BaseError) -> NoReturn:
    text = " ".join(str(error).split("\n")[0].split())
    if isinstance(error, NotFoundError):
        raise ObjectMissing(f"there is no object {name}") from error
    if isinstance(error, AlreadyExistsError | PreconditionError):
        raise NameTaken(f"{name} exists already") from error
    if any(mark in str(error) for mark in _FULL_MARKS):
        raise StoreFull(f"the store is full: {name}: {text}") from error
    if isinstance(error, GenericError | JoinError):
        raise StoreUnavailable(f"the store did not answer: {name}: {text}") from error
    raise StoreError(f"the store refused: {name}: {text}") from error
