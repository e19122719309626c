"""What a restored volume gets from the backup's source."""

from openvbs.domain.backup import Backup
from openvbs.domain.volume import Volume

NEW_VOLUME_PREFIX = "restore_backup_"
NEW_VOLUME_DESCRIPTION = "auto-created_from_restore_from_backup"


def restored_properties(backup: Backup, volume: Volume, *, as_recipient: bool) -> dict[str, object]:
    """The volume's columns to set once its bytes are there.

    Everybody gets the bootable flag and the image metadata. Only the owner gets metadata, and a volume that still
    carries the name we made for it gets the source's name and description: a recipient learns neither.
    """
    values: dict[str, object] = {"bootable": backup.bootable, "image_metadata": dict(backup.image_metadata)}
    if as_recipient:
        return values
    metadata = {**volume.metadata, **backup.volume_metadata}
    if volume.id != backup.volume_id:
        metadata["src_backup_id"] = backup.id
    values["metadata"] = metadata
    if volume.name is not None and volume.name.startswith(NEW_VOLUME_PREFIX):
        values["name"] = backup.volume_name
        values["description"] = backup.volume_description
    return values
