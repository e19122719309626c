"""make demo: back up a real filesystem, share the backup, cancel the sharing, and check every promise on the way.

Starts a service of its own in a temporary folder and removes both at the end; with KEEP=1 the folder stays. Ends with
1 as soon as a step is not as promised.
"""

import os
import shutil
import signal
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import FrameType

from demo_image import GIB, MIB, bytes_used, change_image, copy_files, make_image, need
from demo_promise import Broken, expect
from demo_report import Report, amount
from demo_service import OPENVBS, Service
from demo_story import Story

from openvbs.errors import OpenVbsError
from openvbs.volumes.copy import copy_file

_FREE_BYTES_MIN = 4 * GIB
_FILES_BYTES = 192 * MIB
_IMAGE_BYTES = GIB


def main() -> int:
    """Tell the story; 0 when all of it was as promised."""
    signal.signal(signal.SIGTERM, _end)
    report = Report()
    folder = Path(tempfile.mkdtemp(prefix="openvbs-demo-"))
    service = Service(folder)
    try:
        _tell(report, service, folder)
        report.console.print(f"\nAll {len(report.steps)} steps were as promised.", style="bold green")
        code = 0
    except (Broken, OpenVbsError) as error:
        report.console.print(f"\n{error}", style="bold red", markup=False)
        code = 1
    except KeyboardInterrupt:
        report.console.print("\ninterrupted", style="bold red")
        code = 130
    finally:
        service.end()
        _leave(report, folder, service.data_dir)
    return code


def _tell(report: Report, service: Service, folder: Path) -> None:
    for program in ("mke2fs", "debugfs", "e2fsck"):
        need(program)
    free = shutil.disk_usage(folder).free
    needed = f"{folder} has {amount(free)} free but the demo needs {amount(_FREE_BYTES_MIN)}; set TMPDIR"
    expect(free >= _FREE_BYTES_MIN, needed)
    files = folder / "files"
    monday, tuesday = folder / "monday.img", folder / "tuesday.img"
    report.head()
    with report.step("make an ext4 image from real files") as step:
        copied = copy_files(Path(sysconfig.get_path("purelib")), files, _FILES_BYTES)
        make_image(files, monday, _IMAGE_BYTES)
        step.size_bytes = bytes_used(monday)
        step.result = f"{amount(copied)} of Python packages in a filesystem of {amount(_IMAGE_BYTES)}"
    with report.step("start the service") as step:
        service.start()
        step.result = "API, worker and a real Keystone, on SQLite and a local repository"
    story = Story(report, service, monday)
    story.import_volume()
    story.back_up("monday", monday)
    with report.step("change some files on the disk") as step:
        copy_file(monday, tuesday)
        changed, step.size_bytes = change_image(tuesday, files, folder)
        service.operator("volume", "import", str(tuesday), "--into", story.volume_id)
        step.result = f"{changed} files edited, deleted or added"
    story.back_up("tuesday", tuesday)
    story.restore_as_owner()
    story.share()
    story.restore_as_recipient()
    story.cancel_while_restoring()
    story.recipient_is_shut_out()
    story.owner_sees_what_happened()
    with report.step("stop the service") as step:
        service.stop()


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _leave(report: Report, folder: Path, data_dir: Path) -> None:
    """Remove everything, or with KEEP=1 say where it is."""
    if os.environ.get("KEEP") != "1":
        shutil.rmtree(folder)
        return
    report.console.print(
        f"\nKept in {folder}. Go on with:\n"
        f"  {OPENVBS} serve --data-dir {data_dir} --with-demo-projects\n"
        f"  OS_CLIENT_CONFIG_FILE={data_dir}/clouds.yaml openstack --os-cloud openvbs-alpha volume backup list",
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
