"""``openvbs doctor``: is everything that the service stands on as it should be?"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from openvbs.cli.doctor_checks import Finding, examine
from openvbs.cli.settings import DEMO, SERVERS, read_running, taking
from openvbs.config import ConfigError

_COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}


@click.command()
@taking(*SERVERS, DEMO)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(*, as_json: bool, **settings: Any) -> None:
    """Check configuration, database, store, root key, Keystone, clocks and worker, and say what to do.

    What is not given is taken from the service that runs in the data directory.

    Changes nothing and makes nothing that is not there, but writes and removes one small object in the store. Exits
    with 1 when a check fails.
    """
    findings = []
    for finding in _findings(settings):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    sys.exit(1 if any(finding.level == "FAIL" for finding in findings) else 0)


def _findings(settings: dict[str, Any]) -> Iterator[Finding]:
    try:
        config = read_running(settings)
    except ConfigError as error:
        yield Finding("configuration", "FAIL", str(error), "correct it; nothing else can be checked before")
        return
    yield Finding("configuration", "ok", ", ".join(map(str, config.config_files)) or "no file, defaults and flags")
    yield from examine(config)


def _show(finding: Finding) -> None:
    level = click.style(f"{finding.level:4}", fg=_COLOURS[finding.level])
    click.echo(f"{level}  {finding.check}: {finding.message}")
    if finding.level != "ok" and finding.advice:
        click.echo(f"      {finding.advice}")
