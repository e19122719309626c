"""Objects in a bucket of an S3-compatible store: AWS, Ceph RGW, MinIO and others that know If-None-Match."""

import re
import secrets
import threading
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
_CONFLICT_MARK = "ConditionalRequestConflict"
"""AWS's 409 to a conditional put beside another write: who of them won is open."""
_NO_BUCKET_MARK = "<Code>NoSuchBucket</Code>"
_CODE = re.compile(r"<Code>(\w+)</Code>")
_PROBE = ".probe-"
"""Begins like no name of an object, so no list shows one that a crash left."""


class CannotCreate(StoreError):
    """The server ignores If-None-Match: two writers could take the same name. No repository can lie there."""


class S3Store:
    """A prefix in a bucket. The library reads endpoint, region and credentials from the AWS_* variables."""

    def __init__(self, bucket: str, prefix: str | None) -> None:
        self._prefix = f"{check_name(prefix)}/" if prefix else ""
        self._create_lock = threading.Lock()
        self._can_create = False
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
        key = self._key(name)
        with self._create_lock:
            if not self._can_create:
                self._try_to_create_twice()
                self._can_create = True
        self._create(name, key, data)

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

    def _create(self, name: str, key: str, data: Bytes) -> None:
        with _translated(name):
            obstore.put(self._bucket, key, data, mode="create", use_multipart=False)

    def _try_to_create_twice(self) -> None:
        """CannotCreate if the server lets us: it would let others, too. Asked once, before anything relies on it."""
        key = f"{self._prefix}{_PROBE}{secrets.token_hex(16)}"
        self._create(key, key, b"")
        try:
            self._create(key, key, b"")
        except NameTaken:
            return
        finally:
            with _translated(key):
                obstore.delete(self._bucket, key)
        raise CannotCreate(
            "the S3 server ignores If-None-Match, so two writers could overwrite each other;"
            " a repository needs one that refuses the second, as Ceph RGW, MinIO and AWS do"
        )

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
    """The library's errors as ours. Not found is the builtin FileNotFoundError there."""
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        _raise(name, error)


def _raise(name: str, error: BaseError | FileNotFoundError) -> NoReturn:
    answer = str(error)
    # The first line, and of the server's XML only its code.
    text = " ".join(answer.split("\n", maxsplit=1)[0].partition(": <")[0].split())
    text += f" ({code[1]})" if (code := _CODE.search(answer)) else ""
    if _NO_BUCKET_MARK in answer:
        raise StoreError(f"there is no such bucket, and none is made; {name} was wanted in it") from error
    if isinstance(error, NotFoundError | FileNotFoundError):
        raise ObjectMissing(f"there is no object {name}") from error
    if _CONFLICT_MARK in answer:
        raise StoreUnavailable(f"somebody else writes at the same moment: {name}: {text}") from error
    if isinstance(error, AlreadyExistsError | PreconditionError):
        raise NameTaken(f"{name} exists already") from error
    if any(mark in answer for mark in _FULL_MARKS):
        raise StoreFull(f"the store is full: {name}: {text}") from error
    if isinstance(error, GenericError | JoinError):
        raise StoreUnavailable(f"the store did not answer: {name}: {text}") from error
    raise StoreError(f"the store refused: {name}: {text}") from error
