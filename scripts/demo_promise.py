"""What the demo promises, and what happens when it is not so."""


class Broken(Exception):
    """Something is not as promised; the demo stops and says so."""


def expect(promised: object, otherwise: str) -> None:
    """Raise Broken with ``otherwise`` unless the promise holds."""
    if not promised:
        raise Broken(otherwise)
