"""Send 20,000 requests and more to a running service, and hundreds of bodies to every parser, and look at each answer.

OPENVBS_FUZZ_EXAMPLES is how many random requests each operation gets, OPENVBS_EXAMPLES how many bodies each parser,
OPENVBS_SEED another run. Takes about half an hour.
"""

import os
import subprocess
import sys

DEFAULTS = {"OPENVBS_FUZZ_EXAMPLES": "80", "OPENVBS_EXAMPLES": "1000"}


def main() -> int:
    tests = ["tests/fuzz", "tests/api/test_openapi_bodies.py"]
    command = [sys.executable, "-m", "pytest", "-v", "-s", "-m", "", *tests, *sys.argv[1:]]
    return subprocess.run(command, env={**DEFAULTS, **os.environ}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
