"""What a restored volume has besides its bytes."""

from openvbs.actions.backups import create_backup
from openvbs.actions.restores import restore_backup
from openvbs.actions.volumes import update_volume
from openvbs.domain.backup import NewBackup, NewRestore
from openvbs.units import MIB
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


def test_a_new_volume_whose_file_is_there_gets_every_zero(site: Site) -> None:
    """After the database was set back to a copy, a restore runs for the second time as if it were the first."""
    with site.worker():
        source = site.new_volume()
        backup, job = create_backup(site.service, ALPHA, NewBackup(volume_id=source.id))
        site.succeeded(job)
    _, target, job = restore_backup(site.service, ALPHA, backup.id, NewRestore())
    site.files.create_volume(target.id, target.size_bytes)
    site.write_random(target.id, 20 * MIB)
    site.write_random(target.id, MIB, offset=700 * MIB)
    with site.worker():
        site.succeeded(job)
    assert site.content(target.id) == site.content(source.id)
