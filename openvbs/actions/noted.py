"""What this process knows to be written down already, so that reading costs no write, and mostly no query either."""

from collections.abc import Iterable

KEYS_MAX = 100_000


class Noted:
    """A bounded memory of ``once`` keys, by threads side by side. What it forgets is looked up in the table again."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def unknown(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that are not known to be written, in their order."""
        known = self._keys
        return [key for key in keys if key not in known]

    def add(self, keys: Iterable[str]) -> None:
        """They are written. Keys name their day, so old ones are of no use and go with all others when it is full."""
        if len(self._keys) > KEYS_MAX:
            self._keys = set()
        self._keys.update(keys)
