"""Whether we can listen where we are told to."""

import socket

from openvbs.config import Address, ConfigError


def check_port(option: str, address: Address) -> None:
    """Raise ConfigError, naming the option, when nobody can listen there: taken, not allowed, not our address."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server itself does: connections of an earlier run that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            flag = option.replace("_", "-")
            reason = f"cannot listen on {address}: {error.strerror or error}; choose another with --{flag}"
            raise ConfigError(option, reason) from error
