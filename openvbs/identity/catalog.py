"""What the catalog of the embedded Keystone must say, as a value."""

from dataclasses import dataclass

from openvbs.config import REGION, Config

INTERFACES = ("public", "internal", "admin")


@dataclass(frozen=True, slots=True)
class Entry:
    """One service and the URL of all its three interfaces in our region."""

    type: str
    name: str
    url: str


def entries(config: Config) -> list[Entry]:
    """Every service that clients look up, by the types that real ones ask for."""
    base = config.public_url
    v3, v2 = f"{base}/v3/$(project_id)s", f"{base}/v2/$(project_id)s"
    return [
        Entry("identity", "keystone", f"{config.identity_public_url}/v3"),
        Entry("volumev3", "openvbs-v3", v3),
        Entry("block-storage", "openvbs-block-storage", v3),
        Entry("volumev2", "openvbs-v2", v2),
        Entry("vbs", "openvbs-vbs", v2),
        Entry("vbsv2", "openvbs-vbsv2", v2),
    ]


def trap(public_url: str) -> str | None:
    """Why known clients would mangle this URL, or None.

    One Terraform provider replaces the first "evs" by "vbs" in it, one Go SDK the first "v2" by "v1".
    """
    for word in ("evs", "v2"):
        if word in public_url:
            return f"public_url {public_url} contains {word!r}, which some clients replace; choose another host or path"
    return None


__all__ = ["INTERFACES", "REGION", "Entry", "entries", "trap"]
