"""Files and devices that a backup or a restore must leave alone."""

import os
from contextlib import closing

import pytest

from openvbs.sources.base import SourceError
from openvbs.sources.file import FileSource, FileTarget
from openvbs.units import MIB
from tests.contract.test_sources import loop_device, run


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="neither a file nor a block device"):
        FileSource(tmp_path / "pipe")


def test_a_file_that_cannot_be_made_large_enough_leaves_nothing(tmp_path):
    with pytest.raises(SourceError, match="cannot create"):
        FileTarget.create(tmp_path / "new", 1 << 62)
    assert not (tmp_path / "new").exists()


def test_two_restores_do_not_write_to_one_file(tmp_path):
    with closing(FileTarget.create(tmp_path / "new", 10)) as one, closing(FileTarget(tmp_path / "new")) as other:
        one.reserve()
        with pytest.raises(SourceError, match="another restore writes to"):
            other.reserve()
        (tmp_path / "new").unlink()
    with closing(FileTarget.create(tmp_path / "new", 10)) as removed:
        (tmp_path / "new").unlink()
        with pytest.raises(SourceError, match="was removed just now"):
            removed.reserve()


@pytest.mark.heavy
def test_a_mounted_device_is_not_written_to(tmp_path):
    (tmp_path / "at").mkdir()
    with loop_device(tmp_path, bytes(8 * MIB)) as device:
        run("mke2fs", "-q", device)
        run("mount", device, tmp_path / "at")
        try:
            with pytest.raises(SourceError, match="mounted or in use: unmount it first"):
                FileTarget(device)
        finally:
            run("umount", tmp_path / "at")
        FileTarget(device).close()
