"""Numbers of several processes reach the one that serves them."""

import os
import subprocess
import sys
from pathlib import Path

from openvbs import metrics

COUNT = (
    "from openvbs import metrics; metrics.JOBS.labels('bksCreateBackup', 'SUCCESS').inc(2); metrics.BYTES_READ.inc(5)"
)
SHOW = "import sys; from openvbs import metrics; sys.stdout.buffer.write(metrics.render({'INIT': 3}))"


def run(script: str, directory: Path) -> str:
    environ = {**os.environ, metrics.DIRECTORY_VARIABLE: str(directory)}
    return subprocess.run(
        [sys.executable, "-c", script], env=environ, check=True, capture_output=True, text=True
    ).stdout


def test_processes_add_up_and_a_new_start_begins_at_zero(tmp_path: Path) -> None:
    directory = tmp_path / "run" / "metrics"
    metrics.prepare(directory)
    for _ in range(2):
        run(COUNT, directory)
    shown = run(SHOW, directory)
    assert 'openvbs_jobs_total{kind="bksCreateBackup",result="SUCCESS"} 4.0' in shown
    assert "openvbs_bytes_read_total 10.0" in shown
    assert shown.count("openvbs_jobs_open{") == 1
    assert 'openvbs_jobs_open{status="INIT"} 3.0' in shown
    metrics.prepare(directory)
    assert "openvbs_bytes_read_total 10.0" not in run(SHOW, directory)
