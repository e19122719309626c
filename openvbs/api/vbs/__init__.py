"""The VBS dialect: cloudbackups, sharing, jobs, audit events under /v1 and /v2."""
