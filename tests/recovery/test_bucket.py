"""A bucket alone, with the root key: on another machine, without data directory or configuration."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from openvbs.cli.main import main
from openvbs.engine.keys import create_root_key
from openvbs.engine.repository import create_repository
from openvbs.stores.prefixed import prefixed
from openvbs.stores.urls import open_store
from tests.support.ceph import Gateway
from tests.support.repositories import BLOCK, back_up_bytes, random_bytes

pytestmark = pytest.mark.heavy


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["rescue", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_everything_comes_back_from_a_bucket(
    s3_server: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    url, key_file = f"s3://{s3_server.create_bucket()}/cloud", tmp_path / "key"
    root_key = create_root_key(key_file)
    store = open_store(url)
    contents: dict[str, bytes] = {}
    for project in ("alpha", "beta"):
        with create_repository(prefixed(store, project), root_key, block_bytes=BLOCK) as repository:
            data = random_bytes(20.5)
            contents[f"{project}/{back_up_bytes(repository, data).facts.backup_id}.img"] = data
    store.close()
    found = json.loads(run("list", url, "--key-file", str(key_file), "--json"))["backups"]
    assert {f"{row['project_id']}/{row['id']}.img" for row in found} == contents.keys()
    assert "--key-file" in run("list", url, code=1)
    run("restore", url, str(tmp_path / "out"), "--key-file", str(key_file))
    restored = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in (tmp_path / "out").rglob("*.img")
    }
    assert restored == contents
    # Interrupted and begun again: what is there is compared, what is wrong is mended.
    first = tmp_path / "out" / next(iter(contents))
    first.write_bytes(bytes(len(first.read_bytes())))
    run("restore", url, str(tmp_path / "out"), "--key-file", str(key_file), "--project", first.parent.name)
    assert first.read_bytes() == contents[next(iter(contents))]
    missing = "5b0e71f2-8b36-41fe-b2c9-5d160e7f83ab"
    said = run("restore", url, str(tmp_path), "--key-file", str(key_file), "--backup", missing, code=1)
    assert f"no backup {missing} was found" in said
