"""``openvbs serve`` from the outside: first start, stop, kill, what it refuses, and what it never says."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3

from tests.support.certificates import make_certificate
from tests.support.service import OPENVBS, RunningKeystone, RunningService, free_port_pair
from tests.support.waiting import until


def openvbs(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([OPENVBS, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def gone(pids: list[int]) -> bool:
    """True when none of these processes runs (a zombie does not run)."""
    for pid in pids:
        try:
            if not re.search(r"\) [ZX] ", Path(f"/proc/{pid}/stat").read_text()):
                return False
        except FileNotFoundError:
            continue
    return True


def descendants(pid: int) -> list[int]:
    """A process, its children and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(d for child in children for d in descendants(int(child)))]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1, and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_a_life_with_tls_and_kills(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """Killed in the middle of making its Keystone, it makes another one; killed again, it goes on on the same ports."""
    service = RunningService(tmp_path / "data", tls=certificate)
    unfinished = service.data_dir / "keystone.new" / "keystone.db"
    with killed_at_the_end(service):
        service.launch()
        until(lambda: service.is_ready() or unfinished.exists(), what="Keystone being made")
        assert unfinished.exists()
        first = descendants(service.pid)
    assert any("root.key" in line for line in service.said)
    assert any("NO BACKUP CAN BE READ" in line for line in service.said)
    assert not service.clouds_file.exists()
    until(lambda: gone(first), what="the killed service's processes ending")
    with killed_at_the_end(service):
        everything = live_with_tls(service, certificate[0])
    until(lambda: gone(everything), what="the killed service's processes ending")
    passwords = (service.data_dir / "passwords.json").read_text()
    with service:
        assert (service.data_dir / "passwords.json").read_text() == passwords
        assert service.session("openvbs-gamma").headers["X-Auth-Token"]
        assert_doctor_is_content(service)
        everything = descendants(service.pid)
    assert gone(everything)
    assert not (service.data_dir / "run.json").exists()
    assert_private(service.data_dir)
    assert_no_secret_was_said(service)


def test_a_keystone_that_is_stopped_while_it_is_made_writes_nothing_more(tmp_path: Path) -> None:
    keystone = RunningKeystone(tmp_path / "data", service_port=free_port_pair())
    keystone.launch()
    try:
        until((keystone.data_dir / "keystone.new" / "keystone.db").exists, what="Keystone being made")
        everything = descendants(keystone.pid)
        assert len(everything) == 2
        os.kill(keystone.pid, signal.SIGTERM)
        until(lambda: gone(everything), what="its processes ending")
        assert not (keystone.data_dir / "keystone").exists()
    finally:
        keystone.kill()


@contextlib.contextmanager
def killed_at_the_end(service: RunningService) -> Iterator[None]:
    try:
        yield
    finally:
        if service.running:
            service.kill()


def live_with_tls(service: RunningService, ca: Path) -> list[int]:
    """Start and use it; gives all its processes."""
    service.start()
    assert service.said == [f"ready {service.url} clouds {service.clouds_file}"]
    assert requests.get(f"{service.url}/healthcheck", verify=str(ca), timeout=30).status_code == 200
    assert service.clouds()["openvbs-alpha"]["cacert"] == str(ca)
    with service.connection("openvbs-alpha") as alpha:
        assert list(alpha.block_storage.backups()) == []
    everything = descendants(service.pid)
    assert len(everything) >= 6  # supervisor, worker, and two each for API and Keystone
    return everything


def assert_doctor_is_content(service: RunningService) -> None:
    checked = openvbs("doctor", "--json", f"--data-dir={service.data_dir}")
    levels = {finding["check"]: finding["level"] for finding in json.loads(checked.stdout)}
    assert checked.returncode == 0, checked.stdout
    assert levels.pop("store space") in {"ok", "warn"}
    assert set(levels.values()) == {"ok"}, checked.stdout
    assert {"certificate", "service user", "catalog", "worker", "clock of Keystone"} <= set(levels)


def assert_private(data_dir: Path) -> None:
    for path in [data_dir, *data_dir.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert not mode & 0o077, f"{path} has mode {mode:o}"


def assert_no_secret_was_said(service: RunningService) -> None:
    secrets = list(json.loads((service.data_dir / "passwords.json").read_text())["passwords"].values())
    secrets += (service.data_dir / "root.key").read_text().strip().split("-")[-2:-1]
    for keys in ("fernet-keys", "credential-keys"):
        secrets += [file.read_text() for file in (service.data_dir / "keystone" / keys).iterdir()]
    assert len(secrets) >= 10
    said = service.log() + "\n".join(service.said)
    assert said
    for secret in secrets:
        assert len(secret) > 30
        assert secret not in said


def test_a_second_service_in_the_same_directory_is_refused(service: RunningService) -> None:
    second = openvbs("serve", f"--data-dir={service.data_dir}")
    assert second.returncode == 1
    assert f"{service.data_dir} is in use by process {service.pid};" in second.stderr


@pytest.mark.parametrize("option", ["listen", "identity-listen"])
def test_a_taken_port_is_named(tmp_path: Path, option: str) -> None:
    with socket.socket() as taken, socket.socket() as other:
        for one in (taken, other):
            one.bind(("127.0.0.1", 0))
        taken.listen()
        busy, free = (f"127.0.0.1:{one.getsockname()[1]}" for one in (taken, other))
        other.close()
        addresses = {"listen": free, "identity-listen": free, option: busy}
        if option == "listen":
            addresses["identity-listen"] = "127.0.0.1:1"
        refused = openvbs("serve", f"--data-dir={tmp_path / 'd'}", *(f"--{o}={a}" for o, a in addresses.items()))
    assert refused.returncode == 1
    assert f"cannot listen on {busy}: Address already in use; choose another with --{option}" in refused.stderr
    assert not (tmp_path / "d" / "root.key").exists()


def test_a_lost_root_key_is_not_replaced(tmp_path: Path) -> None:
    store = tmp_path / "data" / "store" / "0123456789abcdef0123456789abcdef"
    store.mkdir(parents=True)
    (store / "header").write_bytes(b"x")
    refused = openvbs("serve", f"--data-dir={tmp_path / 'data'}", "--listen=127.0.0.1:29998")
    assert refused.returncode == 1
    assert "root.key is missing, but the store" in refused.stderr
    assert not (tmp_path / "data" / "root.key").exists()


def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    config = tmp_path / "openvbs.conf"
    config.write_text("[database]\nconnection = postgresql+psycopg://u:hunter2@127.0.0.1:1/x\n")
    flags = [f"--config-file={config}", f"--data-dir={tmp_path / 'data'}", "--listen=127.0.0.1:29996"]
    refused = openvbs("serve", *flags)
    assert refused.returncode == 1
    assert "The database could not be brought up to date" in refused.stderr
    assert "hunter2" not in refused.stderr + refused.stdout


def test_the_catalog_leads_to_every_family(service: RunningService) -> None:
    with service.connection("openvbs-alpha") as alpha:
        catalog = alpha.session.auth.get_access(alpha.session).service_catalog.catalog
        project_id = alpha.current_project_id
    v3_url, v2_url = f"{service.url}/v3/{project_id}", f"{service.url}/v2/{project_id}"
    expected = {
        "identity": f"{service.identity_url}/v3",
        "volumev3": v3_url,
        "block-storage": v3_url,
        "volumev2": v2_url,
        "vbs": v2_url,
        "vbsv2": v2_url,
    }
    assert {entry["type"] for entry in catalog} == set(expected)
    for entry in catalog:
        assert sorted(endpoint["interface"] for endpoint in entry["endpoints"]) == ["admin", "internal", "public"]
        for endpoint in entry["endpoints"]:
            assert endpoint["url"] == expected[entry["type"]]
            assert endpoint["region"] == endpoint["region_id"] == "RegionOne"


def test_clouds_and_their_roles(service: RunningService) -> None:
    roles = {}
    for cloud, entry in service.clouds().items():
        assert (entry["region_name"], entry["identity_api_version"], entry["volume_api_version"]) == (
            "RegionOne",
            "3",
            "3",
        )
        with service.connection(cloud) as connection:
            access = connection.session.auth.get_access(connection.session)
            roles[cloud] = (access.project_name, set(access.role_names))
    assert roles == {
        "openvbs-admin": ("admin", {"admin", "manager", "member", "reader"}),
        "openvbs-alpha": ("alpha", {"member", "reader"}),
        "openvbs-beta": ("beta", {"member", "reader"}),
        "openvbs-gamma": ("gamma", {"member", "reader"}),
        "openvbs-alpha-reader": ("alpha", {"reader"}),
    }


def test_a_token_of_the_domain_is_issued_and_gives_no_power(service: RunningService) -> None:
    auth = service.clouds()["openvbs-alpha"]["auth"]
    of_domain = v3.Password(
        auth["auth_url"],
        username=auth["username"],
        password=auth["password"],
        user_domain_id="default",
        domain_id="default",
    )
    session = keystone_session.Session(auth=of_domain)
    assert of_domain.get_access(session).role_names == ["domain-login"]
    for path in ("/users", "/projects"):
        assert session.get(auth["auth_url"] + path, raise_exc=False).status_code == 403


@pytest.fixture
def on_keystone(tmp_path: Path, keystone: RunningKeystone) -> Iterator[RunningService]:
    with RunningService(tmp_path / "data", external_keystone=keystone) as running:
        yield running


def test_children_that_die_are_replaced(on_keystone: RunningService) -> None:
    before = on_keystone.children()
    assert set(before) == {"api", "worker"}
    serving = descendants(before["api"])[-1]
    assert serving != before["api"]  # the process that answers; the one that watches it must not go on without
    for pid in (before["worker"], serving):
        os.kill(pid, signal.SIGKILL)

    def replaced() -> bool:
        facts = json.loads((on_keystone.data_dir / "run.json").read_text())
        new = {name: child["pid"] for name, child in facts["children"].items()}
        return facts["ready"] and not set(new.values()) & set(before.values())

    until(replaced, what="new children being ready")
    assert requests.get(f"{on_keystone.url}/healthcheck", timeout=30).status_code == 200
    assert "killed by SIGKILL; starts again" in on_keystone.log()
    assert "exit code 1; starts again" in on_keystone.log()


def test_ctrl_c_stops_it_cleanly(on_keystone: RunningService) -> None:
    everything = descendants(on_keystone.pid)
    assert on_keystone.said[-1] == f"ready {on_keystone.url} Keystone {on_keystone.identity_url}"
    on_keystone.stop(signal.SIGINT)
    assert gone(everything)
