"""Metadata of volumes and snapshots by itself: all of it, or one key. ETags keep two writers apart."""

import hashlib
from collections.abc import Callable

import msgspec

from openvbs.actions import metadata as actions
from openvbs.actions.metadata import Kind, Metadata
from openvbs.api.ids import uuid_or_none
from openvbs.api.native import bodies
from openvbs.api.wire import Answer, Call
from openvbs.domain.errors import MetadataChanged, MetadataKeyNotFound

_ETAG_FROM = (3, 15)


class Handlers:
    """The handlers of one kind; ``parameter`` is the route's variable for its id."""

    def __init__(self, kind: Kind, parameter: str) -> None:
        self._kind = kind
        self._parameter = parameter

    def show(self, call: Call) -> Answer:
        return _whole(call, actions.get_metadata(call.service, call.caller, self._kind, self._id(call)))

    def merge(self, call: Call) -> Answer:
        """POST: what is given is added or replaced, the rest stays."""
        given = bodies.metadata(call)
        return _whole(call, self._change(call, lambda present: {**present, **given}))

    def replace(self, call: Call) -> Answer:
        """PUT: what is not given goes."""
        given = bodies.metadata(call)
        return _whole(call, self._change(call, lambda _present: given))

    def show_item(self, call: Call) -> Answer:
        present = actions.get_metadata(call.service, call.caller, self._kind, self._id(call))
        return _item(call.params["key"], self._item_of(call, present))

    def set_item(self, call: Call) -> Answer:
        key, value = bodies.metadata_item(call)
        self._change(call, lambda present: {**present, key: value})
        return _item(key, value)

    def delete_item(self, call: Call) -> Answer:
        def without(present: Metadata) -> Metadata:
            self._item_of(call, present)
            return {key: value for key, value in present.items() if key != call.params["key"]}

        self._change(call, without)
        return Answer(200)

    def _change(self, call: Call, change: Callable[[Metadata], Metadata]) -> Metadata:
        wanted = call.request.get_header("If-Match") if call.version >= _ETAG_FROM else None

        def unless_changed(present: Metadata) -> Metadata:
            if wanted is not None and wanted != "*" and wanted.strip('"') != _etag(present):
                raise MetadataChanged(self._kind.name)
            return change(present)

        return actions.change_metadata(call.service, call.caller, self._kind, self._id(call), unless_changed)

    def _item_of(self, call: Call, present: Metadata) -> str:
        key = call.params["key"]
        if key not in present:
            raise MetadataKeyNotFound(self._kind.name, self._id(call), key)
        return present[key]

    def _id(self, call: Call) -> str:
        given_id = call.params[self._parameter]
        wanted_id = uuid_or_none(given_id)
        if wanted_id is None:
            raise self._kind.missing(given_id)
        return wanted_id


VOLUMES = Handlers(actions.VOLUME, "volume_id")
SNAPSHOTS = Handlers(actions.SNAPSHOT, "snapshot_id")


def _whole(call: Call, present: Metadata) -> Answer:
    headers = {"ETag": f'"{_etag(present)}"'} if call.version >= _ETAG_FROM else {}
    return Answer(200, {"metadata": present}, headers)


def _item(key: str, value: str) -> Answer:
    return Answer(200, {"meta": {key: value}})


def _etag(present: Metadata) -> str:
    return hashlib.sha256(msgspec.json.encode(present, order="sorted")).hexdigest()
