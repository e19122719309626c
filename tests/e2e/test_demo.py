"""``make demo`` that is interrupted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import until

SCRIPTS = Path(__file__).parents[2] / "scripts"
STARTING = f"""
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if who runs the tests ignores it
sys.path.insert(0, {str(SCRIPTS)!r})
from demo_service import Service
service = Service(Path(sys.argv[1]))
try:
    service.start()
finally:
    service.end()
    print("ended", flush=True)
"""


def test_ctrl_c_while_the_service_starts_ends_the_demo(tmp_path: Path) -> None:
    demo = subprocess.Popen([sys.executable, "-c", STARTING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        # The service has the folder, so the demo waits for it to be ready.
        until((tmp_path / "data" / "passwords.json").exists, what="the service starting")
        os.kill(demo.pid, signal.SIGINT)
        assert demo.stdout is not None
        assert demo.stdout.readline() == "ended\n"
        # Less than what the service is given to become ready; nothing is left to wait for.
        assert demo.wait(60) == -signal.SIGINT
    finally:
        demo.kill()
        demo.communicate()
