"""schemathesis against a running service, as an administrator with one of everything.

It sends what is in the OpenAPI document, and much that is not, to every route.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.parties import Party
from tests.support.steps import new_backup, new_volume, share, volume_is

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
NEVER_ISSUED = "4f7d20b6-6c1e-4b8a-9a35-e08d1c93f562"
POLICY = {
    "backup_policy_name": "fuzzed",
    "scheduled_policy": {"start_time": "21:00", "frequency": 1, "rentention_num": 2, "status": "OFF"},
}


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    code: int
    requests: int
    text: str


def things(party: Party) -> dict[str, list[str]]:
    """Values for the variables of paths: ids of things that are there, and one that is not."""
    volumes = [new_volume(party, metadata={"key": "value"}) for _ in range(3)]
    backups = [new_backup(party, volume) for volume in volumes]
    answer = party.send("POST", "/v3/{p}/snapshots", json_body={"snapshot": {"volume_id": volumes[0]}})
    snapshot = answer.json()["snapshot"]["id"]
    volume_is(party, volumes[0], "available")
    policy = party.send("POST", "/v2/{p}/backuppolicy", json_body=POLICY).json()["backup_policy_id"]
    jobs = [job["job_id"] for job in party.get("/v2/{p}/jobs?limit=3")["jobs"]]
    return {
        "project_id": [party.project_id],
        "target_id": [party.project_id, "another"],
        "volume_id": [*volumes, NEVER_ISSUED],
        "backup_id": [*backups, NEVER_ISSUED],
        "snapshot_id": [snapshot, NEVER_ISSUED],
        "share_id": [*share(party, backups[0], "somebody", "else"), NEVER_ISSUED],
        "policy_id": [policy, NEVER_ISSUED],
        "job_id": [*jobs, NEVER_ISSUED],
        "key": ["key", "a"],
    }


def configuration(party: Party, known: dict[str, list[str]]) -> str:
    """schemathesis.toml."""
    lines = ["[headers]", f'X-Auth-Token = "{party.token}"', "[generation]", 'database = "none"', "no-shrink = true"]
    for name, values in known.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines.append("[parameters]")
    for name in known:
        probability = 1.0 if name == "project_id" else 0.7
        lines.append(f'"path.{name}" = {{ dictionary = "{name}", probability = {probability} }}')
    return "\n".join(lines) + "\n"


def run(
    party: Party, directory: Path, *, phases: str, examples: int, seed: int, paths: str = "", workers: int = 1
) -> Outcome:
    """One run over the paths that match, with at most so many random requests to each operation."""
    config = directory / "schemathesis.toml"
    config.write_text(configuration(party, things(party)))
    command: list[Any] = [
        *(SCHEMATHESIS, "--config-file", config, "run", f"{party.base}/openapi.json", "--no-color"),
        *("--checks", ",".join(CHECKS), "--phases", phases, "--max-examples", examples, "--seed", seed),
        *("--continue-on-failure", "--warnings", "off", "--suppress-health-check", "all", "--workers", workers),
        *(("--include-path-regex", paths) if paths else ()),
    ]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd=directory)
    counted = re.search(r"^  (\d+) generated", done.stdout, re.MULTILINE)
    return Outcome(done.returncode, int(counted[1]) if counted else 0, done.stdout + done.stderr)
