"""A restore over a volume that holds most of the backup writes the pages that differ, and no others."""

import random

from openvbs.units import KIB
from tests.support.repositories import BytesTarget, back_up_bytes, new_repository, restore_to

BLOCK = 256 * KIB
PAGE = 4 * KIB


def test_only_pages_that_differ_are_written_and_neighbours_at_once():
    chooser = random.Random(1)
    block = chooser.randbytes(BLOCK)
    content = chooser.randbytes(7 * BLOCK) + 3 * block + bytes(2 * BLOCK) + chooser.randbytes(5 * PAGE + 100)
    old = bytearray(content)
    # One page, two neighbours across two blocks, one in a block that occurs three times, the short end, a whole block.
    for first, count in [(3, 1), (127, 2), (8 * 64 + 5, 1), (len(content) // PAGE, 1), (4 * 64, 64)]:
        for at in range(first * PAGE, min(len(old), (first + count) * PAGE)):
            old[at] ^= 1
    old[11 * BLOCK + 7] = 1  # a zero block is made zero
    with new_repository(block_bytes=BLOCK) as repository:
        record = back_up_bytes(repository, content)
        target = BytesTarget(data=bytes(old))
        stats = restore_to(repository, record.facts.backup_id, target)
    assert target.data == content
    assert sorted(target.written) == [
        (3 * PAGE, PAGE),
        (127 * PAGE, 2 * PAGE),
        (4 * BLOCK, BLOCK),
        ((8 * 64 + 5) * PAGE, PAGE),
        (len(content) // PAGE * PAGE, 100),
    ]
    assert stats.bytes_written == 68 * PAGE + 100
    assert stats.bytes_zero == 2 * BLOCK
    assert stats.bytes_skipped == len(content) - stats.bytes_written - stats.bytes_zero
