"""The full counts of the tests that try to break the store: hours of them, run now and then, not by CI.

python scripts/soak.py [PART ...]      all parts, or: model planted faults damage kills recovery s3 service

| part | what | how many |
|---|---|---|
| model | runs of the model of collections | 5000 (OPENVBS_EXAMPLES) |
| planted | bugs planted in collecting, each of which the model must find | all |
| faults | failures of the store, the disk, source and target | every call |
| damage | bits flipped and objects cut | 2100 (OPENVBS_DAMAGES) |
| kills | processes killed while they work on a repository, mostly beside another one | 500 (OPENVBS_ENGINE_KILLS) |
| recovery | kills of `rescue rebuild` and of `key forget` | 20 of each (OPENVBS_KILLS) |
| s3 | kills of `openvbs repo` on S3; needs the packages of scripts/install-test-packages.sh | 20 (OPENVBS_KILLS) |
| service | kills of the whole service per kind of job and database; needs Debian's PostgreSQL | 20 (OPENVBS_KILLS) |

OPENVBS_SEED repeats a run.
"""

import os
import subprocess
import sys

COUNTS = {
    "OPENVBS_EXAMPLES": "5000",
    "OPENVBS_DAMAGES": "2100",
    "OPENVBS_ENGINE_KILLS": "500",
    "OPENVBS_KILLS": "20",
}
MODEL = "tests/property/test_collect_model.py"
PARTS = {
    "model": [f"{MODEL}::test_no_order_of_many_steps_loses_a_block"],
    "planted": [f"{MODEL}::test_the_model_finds_every_planted_bug"],
    "faults": ["tests/faults/test_store_faults.py"],
    "damage": ["tests/faults/test_damage_everywhere.py::test_much_damage_is_found_and_confined"],
    "kills": ["tests/faults/test_engine_kills.py::test_many_kills"],
    "recovery": ["tests/faults/test_recovery_kills.py"],
    "s3": ["tests/faults/test_s3.py"],
    "service": ["tests/faults/test_kills.py"],
}


def main(chosen: list[str]) -> int:
    failed = [part for part in chosen or PARTS if not _passes(part)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def _passes(part: str) -> bool:
    print(f"=== {part}", flush=True)
    command = [sys.executable, "-m", "pytest", "-v", "--timeout", "28800", *PARTS[part]]
    return subprocess.run(command, env={**COUNTS, **os.environ}, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
