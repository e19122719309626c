"""Run OpenStack's own tests of backups, volumes and snapshots (tempest) against a service that is started for them.

    scripts/tempest.py PYTHON

PYTHON is an interpreter that has tempest; `make tempest` makes one. Ends with 1 when a test fails, after some five
minutes. Left out are tests that need what this service does not serve: images, servers, transfers of volumes.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from demo_service import Service

_MODULES = (
    "test_versions",
    "test_volumes_backup",
    "admin.test_volumes_backup",
    "test_volumes_snapshots",
    "test_volumes_snapshots_list",
    "test_volumes_snapshots_negative",
    "test_snapshot_metadata",
    "test_volumes_list",
    "test_volume_metadata",
    "test_volumes_clone",
    "test_volumes_clone_negative",
    "test_volume_delete_cascade",
    "test_volume_absolute_limits",
    "admin.test_volume_quotas",
    "admin.test_volume_quotas_negative",
)
_NOT_SERVED = re.compile(r"\[.*\b(image|compute)\b.*\]|transfer")
_CONFIG = """
[DEFAULT]
log_file = {folder}/tempest.log
[oslo_concurrency]
lock_path = {folder}
[auth]
use_dynamic_credentials = true
admin_username = {username}
admin_password = {password}
admin_project_name = {project_name}
admin_domain_name = Default
tempest_roles = member
create_isolated_networks = false
[identity]
uri_v3 = {auth_url}
auth_version = v3
region = RegionOne
default_domain_id = default
[service_available]
cinder = true
nova = false
glance = false
neutron = false
swift = false
[volume]
catalog_type = block-storage
min_microversion = 3.0
max_microversion = 3.64
[volume-feature-enabled]
backup = true
"""


def main() -> int:
    python = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="openvbs-tempest-") as name:
        folder = Path(name)
        service = Service(folder)
        try:
            service.start()
            _configure(folder, service.data_dir / "clouds.yaml")
            return _run(python, folder)
        finally:
            service.end()


def _configure(folder: Path, clouds_file: Path) -> None:
    auth = yaml.safe_load(clouds_file.read_text())["clouds"]["openvbs-admin"]["auth"]
    (folder / "tempest.conf").write_text(_CONFIG.format(folder=folder, **auth))


def _run(python: str, folder: Path) -> int:
    environment = {**os.environ, "TEMPEST_CONFIG_DIR": str(folder)}
    runner = [python, "-m", "testtools.run"]
    modules = [f"tempest.api.volume.{module}" for module in _MODULES]
    found = subprocess.run([*runner, "--list", *modules], env=environment, check=True, capture_output=True, text=True)
    wanted = [line for line in found.stdout.splitlines() if line and not _NOT_SERVED.search(line)]
    (folder / "wanted").write_text("\n".join(wanted))
    print(f"{len(wanted)} tests of {len(modules)} modules")
    return subprocess.run(
        [*runner, "--load-list", str(folder / "wanted"), *modules], env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
