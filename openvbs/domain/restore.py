"""What a restored volume gets from the backup's source."""

from collections.abc import Mapping
from typing import Any

from openvbs.domain.backup import Backup
from openvbs.domain.volume import Volume

NEW_VOLUME_PREFIX = "restore_backup_"
NEW_VOLUME_DESCRIPTION = "auto-created_from_restore_from_backup"


def source_properties(backup: Backup, volume_id: str, *, as_recipient: bool) -> dict[str, object]:
    """What the backup has for the volume, by the names of the volume's columns.

    For everybody the bootable flag and the image metadata; the source's metadata, name and description only for the
    owner: a recipient learns none of them.
    """
    values: dict[str, object] = {"bootable": backup.bootable, "image_metadata": dict(backup.image_metadata)}
    if as_recipient:
        return values
    origin = {} if volume_id == backup.volume_id else {"src_backup_id": backup.id}
    return {
        **values,
        "metadata": {**backup.volume_metadata, **origin},
        "name": backup.volume_name,
        "description": backup.volume_description,
    }


def restored_properties(source: Mapping[str, Any], volume: Volume) -> dict[str, Any]:
    """The columns to set of the volume, as it is once its bytes are there.

    Metadata of its own stays beside the source's. The source's name and description are for a volume that still
    carries the name we made for it.
    """
    values = dict(source)
    if "metadata" in values:
        values["metadata"] = {**volume.metadata, **values["metadata"]}
    if volume.name is None or not volume.name.startswith(NEW_VOLUME_PREFIX):
        values.pop("name", None)
        values.pop("description", None)
    return values
