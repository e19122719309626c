"""The OpenStack-native dialect: backups, volumes and snapshots under /v2 and /v3."""
