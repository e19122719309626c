"""An index of ten million blocks: opening reads little of it, and it takes little memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from openvbs.units import MIB

ENTRIES = 10_000_000


def run(*arguments: object) -> str:
    command = [sys.executable, "-m", "bench.synthetic_index", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]).stdout


@pytest.mark.heavy
def test_opening_ten_million_blocks_reads_little_and_every_block_is_found(tmp_path):
    run("make", tmp_path, ENTRIES)
    figures = json.loads(run("ask", tmp_path, ENTRIES))  # it asserts that what it asks for is found, and only that
    assert figures["file bytes"] > 40 * ENTRIES
    assert figures["bytes read by opening"] < figures["file bytes"] // 100
    assert figures["anonymous bytes"] < 256 * MIB
    assert figures["anonymous bytes"] - figures["anonymous bytes before"] < 32 * MIB
