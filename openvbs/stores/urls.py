"""From what an operator writes to a store."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openvbs.errors import OpenVbsError
from openvbs.stores.base import Store, StoreError
from openvbs.stores.local import LocalStore
from openvbs.stores.retry import RetryStore
from openvbs.stores.s3 import S3Store


class BadUrl(OpenVbsError):
    """The place of a store is neither a directory nor s3://bucket/prefix."""


def folder_of(url: str) -> Path | None:
    """The directory that the store is; None for one that is elsewhere."""
    return None if "://" in url else Path(url)


def open_store(url: str) -> Store:
    """The store at a directory, made at the first write, or in a bucket; with retries.

    For a bucket, the usual AWS_* environment variables give endpoint, region and credentials.
    """
    if folder := folder_of(url):
        return RetryStore(LocalStore(folder.absolute()))
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise BadUrl(f"{url} is neither a directory nor s3://bucket/prefix")
    return RetryStore(S3Store(bucket, prefix.strip("/") or None))


@contextmanager
def scratch_store(url: str) -> Iterator[Store]:
    """A store on the same medium to try things with; the caller deletes its objects, and no folder stays behind."""
    medium = folder_of(url)
    if medium is None:
        yield open_store(url)
        return
    if not medium.is_dir():
        raise StoreError(f"{url} is not a folder that exists")
    with tempfile.TemporaryDirectory(prefix=".verify-", dir=url) as folder:
        yield open_store(folder)
