"""``openvbs GROUP --help`` says in whole sentences what each command does."""

import pytest
from click.testing import CliRunner

from openvbs.cli.main import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_cut(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert not [line for line in result.stdout.splitlines() if line.endswith("...") and not line.startswith("Usage")]
