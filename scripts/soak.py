"""Kill the whole service at random moments, 20 times per kind of job and database, and see that nothing is lost.

OPENVBS_KILLS changes the number, OPENVBS_SEED repeats a run. Takes about half an hour; needs Debian's PostgreSQL.
"""

import os
import subprocess
import sys

KILLS = "20"


def main() -> int:
    command = [sys.executable, "-m", "pytest", "-m", "heavy", "-v", "tests/faults/test_kills.py", *sys.argv[1:]]
    return subprocess.run(command, env={"OPENVBS_KILLS": KILLS, **os.environ}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
