"""What a restored volume has besides its bytes."""

from openvbs.actions.backups import create_backup
from openvbs.actions.restores import restore_backup
from openvbs.actions.volumes import update_volume
from openvbs.domain.backup import NewBackup, NewRestore
from tests.support.actions import caller
from tests.support.site import Site

ALPHA = caller("alpha")


def test_what_is_changed_of_a_volume_while_it_is_restored_stays(site: Site) -> None:
    with site.worker():
        source = site.new_volume(name="disk", metadata={"of": "the source"})
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=source.id))
        site.succeeded(job)
    _, changed, first = restore_backup(site.service, ALPHA, backup.id, NewRestore())
    _, left, second = restore_backup(site.service, ALPHA, backup.id, NewRestore())
    update_volume(site.service, ALPHA, changed.id, name="mine", description="my words", metadata={"k": "v"})
    with site.worker():
        site.succeeded(first)
        site.succeeded(second)
    restored = {"of": "the source", "src_backup_id": backup.id}
    volume = site.volume(changed.id)
    assert (volume.name, volume.description) == ("mine", "my words")
    assert volume.metadata == {"k": "v", **restored}
    assert (site.volume(left.id).name, site.volume(left.id).metadata) == ("disk", restored)
