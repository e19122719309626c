"""What this process knows to be written down already, so that reading costs no write, and mostly no query either."""

from collections.abc import Iterable

KEYS_MAX = 100_000


class Noted:
    """A bounded memory of ``once`` keys, by threads side by side. What it forgets is looked up in the table again."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def claim(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that nobody claimed, in their order; the caller writes them, or releases them."""
        known = self._keys
        new = [key for key in keys if key not in known]
        if new:
            if len(known) > KEYS_MAX:
                # Keys name their day, so old ones are of no use and go with all others.
                self._keys = known = set()
            known.update(new)
        return new

    def release(self, keys: Iterable[str]) -> None:
        """They could not be written; the next time is to try again."""
        self._keys.difference_update(keys)
