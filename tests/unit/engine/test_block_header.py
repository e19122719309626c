"""What a reader takes from the header of a block before anything in it is authenticated."""

import pytest

from openvbs.engine.errors import Corrupt
from openvbs.engine.format import TAG_BYTES, BlockHeader, Compression, Kind, parse_block_header
from openvbs.engine.ids import BlockId
from tests.support.repositories import BLOCK


def header(kind: Kind, plain_bytes: int) -> BlockHeader:
    return BlockHeader(BlockId(bytes(32)), plain_bytes + TAG_BYTES, plain_bytes, 0, Compression.NONE, kind)


@pytest.mark.parametrize(("kind", "least", "most"), [(Kind.BLOCK, 1, BLOCK), (Kind.PAGE, 32, 8192)])
def test_lengths_beyond_what_a_block_or_page_can_have_are_refused(kind, least, most):
    for good in (least, most):
        assert parse_block_header(header(kind, good).pack(), block_bytes_max=BLOCK) == header(kind, good)
    for bad in (least - 1, most + 1):
        with pytest.raises(Corrupt, match="impossible lengths"):
            parse_block_header(header(kind, bad).pack(), block_bytes_max=BLOCK)
