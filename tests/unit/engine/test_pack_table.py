"""Tables of packs: sorted, added up, and met with a listing."""

from hypothesis import given
from hypothesis import strategies as st

from openvbs.engine import pack_table
from openvbs.engine.ids import PackId
from openvbs.engine.pack_table import PackTable, side_by_side

IDS = st.integers(0, 12).map(lambda number: PackId(number.to_bytes(16, "big")))
ROWS = st.lists(st.tuples(IDS, st.integers(0, 2**40), st.integers(0, 2**40)), max_size=40)


@given(ROWS, st.sets(IDS), st.integers(1, 5))
def test_every_pack_of_either_comes_once_in_order(rows, listed, chunk_rows):
    before, pack_table._CHUNK_ROWS = pack_table._CHUNK_ROWS, chunk_rows
    try:
        table = PackTable(iter(rows))
    finally:
        pack_table._CHUNK_ROWS = before
    wanted: dict[bytes, tuple[int, int]] = {}
    for pack, first, second in rows:
        so_far = wanted.get(pack, (0, 0))
        wanted[pack] = (so_far[0] + first, so_far[1] + second)
    assert list(table) == [(pack, *wanted[pack]) for pack in sorted(wanted)]
    together = list(side_by_side(table, ((pack, pack.hex()) for pack in sorted(listed))))
    assert [pack for pack, _, _ in together] == sorted(listed | wanted.keys())
    for pack, row, name in together:
        assert row == ((pack, *wanted[pack]) if pack in wanted else None)
        assert name == (pack.hex() if pack in listed else None)


def test_numbers_of_one_pack_can_be_joined_in_another_way():
    one, other = PackId(bytes(16)), PackId(bytes(15) + b"1")
    table = PackTable([(one, 1, 9), (other, 7, 7), (one, 5, 9)], max)
    assert list(table) == [(one, 5, 9), (other, 7, 7)]
