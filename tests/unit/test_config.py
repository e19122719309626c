"""Settings: where they come from, which win, and that a wrong one is named together with its rule."""

import re
from pathlib import Path

import pytest

from openvbs.config import Address, Config, ConfigError, parse_address, read_config
from openvbs.config_options import OPTIONS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"PATH": "/usr/bin"})


def read(tmp_path: Path, text: str = "", **overrides: str) -> Config:
    file = tmp_path / "openvbs.conf"
    file.write_text(text)
    return read_config([file], {"data_dir": "/srv/openvbs", **overrides})


def test_defaults_lie_in_the_data_directory(tmp_path: Path) -> None:
    config = read(tmp_path)
    assert config.database_url == "sqlite:////srv/openvbs/openvbs.db"
    assert config.store_url == "/srv/openvbs/store"
    assert config.root_key_file == Path("/srv/openvbs/root.key")
    assert (str(config.listen), str(config.identity_listen)) == ("127.0.0.1:8776", "127.0.0.1:8777")
    assert config.public_url == "http://127.0.0.1:8776"
    assert config.identity_public_url == "http://127.0.0.1:8777"
    assert config.identity_embedded
    assert config.limits.backups_per_volume_max == 20
    assert config.limits.backups_max == -1
    assert config.token_cache_seconds == 60
    assert config.jobs_at_once == 4


def test_command_line_wins_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[DEFAULT]\nlisten = 127.0.0.1:1\n[worker]\njobs_at_once = 2\n"
    assert read(tmp_path, text).listen.port == 1
    monkeypatch.setenv("OS_DEFAULT__LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("OS_WORKER__JOBS_AT_ONCE", "3")
    assert read(tmp_path, text).listen.port == 2
    assert read(tmp_path, text).jobs_at_once == 3
    assert read(tmp_path, text, listen="127.0.0.1:3").listen.port == 3


def test_of_two_files_the_later_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a.conf", tmp_path / "b.conf"
    first.write_text("[DEFAULT]\ndata_dir = /a\nlog_level = debug\n[keystone_authtoken]\nauth_url = http://a/v3\n")
    second.write_text("[DEFAULT]\ndata_dir = /b\n[keystone_authtoken]\nauth_url = http://b/v3\n")
    config = read_config([first, second])
    assert (config.data_dir, config.log_level) == (Path("/b"), "debug")
    assert config.identity_public_url == "http://b"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[DEFAULT]\ndata_dri = /x\n", "[DEFAULT] data_dri: is not an option; there are data_dir"),
        ("[databse]\nconnection = x\n", "[databse]: is not a section; the sections are DEFAULT"),
        ("[keystone_authtoken]\nauth_url = http://k/v3\npasswrod = x\n", "[keystone_authtoken] passwrod"),
        ("[keystone_authtoken]\nusername = x\n", "[keystone_authtoken] auth_url: is required"),
        ("[worker]\njobs_at_once = many\n", "jobs_at_once"),
        ("[worker]\njobs_at_once = 0\n", "jobs_at_once"),
        ("[DEFAULT]\nlog_level = loud\n", "log_level"),
        ("[DEFAULT]\nlisten = 127.0.0.1\n", "listen: '127.0.0.1' is not ADDRESS:PORT"),
        ("[DEFAULT]\nlisten = 127.0.0.1:0\n", "listen: '127.0.0.1:0' is not ADDRESS:PORT"),
        ("[DEFAULT]\nlisten = ::1:8776\n", "an IPv6 address is written in brackets"),
        ("[DEFAULT]\nlisten = 0.0.0.0:8776\n", "public_url: is required when listening on 0.0.0.0"),
        ("[DEFAULT]\nlisten = [::]:8776\n", "public_url: is required when listening on ::"),
        ("[DEFAULT]\nlisten = 127.0.0.1:65535\n", "identity_listen: must be set"),
        ("[DEFAULT]\nidentity_listen = 127.0.0.1:8776\n", "identity_listen: 127.0.0.1:8776 is already used"),
        ("[DEFAULT]\npublic_url = vbs.example.com\n", "public_url: 'vbs.example.com' is not a URL"),
        ("[DEFAULT]\npublic_url = http://user@x/\n", "public_url: 'http://user@x/' is not a URL"),
        ("[DEFAULT]\ntls_cert = /nowhere\ntls_key = /nowhere\n", "tls_cert: /nowhere cannot be read"),
        ("[DEFAULT]\ntls_cert = /\ntls_key = /\n", "tls_cert: / is not a file"),
        ("[oslo_policy]\npolicy_file = /nowhere.yaml\n", "[oslo_policy] policy_file: /nowhere.yaml cannot be read"),
        ("[oslo_policy]\npolicy_file = /\n", "[oslo_policy] policy_file: / is not a file"),
        ("no section\n", "openvbs.conf, line 1: No ':' or '=' found"),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)):
        read(tmp_path, text)


def test_an_empty_value_means_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is empty would be the current directory."""
    options = {
        "DEFAULT": ("public_url", "identity_listen", "identity_public_url", "tls_cert", "tls_key", "tls_ca"),
        "database": ("connection",),
        "store": ("url", "root_key_file"),
        "audit": ("notify_file",),
        "oslo_policy": ("policy_file",),
    }
    text = "\n".join(
        line for group, names in options.items() for line in (f"[{group}]", *(f"{name} =" for name in names))
    )
    config, defaults = read(tmp_path, text), read(tmp_path)
    assert config == defaults
    assert (config.tls, config.notify_file, config.audit_rules.notifies) == (None, None, False)
    set_before = "[audit]\nnotify_file = /x\n[DEFAULT]\ntls_cert = /x\ntls_key = /x\n"
    monkeypatch.setenv("OS_AUDIT__NOTIFY_FILE", "")
    assert read(tmp_path, set_before, tls_cert="", tls_key="") == defaults


def test_a_missing_file_and_a_missing_data_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config-file: .*none\.conf does not exist"):
        read_config([tmp_path / "none.conf"])
    with pytest.raises(ConfigError, match="data_dir: is not set"):
        read_config()


def test_an_unknown_variable_is_refused_only_in_our_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_NOVA__DEBUG", "1")
    monkeypatch.setenv("OS_CLOUD", "openvbs-alpha")
    read(tmp_path)
    monkeypatch.setenv("OS_STORE__URI", "/x")
    with pytest.raises(
        ConfigError, match=r"OS_STORE__URI: is not an option of \[store\]; there are root_key_file, url"
    ):
        read(tmp_path)


def test_tls_needs_both_files_and_an_https_url(tmp_path: Path) -> None:
    pem = tmp_path / "pem"
    pem.write_text("x")
    with pytest.raises(ConfigError, match="tls_cert, tls_key: must be set together"):
        read(tmp_path, tls_cert=str(pem))
    with pytest.raises(ConfigError, match="must start with https://"):
        read(tmp_path, tls_cert=str(pem), tls_key=str(pem), public_url="http://x")
    config = read(tmp_path, tls_cert=str(pem), tls_key=str(pem))
    assert (config.public_url, config.identity_public_url) == ("https://127.0.0.1:8776", "https://127.0.0.1:8777")


def test_identity_follows_the_public_name(tmp_path: Path) -> None:
    config = read(tmp_path, listen="0.0.0.0:80", public_url="https://vbs.example.com/", identity_listen="0.0.0.0:5000")
    assert config.public_url == "https://vbs.example.com"
    assert config.identity_public_url == "https://vbs.example.com:5000"
    named = read(tmp_path, "[DEFAULT]\nidentity_public_url = https://id.example.com/v3\n")
    assert named.identity_public_url == "https://id.example.com"


def test_an_external_keystone_replaces_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = read(tmp_path, "[keystone_authtoken]\nauth_url = http://k:5000/v3\nmemcached_servers = m:11211\n")
    assert not config.identity_embedded
    assert config.authtoken == {"auth_url": "http://k:5000/v3", "memcached_servers": "m:11211"}
    monkeypatch.setenv("OS_KEYSTONE_AUTHTOKEN__PASSWORD", "from-the-environment")
    text = "[keystone_authtoken]\nauth_url = http://k:5000/v3\npassword = from-the-file\n"
    assert read(tmp_path, text).authtoken["password"] == "from-the-environment"
    with pytest.raises(ConfigError, match="--with-demo-projects"):
        read_config([tmp_path / "openvbs.conf"], {"data_dir": "/x"}, with_demo_projects=True)


def test_no_secret_is_in_its_repr(tmp_path: Path) -> None:
    text = (
        "[database]\nconnection = postgresql+psycopg://u:hunter2@db/x\n"
        "[keystone_authtoken]\nauth_url = http://k/v3\npassword = hunter2\n"
    )
    config = read(tmp_path, text)
    assert "hunter2" in config.database_url
    assert "hunter2" not in repr(config)


def test_addresses() -> None:
    assert parse_address("listen", "[::1]:80") == Address("::1", 80)
    assert str(Address("::1", 80)) == "[::1]:80"
    assert Address("0.0.0.0", 1).from_here == Address("127.0.0.1", 1)
    assert Address("::", 1).from_here == Address("::1", 1)
    assert parse_address("listen", "LocalHost:80") == Address("127.0.0.1", 80)
    for text in ("127.0.0.1:80", "[::ffff:192.0.2.1]:80", "[::]:80"):
        assert str(parse_address("listen", text)) == text


@pytest.mark.parametrize("option", ["listen", "identity_listen"])
@pytest.mark.parametrize("host", ["vbs.example.com", "127.1", "256.0.0.1", "[fe80::1%eth0]", "[localhost]", "[zz]"])
def test_what_the_servers_cannot_listen_on_is_refused_with_what_to_write(
    tmp_path: Path, option: str, host: str
) -> None:
    named = f"{option}: '{host}:8790': {host.strip('[]')!r} is not an IP address of this machine; write one, like"
    with pytest.raises(ConfigError, match=re.escape(named)):
        read(tmp_path, **{option: f"{host}:8790"})


def test_the_manual_lists_every_option_with_its_default() -> None:
    manual = (ROOT / "docs/operations.md").read_text()
    for group, options in OPTIONS.items():
        for option in options:
            row = re.search(rf"^\| `\[{group}\] {option.dest}` \| ([^|]*) \|", manual, re.MULTILINE)
            assert row, f"docs/operations.md does not list [{group}] {option.dest}"
            if option.default is not None:
                assert f"`{option.default}`" in row[1], f"[{group}] {option.dest}: {row[1]} is not {option.default}"
    for group, name in re.findall(r"^\| `\[(\w+)\] (\w+)` \|", manual, re.MULTILINE):
        assert name in {option.dest for option in OPTIONS[group]}, f"there is no [{group}] {name}"
