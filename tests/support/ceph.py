"""An S3 server for tests: Ceph's RADOS Gateway of Debian's packages, in user space, in a temporary directory.

One monitor, one OSD and one gateway, without authentication between them, without a manager (nothing here needs one).
It stands after about two seconds, because the monitor is told not to wait for more to decide.
``python -m tests.support.ceph`` starts one by hand and prints what to put into the environment.
"""

import contextlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

import obstore
import requests
from obstore.store import S3Store as Bucket

from tests.support.service import free_port_pair
from tests.support.waiting import until

PROGRAMS = ("monmaptool", "ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin", "setpriv")
REGION = "us-east-1"
_READY_SECONDS_MAX = 180
_STOP_SECONDS_MAX = 30
_REFUSED_MAX = 20
_CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = v1:127.0.0.1:{mon_port}
mon_initial_members = a
monmap = {folder}/monmap
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_bind_msgr2 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = {folder}
log_file = {folder}/$name.log
admin_socket = {folder}/$name.asok
mon_data = {folder}/mon
mon_allow_pool_size_one = true
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_data_avail_warn = 1
mon_data_avail_crit = 1
osd_data = {folder}/osd
osd_objectstore = {medium}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_class_update_on_start = false
osd_crush_update_on_start = false
memstore_device_bytes = 4294967296
bluestore_block_size = 42949672960
rgw_data = {folder}/rgw
rgw_rados_pool_pg_num_min = 1
rgw_frontends = beast endpoint=127.0.0.1:{port}
"""

Medium = Literal["memstore", "bluestore"]


class Gateway:
    """A running S3 server. Everything in it goes when it stops."""

    def __init__(self, folder: Path, medium: Medium) -> None:
        self.folder = folder
        mon_port = free_port_pair()
        self.port = mon_port + 1
        self.access_key, self.secret_key = secrets.token_hex(8), secrets.token_hex(16)
        self._configuration = folder / "ceph.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(fsid=uuid.uuid4(), mon_port=mon_port, folder=folder, medium=medium, port=self.port)
        )
        for name in ("mon", "osd", "rgw"):
            (folder / name).mkdir()
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """What the store's library needs to know."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    @property
    def pids(self) -> dict[str, int]:
        """The processes by name, for whoever measures what they use."""
        return {name: daemon.pid for name, daemon in self._daemons.items()}

    def start(self) -> None:
        """Everything, from nothing. RuntimeError says what failed."""
        self._start_monitor()
        self._start_osd()
        self.start_gateway()
        self._run("radosgw-admin", "user", "create", "--uid=openvbs", "--display-name=openvbs",
                  f"--access-key={self.access_key}", f"--secret-key={self.secret_key}")  # fmt: skip

    def stop(self) -> None:
        """End all processes, the gateway first."""
        for name in reversed(list(self._daemons)):
            daemon = self._daemons.pop(name)
            daemon.kill()
            daemon.wait(_STOP_SECONDS_MAX)

    def start_gateway(self) -> None:
        """Start radosgw alone, the first time or after stop_gateway."""
        self._start("radosgw", "-n", "client.rgw")
        until(self._answers, what="the S3 gateway", seconds_max=_READY_SECONDS_MAX)

    def stop_gateway(self) -> None:
        """Kill radosgw; nobody answers at the port until it is started again."""
        daemon = self._daemons.pop("radosgw")
        daemon.kill()
        daemon.wait(_STOP_SECONDS_MAX)

    def create_bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"bucket-{secrets.token_hex(6)}"
        bucket = Bucket(
            name,
            endpoint=self.environment["AWS_ENDPOINT_URL"],
            region=REGION,
            access_key_id=self.access_key,
            secret_access_key=self.secret_key,
            client_options={"allow_http": True},
        )
        # The library makes no buckets, but it can sign the request that does.
        answer = requests.put(obstore.sign(bucket, "PUT", "", timedelta(minutes=5)), timeout=60)
        assert answer.status_code == 200, answer.text
        return name

    def _start_monitor(self) -> None:
        map_file = self.folder / "monmap"
        text = self._configuration.read_text()
        address = text.split("mon_host = ")[1].split("\n")[0]
        fsid = text.split("fsid = ")[1].split("\n")[0]
        _run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[{address}]", str(map_file))
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(map_file))
        self._start("ceph-mon", "-i", "a")
        self._ask_monitor("status")

    def _start_osd(self) -> None:
        osd_uuid = str(uuid.uuid4())
        number = self._ask_monitor("osd", "new", osd_uuid).strip()
        self._run("ceph-osd", "-i", number, "--mkfs", "--osd-uuid", osd_uuid)
        self._ask_monitor("osd", "crush", "add", f"osd.{number}", "1", "root=default", "host=here")
        self._start("ceph-osd", "-i", number)

    def _answers(self) -> bool:
        for name, daemon in self._daemons.items():
            code = daemon.poll()
            assert code is None, f"{name} ended with {code}: {(self.folder / f'{name}.out').read_text()[-3000:]}"
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(self.environment["AWS_ENDPOINT_URL"], timeout=60).ok
        return False

    def _start(self, program: str, *arguments: str) -> None:
        """In the foreground, and killed by the kernel if we die without stopping it."""
        command = ["setpriv", "--pdeathsig", "KILL", program, "-c", str(self._configuration), "-f", *arguments]
        with (self.folder / f"{program}.out").open("ab") as out:
            self._daemons[program] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def _ask_monitor(self, *question: str) -> str:
        """On a busy machine Ceph's client sometimes asks before it knows the cluster's id: ask again.

        The monitor refuses that with EPERM and does nothing ("handle_command on fsid 00000000-..." in its log).
        Without authentication there is nothing else that it refuses so.
        """
        for attempt in range(_REFUSED_MAX):
            try:
                return self._run("ceph", f"--connect-timeout={_READY_SECONDS_MAX}", *question)
            except RuntimeError as error:
                if "Error EPERM" not in str(error) or attempt == _REFUSED_MAX - 1:
                    raise
        raise AssertionError

    def _run(self, program: str, *arguments: str) -> str:
        return _run(program, "-c", str(self._configuration), *arguments)


@contextlib.contextmanager
def s3_gateway(medium: Medium = "memstore", *, within: Path | None = None) -> Iterator[Gateway]:
    """Start a server, and at the end stop it and remove its files.

    ``bluestore`` keeps its objects in a sparse file below ``within``. RuntimeError says which programs are missing.
    """
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise RuntimeError(f"{', '.join(missing)} missing: install Ceph's packages (scripts/install-test-packages.sh)")
    # Not below pytest's directories: the path of a Unix socket has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="openvbs-s3-", dir=within))
    try:
        gateway = Gateway(folder, medium)
        try:
            gateway.start()
            yield gateway
        finally:
            gateway.stop()
    finally:
        shutil.rmtree(folder)


def _run(*command: str) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_READY_SECONDS_MAX
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout


if __name__ == "__main__":
    with s3_gateway() as running:
        print(f"export OPENVBS_STORE=s3://{running.create_bucket()}")
        for variable, value in running.environment.items():
            print(f"export {variable}={value}", flush=True)
        signal.sigwait([signal.SIGINT, signal.SIGTERM])
