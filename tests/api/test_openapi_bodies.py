"""The schemas of request bodies and the parsers behind them agree: what one accepts, so does the other."""

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from falcon import Request, testing
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from openvbs.actions.service import Service
from openvbs.api.microversion import VERSION_MAX, Version
from openvbs.api.native import bodies as native
from openvbs.api.native import body_schemas as native_schemas
from openvbs.api.native import operations, quotas, texts
from openvbs.api.operation import AnyOf, Body, Schema, Schemas, Under
from openvbs.api.vbs import bodies, body_schemas, policy_bodies, tag_bodies
from openvbs.api.wire import Call, Settings, WireError
from openvbs.auth.caller import Caller
from openvbs.domain.errors import VolumeNotFound
from tests.support.json_values import near
from tests.support.openapi import validator

Parse = Callable[[Call], Any]
PROJECT = "a" * 32
EXAMPLES = int(os.environ.get("OPENVBS_EXAMPLES", "60"))
SETTINGS = Settings(public_url="http://here", body_bytes_max=1_000_000, page_items_max=1000)
CALLER = Caller(
    project_id=PROJECT,
    token_project_id=PROJECT,
    user_id="u",
    roles=frozenset(),
    is_admin=False,
    request_id="r",
)


def call(value: object, *, path: str, version: Version, params: Mapping[str, str]) -> Call:
    environ = testing.create_environ(
        method="POST", path=path, body=json.dumps(value), headers={"Content-Type": "application/json"}
    )
    return Call(
        service=cast("Service", None),  # no parser asks for it
        settings=SETTINGS,
        caller=CALLER,
        request=Request(environ),
        params=dict(params),
        version=version,
    )


def parse_policy(request: Call) -> None:
    _, tags = policy_bodies.policy_to_create(request)
    tag_bodies.tags_to_create(tags)


def quota_set(request: Call) -> None:
    quotas.limits_of(native.quota_set(request))


def act(known: dict[str, Callable[[Call, Any], Any]]) -> Parse:
    def parse(request: Call) -> None:
        name, value = native.action(request, known)
        known[name](request, value)

    return parse


TWICE = "more than once"
BEYOND_POLICY = f"{TWICE}|different values|time_zone"
# name: parser, schema, what no schema can say: words in the message of the refusal
VBS: dict[str, tuple[Parse, Schema, str]] = {
    "backup": (bodies.create_backup, body_schemas.CREATE_BACKUP, TWICE),
    "copy": (bodies.copy_backup, body_schemas.COPY, "-"),
    "restore": (bodies.restore_target, body_schemas.RESTORE_TARGET, "-"),
    "share": (lambda request: bodies.share(request, projects_max=100), body_schemas.SHARE, "expires_at"),
    "policy": (parse_policy, body_schemas.CREATE_POLICY, BEYOND_POLICY),
    "policy change": (
        policy_bodies.policy_to_change,
        body_schemas.CHANGE_POLICY,
        f"{TWICE}|different values|time_zone",
    ),
    "association": (policy_bodies.association, body_schemas.ASSOCIATION, "-"),
    "disassociation": (policy_bodies.disassociation, body_schemas.DISASSOCIATION, "-"),
    "tag": (tag_bodies.one_tag, body_schemas.ONE_TAG, "-"),
    "tags": (tag_bodies.batch, body_schemas.BATCH, TWICE),
    "search": (tag_bodies.search, body_schemas.SEARCH, f"{TWICE}|offset must be"),
}
RESET = {
    "os-reset_status": lambda _call, value: native.reset_status(value),
    "os-force_delete": lambda _call, value: native.nothing("os-force_delete", value),
}
VOLUME_ACTIONS = {"os-extend": native.extend, "os-set_bootable": native.bootable}
NATIVE: dict[str, tuple[Parse, Any, Version | None, str]] = {
    "backup at v2": (native.backup, Body("backup", native_schemas.BackupV2, ()), None, "project_id"),
    "backup": (native.backup, Body("backup", None, (native_schemas.BackupV30,)), (3, 0), "-"),
    "backup 3.43": (native.backup, Body("backup", None, (native_schemas.BackupV343,)), (3, 43), "-"),
    "backup 3.51": (native.backup, Body("backup", None, (native_schemas.BackupV351,)), (3, 51), "-"),
    "backup change": (
        native.backup_change,
        Body("backup", None, (native_schemas.BackupChange,), may_be_null=True),
        (3, 9),
        "-",
    ),
    "backup change 3.43": (
        native.backup_change,
        Body("backup", None, (native_schemas.BackupChangeV343,), may_be_null=True),
        (3, 43),
        "-",
    ),
    "restore at v2": (native.restore, Body("restore", native_schemas.RestoreV2, (), may_be_null=True), None, "-"),
    "restore": (native.restore, Body("restore", None, (native_schemas.Restore,), may_be_null=True), (3, 0), "-"),
    "volume at v2": (native.volume, Body("volume", native_schemas.VolumeV2, ()), None, "-"),
    "volume": (
        native.volume,
        Body("volume", None, (native_schemas.VolumeV30,), native_schemas.BESIDE_VOLUME),
        (3, 0),
        "-",
    ),
    "volume 3.47": (
        native.volume,
        Body("volume", None, (native_schemas.VolumeV347,), native_schemas.BESIDE_VOLUME),
        (3, 47),
        "-",
    ),
    "volume 3.53": (
        native.volume,
        Body("volume", None, (native_schemas.VolumeV353,), native_schemas.BESIDE_VOLUME),
        (3, 53),
        "-",
    ),
    "snapshot at v2": (native.snapshot, Body("snapshot", native_schemas.Snapshot, ()), None, "-"),
    "snapshot": (native.snapshot, Body("snapshot", None, (native_schemas.SnapshotV3,)), (3, 0), "-"),
    "change at v2": (lambda c: native.change(c, "volume"), Body("volume", native_schemas.Change, ()), None, "-"),
    "change": (lambda c: native.change(c, "volume"), Body("volume", None, (native_schemas.ChangeV3,)), (3, 0), "-"),
    "snapshot change": (
        lambda c: native.change(c, "snapshot"),
        Body("snapshot", None, (native_schemas.SNAPSHOT_CHANGE_V3,)),
        (3, 0),
        "-",
    ),
    "reset": (
        act(RESET),
        AnyOf((Under("os-reset_status", native_schemas.ResetStatus), Under("os-force_delete", operations.NOTHING))),
        (3, 0),
        "-",
    ),
    "extend at v2": (act(VOLUME_ACTIONS), operations.VOLUME_ACTIONS, None, "-"),
    "extend": (
        act(VOLUME_ACTIONS),
        operations.VOLUME_ACTIONS,
        (3, 0),
        "-",
    ),
    "record at v2": (native.backup_record, Body("backup-record", native_schemas.BackupRecord, ()), None, "-"),
    "record": (native.backup_record, Body("backup-record", None, (native_schemas.BackupRecordV3,)), (3, 0), "-"),
    "quotas": (
        lambda c: quotas.limits_of(native.quota_set(c)),
        Body("quota_set", None, (operations.QUOTA_SET,)),
        (3, 0),
        "-",
    ),
    "metadata": (native.metadata, Body("metadata", None, (texts.Metadata,)), (3, 0), "-"),
    "one key": (native.metadata_item, Body("meta", None, (operations.ONE_ITEM,)), (3, 0), "-"),
}


def key_in(value: Any) -> str:
    """The key that a path would have to name for this body of one key."""
    named = value.get("meta") if isinstance(value, dict) else None
    return next(iter(named), "a") if isinstance(named, dict) else "a"


def refusal(parse: Parse, request: Call) -> WireError | None:
    try:
        parse(request)
    except WireError as error:
        return error
    except VolumeNotFound:  # understood, but nothing has the id null
        return None
    return None


def hold(parse: Parse, schema: Schema, named: Mapping[str, Schema], beyond: str, **where: Any) -> None:
    """Hundreds of values, of which some must have been accepted and some refused."""
    checked = validator(schema)
    seen: set[bool] = set()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        value = data.draw(near(schema, named))
        refused = refusal(parse, call(value, params={"project_id": PROJECT, "key": key_in(value)}, **where))
        seen.add(refused is None)
        if refused is None:
            assert checked.is_valid(value), "accepted"
        else:
            assert 400 <= refused.status < 500
            assert not checked.is_valid(value) or re.search(beyond, refused.message), refused.message

    run()
    assert seen == {True, False}


@pytest.mark.parametrize("name", VBS)
def test_vbs_bodies(name: str) -> None:
    parse, schema, beyond = VBS[name]
    hold(parse, schema, body_schemas.NAMED, beyond, path="/v2/p/x", version=(3, 0))


@pytest.mark.parametrize("name", NATIVE)
def test_native_bodies(name: str) -> None:
    parse, shape, version, beyond = NATIVE[name]
    schemas = Schemas()
    schema = schemas.of(shape, is_v3=version is not None)
    path = f"/v2/{PROJECT}/x" if version is None else f"/v3/{PROJECT}/x"
    hold(parse, schema, schemas.named, beyond, path=path, version=version or VERSION_MAX)
