"""OpenVBS: a self-hosted, multi-tenant Volume Backup Service."""

__version__ = "0.1.0"
