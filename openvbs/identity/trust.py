"""Which certificates clients on this machine need to be told to trust."""

from pathlib import Path

from cryptography import x509

from openvbs.config import Config, ConfigError, Tls


def trusted_ca(config: Config) -> Path | None:
    """The PEM file to check our servers with; None for plain HTTP or when the system's authorities will do."""
    if config.tls is None:
        return None
    if config.tls.ca is not None:
        return config.tls.ca
    return config.tls.cert if _is_self_signed(config.tls) else None


def _is_self_signed(tls: Tls) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(tls.cert.read_bytes())
    except ValueError as error:
        raise ConfigError("tls_cert", f"{tls.cert} does not start with a PEM certificate: {error}") from error
    return certificate.issuer == certificate.subject
