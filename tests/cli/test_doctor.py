"""``openvbs doctor`` where no service was ever started, or something has gone since."""

import json
from pathlib import Path

from click.testing import CliRunner

from openvbs.cli.main import main


def doctor(data_dir: Path) -> dict[str, dict[str, str]]:
    """Its findings by what was checked; some fail."""
    result = CliRunner().invoke(main, ["doctor", "--data-dir", str(data_dir), "--json"])
    assert result.exit_code == 1, result.output
    return {finding["check"]: finding for finding in json.loads(result.stdout)}


def test_a_mistyped_directory_is_told_of_and_not_made(tmp_path: Path) -> None:
    found = doctor(tmp_path / "typo")
    for check in ("data directory", "database", "store"):
        assert found[check]["level"] == "FAIL"
        assert "is not there" in found[check]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_gone_since_the_first_start_is_missed(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["key", "create", "--data-dir", str(tmp_path)]).exit_code == 0
    assert doctor(tmp_path)["store"]["level"] == "ok"
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))
    found = doctor(tmp_path)["store"]
    assert (found["level"], found["message"]) == ("FAIL", f"{tmp_path / 'store'} is not there")
    assert sorted(tmp_path.rglob("*")) == before
