"""Files of the index that could not be written whole: none stays, whoever was to write it."""

import errno
import os
import resource

import pytest

from openvbs.engine.index_run import IndexRun, PackRow, record, write_run
from openvbs.files import open_draft
from tests.support.crashes import crashes_at

ENTRIES = 2000
SEGMENT = bytes(16)


def write(folder, name: str = "one.run") -> IndexRun:
    records = [record(number.to_bytes(32, "big"), 0, 32, 100) for number in range(ENTRIES)]
    packs = [PackRow(bytes(16), 1000, SEGMENT)]
    return write_run(folder / name, records, capacity=ENTRIES, packs=packs, segments=[SEGMENT])


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_a_full_disk_cut_off_is_removed(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ENTRIES * 20, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write(tmp_path)
        assert caught.value.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == set()


def test_what_a_kill_left_goes_with_the_next_file_and_what_others_write_stays(tmp_path):
    touches = 0
    left = 0
    while crashes_at(touches, lambda: write(tmp_path)):
        left += any(name.startswith("openvbs-draft-") for name in names(tmp_path))
        touches += 1
    assert left
    living, descriptor = open_draft(tmp_path, "openvbs-draft-")
    (tmp_path / "openvbs-draft-dead").write_bytes(b"left by a kill")
    (tmp_path / "of-somebody-else.draft").write_bytes(b"")
    write(tmp_path, "two.run").close()
    assert names(tmp_path) == {"one.run", "two.run", living.name, "of-somebody-else.draft"}
    os.close(descriptor)
    write(tmp_path, "two.run").close()
    assert living.name not in names(tmp_path)
