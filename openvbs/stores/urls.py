"""From what an operator writes to a store."""

from collections.abc import Mapping
from pathlib import Path

from openvbs.errors import OpenVbsError
from openvbs.stores.base import Store
from openvbs.stores.local import LocalStore


class BadUrl(OpenVbsError):
    """The place of a store is neither a directory nor s3://bucket/prefix."""


def open_store(url: str, *, environment: Mapping[str, str] | None = None) -> Store:
    """The store at a directory, made if absent, or in a bucket.

    For a bucket, environment holds the usual AWS_* variables.
    """
    if "://" not in url:
        return LocalStore(Path(url).absolute())
    raise BadUrl(f"{url} is neither a directory nor s3://bucket/prefix")
