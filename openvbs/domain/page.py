"""One page of a list."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items in order; has_more says that rows follow after the last; total counts all matches when asked for."""

    items: list[T]
    has_more: bool = False
    total: int | None = None
