"""The story of one disk and three projects: alpha owns it, beta is given its backup, gamma is given nothing."""

import time
import uuid
from pathlib import Path
from typing import Any

from demo_image import GIB, MIB, bytes_used, check_filesystem, compare
from demo_promise import Broken, expect
from demo_report import Report, amount
from demo_service import Service
from demo_stranger import Stranger

from openvbs.cli.cloud import Cloud, Refused
from openvbs.cli.job import ENDED, follow_with_bar

_SHARES = "os-vendor-backup-sharing"
_LOOK_SECONDS = 0.02
_RACES_MAX = 4
_CHANGED_SHARE_MAX = 0.1
_VOLUME_STARTS = frozenset({"creating", "restoring-backup"})


class Story:
    """The steps, in the order in which they are told; each raises Broken when something is not as promised."""

    def __init__(self, report: Report, service: Service, image: Path) -> None:
        self._report = report
        self._service = service
        self._image = image
        self.volume_id = ""
        self._alpha, self._beta = Cloud("openvbs-alpha"), Cloud("openvbs-beta")
        self._gamma = Stranger(Cloud("openvbs-gamma"), self._alpha.project_id)
        self._backups: dict[str, str] = {}
        self._shares: list[str] = []
        self._jobs: list[str] = []

    def import_volume(self) -> None:
        with self._report.step("import it as a volume of alpha") as step:
            self.volume_id = self._import(self._image, "disk")
            step.size_bytes = self._image.stat().st_size
            step.result = "$ openvbs volume import monday.img --project alpha --name disk"

    def back_up(self, name: str, image: Path) -> None:
        """Back up the volume, which holds the image: the first time all of it, then only what changed is stored."""
        with self._report.step(f"back it up as {name}") as step:
            before = bytes_used(self._store())
            self._back_up(self.volume_id, name)
            step.size_bytes = bytes_used(image)
            step.stored_bytes = bytes_used(self._store()) - before
            self._nobody_else_knows()
            if len(self._backups) == 1:
                step.result = "deduplicated, compressed, encrypted; the rest of the disk is holes and costs nothing"
            else:
                share = step.stored_bytes / step.size_bytes
                step.result = f"a whole backup again, but only {share:.1%} of the data had to be stored"
                expect(share < _CHANGED_SHARE_MAX, "the second backup stored far more than what changed")

    def restore_as_owner(self) -> None:
        with self._report.step("alpha restores it into a new volume") as step:
            volume_id = self._restore_into_new(self._alpha, "monday")
            step.size_bytes = self._same_bytes(volume_id, self._image, inspect=True)
            step.result = "identical byte for byte, though the disk has changed; e2fsck finds it clean"
            self._nobody_else_knows()

    def share(self) -> None:
        with self._report.step("alpha shares monday with beta") as step:
            seen = self._seen_by_beta()
            expect(seen == [], "beta sees a backup before it is shared")
            self._share("monday")
            expect(self._seen_by_beta() == [self._backups["monday"]], "beta does not see the shared backup")
            step.result = "$ openvbs share create monday --with beta"
            self._nobody_else_knows()

    def restore_as_recipient(self) -> None:
        with self._report.step("beta restores it into a new volume") as step:
            volume_id = self._restore_into_new(self._beta, "monday")
            step.size_bytes = self._same_bytes(volume_id, self._image)
            step.result = "identical byte for byte"
            self._nobody_else_knows()

    def cancel_while_restoring(self) -> None:
        """Cancel the sharing while a second restore of beta's runs: that one ends well all the same.

        Whether it ran is looked at after the cancel; on a machine that is too quick for that, a larger backup is used.
        """
        name, image = "monday", self._image
        for race in range(1, _RACES_MAX + 1):
            with self._report.step("beta restores again, alpha cancels") as step:
                volume_id, job_id, done = self._cancel_in_the_middle(name, image)
                if done is not None:
                    job = self._succeeds(self._beta, job_id)
                    step.size_bytes = self._same_bytes(volume_id, image)
                    expect(job["progress"]["bytes_done"] == job["progress"]["bytes_total"], "the restore is not whole")
                    step.result = (
                        f"after the cancel it was RUNNING ({done}), then, as the rules say, SUCCESS: identical"
                    )
                    self._nobody_else_knows()
                    return
                step.result = "it had ended before the cancel; once more with a larger one"
            name = f"larger-{race}"
            image = self._larger_backup(name, GIB << race)
        raise Broken("every restore was too quick to be caught in the middle")

    def recipient_is_shut_out(self) -> None:
        with self._report.step("beta tries once more") as step:
            backup_id = self._backups["monday"]
            target = {"restore": {"volume_id": self._empty_volume(GIB)}}
            for path in (f"cloudbackups/{backup_id}/restore", f"backups/{backup_id}/restore"):
                expect(status(self._beta, "POST", path, target) == 404, f"beta may still POST {path}")
            expect(status(self._beta, "GET", f"backups/{backup_id}") == 404, "beta still sees the backup")
            for share_id in self._shares:
                expect(status(self._beta, "GET", f"{_SHARES}/{share_id}") == 404, "beta still sees the share")
            expect(self._seen_by_beta() == [], "the share is still in beta's list")
            expect(self._alpha.get(f"{_SHARES}/count") == {"count": 0}, "alpha still has live shares")
            step.result = "404 to every new restore; the backup and the share are gone from its lists"
        with self._report.step("gamma, a stranger, saw nothing") as step:
            self._nobody_else_knows()
            step.result = (
                f"{self._gamma.questions} questions after every step: empty lists and 404, as for ids never issued"
            )

    def owner_sees_what_happened(self) -> None:
        with self._report.step("alpha reads what was done with it") as step:
            wanted = ["share.create", "share.restore", "share.restore_end", "share.cancel"]
            events = list(self._alpha.pages("audit-events", "audit_events", backup_id=self._backups["monday"]))
            actions = {event["action"] for event in events}
            missing = [action for action in wanted if action not in actions]
            expect(not missing, f"the audit events lack {', '.join(missing)}")
            step.result = f"{len(events)} audit events, among them {', '.join(wanted)}"

    # What the steps are made of

    def _import(self, image: Path, name: str) -> str:
        return self._service.operator("volume", "import", str(image), "--project", "alpha", "--name", name)

    def _back_up(self, volume_id: str, name: str) -> None:
        wanted = {"backup": {"volume_id": volume_id, "name": name}}
        job = self._succeeds(self._alpha, self._alpha.call("POST", "cloudbackups", body=wanted).json()["job_id"])
        self._backups[name] = job["entities"]["backup_id"]

    def _share(self, name: str) -> None:
        made = self._service.tenant("openvbs-alpha", "share", "create", name, "--with", "beta")
        self._shares.append(made[0]["id"])

    def _restore_into_new(self, cloud: Cloud, name: str) -> str:
        answer = cloud.call("POST", f"backups/{self._backups[name]}/restore", body={"restore": {}})
        self._succeeds(cloud, answer.headers["X-OpenVBS-Job-Id"])
        return str(answer.json()["restore"]["volume_id"])

    def _cancel_in_the_middle(self, name: str, image: Path) -> tuple[str, str, str | None]:
        """Gives beta's volume, its restore job, and how far that was when the share was already cancelled:

        None when the job may have ended before that.
        """
        backup_id = self._backups[name]
        volume_id = self._empty_volume(image.stat().st_size)
        target = {"restore": {"volume_id": volume_id}}
        job_id = self._beta.call("POST", f"cloudbackups/{backup_id}/restore", body=target).json()["job_id"]
        self._jobs.append(job_id)
        while self._beta.get(f"jobs/{job_id}")["status"] == "INIT":
            time.sleep(_LOOK_SECONDS)
        self._alpha.call("DELETE", f"{_SHARES}/{self._shares[-1]}")
        job = self._beta.get(f"jobs/{job_id}")
        if job["status"] in ENDED:
            self._succeeds(self._beta, job_id)
            return volume_id, job_id, None
        expect(status(self._beta, "GET", f"backups/{backup_id}") == 404, "beta sees the backup after the cancel")
        progress = job["progress"]
        return volume_id, job_id, f"{amount(progress['bytes_done'])} of {amount(progress['bytes_total'])} done"

    def _larger_backup(self, name: str, size_bytes: int) -> Path:
        image = self._image.with_name(f"{name}.img")
        with image.open("wb") as file, Path("/dev/urandom").open("rb") as noise:
            for _ in range(size_bytes // MIB):
                file.write(noise.read(MIB))
        self._back_up(self._import(image, name), name)
        self._share(name)
        return image

    def _empty_volume(self, size_bytes: int) -> str:
        wanted = {"volume": {"size": size_bytes // GIB, "name": "empty"}}
        volume_id = str(self._beta.call("POST", "volumes", body=wanted).json()["volume"]["id"])
        while (found := self._beta.get(f"volumes/{volume_id}")["volume"]["status"]) in _VOLUME_STARTS:
            time.sleep(_LOOK_SECONDS)
        expect(found == "available", f"beta's new volume is {found}")
        return volume_id

    def _succeeds(self, cloud: Cloud, job_id: str) -> Any:
        self._jobs.append(job_id)
        job = follow_with_bar(cloud, job_id, seconds_between_looks=_LOOK_SECONDS)
        expect(job["status"] == "SUCCESS", f"job {job_id} ended {job['status']}: {job['fail_reason']}")
        return job

    def _same_bytes(self, volume_id: str, expected: Path, *, inspect: bool = False) -> int:
        """How many bytes the volume has, all of them those of the image; with ``inspect`` e2fsck looks at it too."""
        exported = expected.with_name(f"exported-{uuid.uuid4()}.img")
        self._service.operator("volume", "export", volume_id, str(exported))
        compared = compare(expected, exported)
        if inspect:
            check_filesystem(exported)
        exported.unlink()
        return compared

    def _seen_by_beta(self) -> list[str]:
        rows = self._service.tenant("openvbs-beta", "share", "list", "--to-me")
        return [row["backup_id"] for row in rows]

    def _nobody_else_knows(self) -> None:
        self._gamma.learns_nothing(
            backup_ids=list(self._backups.values()), share_ids=self._shares, job_ids=self._jobs[-1:]
        )

    def _store(self) -> Path:
        return self._service.data_dir / "store"


def status(cloud: Cloud, method: str, path: str, body: Any = None) -> int:
    """The HTTP status that a call gets, refused or not."""
    try:
        return int(cloud.call(method, path, body=body).status_code)
    except Refused as refused:
        return refused.status
