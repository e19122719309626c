"""Kill the whole service at random moments, 20 times per kind of job and database, and see that nothing is lost.

The same with the commands of ``openvbs repo`` on S3. OPENVBS_KILLS changes the number, OPENVBS_SEED repeats a run. It
takes about half an hour and needs the packages of scripts/install-test-packages.sh.
"""

import os
import subprocess
import sys

KILLS = "20"
TESTS = ("tests/faults/test_kills.py", "tests/faults/test_s3.py")


def main() -> int:
    command = [sys.executable, "-m", "pytest", "-m", "heavy", "-v", *TESTS, *sys.argv[1:]]
    return subprocess.run(command, env={"OPENVBS_KILLS": KILLS, **os.environ}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
