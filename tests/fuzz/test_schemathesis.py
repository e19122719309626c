"""Thousands of requests, good and bad: none is answered with a 5xx, nor with what is not in the OpenAPI document."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import fuzzing
from tests.support.parties import Party, party
from tests.support.service import RunningService

EXAMPLES = int(os.environ.get("OPENVBS_FUZZ_EXAMPLES", "0"))
"""Random requests to each operation; 0 is the short run, which fits into CI."""
SEED = int(os.environ.get("OPENVBS_SEED", "1"))
SHORT_PATHS = (
    r"^/v1|^/v2/\{project_id\}/(cloudbackups|os-vendor|jobs|audit|usage|backuppolicyresources|backups)"
    r"|^/v3/\{project_id\}/backups"
)
SHORT = (("coverage", 1, SHORT_PATHS), ("examples,fuzzing,stateful", 1, ""))
LONG = (("examples,coverage,fuzzing,stateful", EXAMPLES, ""),)

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(0 if EXAMPLES else 900)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("fuzzed") / "data") as service:
        yield service


@pytest.fixture(scope="module")
def admin(service: RunningService) -> Party:
    return party(service.clouds_file, "openvbs-admin", service.url)


def test_every_answer_is_in_the_document(service: RunningService, admin: Party, tmp_path: Path) -> None:
    sent = 0
    for phases, examples, paths in LONG if EXAMPLES else SHORT:
        outcome = fuzzing.run(admin, tmp_path, phases=phases, examples=examples, paths=paths, seed=SEED)
        print(outcome.text)
        assert outcome.code == 0, outcome.text[-20_000:]
        sent += outcome.requests
    print(f"{sent} requests")
    assert sent >= (20_000 if EXAMPLES else 2_000)
    assert re.findall(r"[A-Z]+ \S+ 5\d\d \d+\.\d ms", service.log()) == []
