"""The embedded Keystone's files that others read: passwords, clouds.yaml, settings, catalog."""

import json
import stat
from pathlib import Path

import pytest
import yaml
from oslo_config import cfg

from openvbs.config import Config, ConfigError, read_config
from openvbs.identity import accounts, catalog, trust
from openvbs.identity.authtoken import authtoken_conf
from openvbs.identity.clouds import write_clouds
from openvbs.identity.settings import write_settings
from tests.support.certificates import make_certificate


def configured(tmp_path: Path, *, demo: bool = True, **overrides: str) -> Config:
    return read_config([], {"data_dir": str(tmp_path), **overrides}, with_demo_projects=demo)


def test_passwords_are_made_once_and_stay_pending_until_keystone_knows_them(tmp_path: Path) -> None:
    file = tmp_path / "passwords.json"
    first = accounts.ensure_passwords(file, accounts.wanted(demo=False))
    assert first.pending == {"admin", "openvbs"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = accounts.ensure_passwords(file, accounts.wanted(demo=False))
    assert again == first
    accounts.passwords_are_set(file, again)
    assert accounts.load_passwords(file).pending == frozenset()
    more = accounts.ensure_passwords(file, accounts.wanted(demo=True))
    assert more.pending == {"alpha", "beta", "gamma", "alpha-reader"}
    assert {user: more.of[user] for user in first.of} == first.of
    assert len(set(more.of.values())) == 6
    assert all(len(password) >= 40 for password in more.of.values())


def test_a_password_taken_out_of_the_file_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "passwords.json"
    before = accounts.ensure_passwords(file, accounts.wanted(demo=False))
    accounts.passwords_are_set(file, before)
    content = json.loads(file.read_text())
    del content["passwords"]["admin"]
    file.write_text(json.dumps(content))
    after = accounts.ensure_passwords(file, accounts.wanted(demo=False))
    assert after.pending == {"admin"}
    assert after.of["admin"] != before.of["admin"]
    assert after.of["openvbs"] == before.of["openvbs"]


@pytest.mark.parametrize(
    "text",
    [
        '{"passwords": {"admin": "secret",}, "pending": []}',
        '{"passwords": {"admin": "secret"}}',
        '{"passwords": ["secret"], "pending": []}',
        '{"passwords": {"admin": null}, "pending": []}',
        '{"passwords": {"admin": "secret"}, "pending": [["secret"]]}',
        '["secret"]',
        "",
    ],
)
def test_a_file_that_was_edited_wrongly_is_named_and_tells_no_password(tmp_path: Path, text: str) -> None:
    file = tmp_path / "passwords.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"passwords\.json: .*must be JSON like .*; correct it") as caught:
        accounts.ensure_passwords(file, accounts.wanted(demo=False))
    assert "secret" not in str(caught.value)
    assert file.read_text() == text


def test_no_password_is_in_a_repr(tmp_path: Path) -> None:
    made = accounts.ensure_passwords(tmp_path / "passwords.json", accounts.wanted(demo=False))
    assert not any(password in repr(made) for password in made.of.values())


def test_clouds_are_private_and_complete(tmp_path: Path) -> None:
    config = configured(tmp_path)
    made = accounts.ensure_passwords(config.passwords_file, accounts.wanted(demo=True))
    write_clouds(config)
    assert stat.S_IMODE(config.clouds_file.stat().st_mode) == 0o600
    clouds = yaml.safe_load(config.clouds_file.read_text())["clouds"]
    assert list(clouds) == ["openvbs-admin", "openvbs-alpha", "openvbs-beta", "openvbs-gamma", "openvbs-alpha-reader"]
    reader = clouds["openvbs-alpha-reader"]
    assert reader["auth"] == {
        "auth_url": "http://127.0.0.1:8777/v3",
        "username": "alpha-reader",
        "password": made.of["alpha-reader"],
        "project_name": "alpha",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    write_clouds(configured(tmp_path, demo=False))
    assert list(yaml.safe_load(config.clouds_file.read_text())["clouds"]) == ["openvbs-admin"]


def test_authtoken_of_the_embedded_keystone(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with pytest.raises(ConfigError, match=r"\[keystone_authtoken\]: is not configured, and no Keystone"):
        authtoken_conf(config)
    made = accounts.ensure_passwords(config.passwords_file, accounts.wanted(demo=False))
    conf = authtoken_conf(config)
    assert (conf["username"], conf["password"]) == ("openvbs", made.of["openvbs"])
    assert (conf["auth_url"], conf["token_cache_time"]) == ("http://127.0.0.1:8777/v3", "60")
    assert conf["delay_auth_decision"] == "true"


def test_authtoken_of_an_external_keystone_is_the_operators(tmp_path: Path) -> None:
    file = tmp_path / "openvbs.conf"
    options = (
        "auth_url = http://k/v3",
        "auth_type = v3password",
        "token_cache_time = 5",
        "delay_auth_decision = false",
    )
    file.write_text("\n".join(["[keystone_authtoken]", *options]))
    conf = authtoken_conf(read_config([file], {"data_dir": str(tmp_path)}))
    assert (conf["auth_type"], conf["token_cache_time"]) == ("v3password", "5")
    assert conf["delay_auth_decision"] == "true"
    assert "password" not in conf


def test_keystone_reads_back_paths_with_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a $b {c} %d"
    folder.mkdir()
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("connection"), group="database")
    conf.register_opt(cfg.StrOpt("key_repository"), group="fernet_tokens")
    conf([], default_config_files=[str(write_settings(configured(tmp_path), folder))], default_config_dirs=[])
    assert conf.database.connection == f"sqlite:///{folder}/keystone.db"
    assert conf.fernet_tokens.key_repository == f"{folder}/fernet-keys"


def test_the_catalog_has_each_type_once(tmp_path: Path) -> None:
    entries = catalog.entries(configured(tmp_path, public_url="https://x/base"))
    urls = {entry.type: entry.url for entry in entries}
    assert len(urls) == len(entries) == len({entry.name for entry in entries})
    assert urls["block-storage"] == urls["volumev3"] == "https://x/base/v3/$(project_id)s"
    assert urls["vbs"] == urls["vbsv2"] == urls["volumev2"] == "https://x/base/v2/$(project_id)s"


@pytest.mark.parametrize(
    ("url", "word"), [("http://devstack:8776", "evs"), ("http://srv2:8776", "v2"), ("https://vbs.example.com", None)]
)
def test_urls_that_clients_would_mangle(url: str, word: str | None) -> None:
    reason = catalog.trap(url)
    assert (reason is None) if word is None else (repr(word) in (reason or ""))


@pytest.mark.parametrize("self_signed", [True, False])
def test_clients_are_given_a_self_signed_certificate_only(tmp_path: Path, self_signed: bool) -> None:
    cert, key = make_certificate(tmp_path, self_signed=self_signed)
    config = configured(tmp_path, tls_cert=str(cert), tls_key=str(key))
    assert trust.trusted_ca(config) == (cert if self_signed else None)
    cert.write_text("x")
    with pytest.raises(ConfigError, match="does not start with a PEM certificate"):
        trust.trusted_ca(config)
