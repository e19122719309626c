"""A project that has nothing to do with the backup asks for it in every way there is, and must learn nothing."""

import uuid
from collections.abc import Callable
from typing import Any

from demo_promise import Broken, expect

from openvbs.cli.cloud import Cloud, Refused

_LISTS = (
    ("backups", "backups"),
    ("backups/detail", "backups"),
    ("os-vendor-backup-sharing/detail", "shared"),
    ("os-vendor-backup-sharing/detail?share_to_me=true", "shared"),
    ("jobs", "jobs"),
    ("audit-events", "audit_events"),
    ("volumes/detail", "volumes"),
    ("snapshots/detail", "snapshots"),
)
_NO_VOLUME = str(uuid.uuid4())


class Stranger:
    """Project gamma. ``questions`` counts what it asked so far."""

    def __init__(self, cloud: Cloud, owner_project_id: str) -> None:
        self._cloud = cloud
        self._v3 = cloud.url.replace("/v2/", "/v3/")
        self._owner_url = cloud.url.replace(cloud.project_id, owner_project_id)
        self.questions = 0

    def learns_nothing(self, *, backup_ids: list[str], share_ids: list[str], job_ids: list[str]) -> None:
        """Ask about everything that exists by now. Raises Broken if any answer gives something away."""
        for path, key in _LISTS:
            expect(self._get(path)[key] == [], f"gamma's list {path} is not empty")
        expect(self._get("os-vendor-backup-sharing/count") == {"count": 0}, "gamma counts shares")
        for backup_id in backup_ids:
            self._about("GET", "backups/{}", backup_id)
            self._about("GET", f"{self._v3}/backups/{{}}", backup_id)
            self._about("DELETE", "backups/{}", backup_id)
            self._about("DELETE", "os-vendor-backup-sharing/{}?is_backup_id=true", backup_id)
            self._about("POST", "cloudbackups/{}", backup_id)
            self._about("POST", "cloudbackups/{}/restore", backup_id, lambda _: {"restore": {"volume_id": _NO_VOLUME}})
            self._about("POST", f"{self._v3}/backups/{{}}/restore", backup_id, lambda _: {"restore": {}})
            self._about("POST", "os-vendor-backup-sharing", backup_id, _share_on)
            expect(
                self._refused("GET", f"{self._owner_url}/backups/{backup_id}")[0] == 403,
                "gamma is not stopped at the door of alpha's project",
            )
        for share_id in share_ids:
            self._about("GET", "os-vendor-backup-sharing/{}", share_id)
            self._about("DELETE", "os-vendor-backup-sharing/{}", share_id)
        for job_id in job_ids:
            self._about("GET", "jobs/{}", job_id)
            self._about("DELETE", "jobs/{}", job_id)

    def _about(self, method: str, path: str, real_id: str, body: Callable[[str], Any] = lambda _: None) -> None:
        """The answer must be 404 and the same, word for word, as for an id that never existed."""
        never_issued = str(uuid.uuid4())
        real = self._refused(method, path.format(real_id), body(real_id))
        unreal = self._refused(method, path.format(never_issued), body(never_issued))
        expect(real[0] == 404, f"{method} {path.format(real_id)} answers gamma {real[0]}")
        expect(
            real[1].replace(real_id, "") == unreal[1].replace(never_issued, ""),
            f"{method} {path.format(real_id)} tells gamma that it exists",
        )

    def _get(self, path: str) -> Any:
        self.questions += 1
        return self._cloud.get(path)

    def _refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        self.questions += 1
        try:
            self._cloud.call(method, path, body=body)
        except Refused as refused:
            return refused.status, str(refused)
        raise Broken(f"{method} {path} is not refused to gamma")


def _share_on(backup_id: str) -> Any:
    return {"shared": {"backup_id": backup_id, "to_project_ids": ["anybody"]}}
