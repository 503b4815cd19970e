"""The treemap: areas in proportion, no overlaps, nothing left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laconic.page.treemap import Box, squarified

SIZES = st.lists(st.one_of(st.just(0), st.integers(1, 10**9)), min_size=1, max_size=40).map(
    lambda sizes: sorted(sizes, reverse=True)
)


@given(sizes=SIZES, width=st.floats(1, 2000), height=st.floats(1, 2000))
def test_boxes_have_their_shares_do_not_overlap_and_fill_the_whole(sizes, width, height):
    whole = Box(3.0, 5.0, width, height)
    boxes, total = squarified(sizes, whole), sum(sizes)
    assert len(boxes) == len(sizes)
    near = 1e-7 * max(width, height)
    for size, box in zip(sizes, boxes, strict=True):
        assert box.area == pytest.approx(whole.area * size / total if total else 0.0, rel=1e-6, abs=1e-6)
        assert whole.x - near <= box.x <= box.x + box.width <= whole.x + width + near
        assert whole.y - near <= box.y <= box.y + box.height <= whole.y + height + near
    for at, one in enumerate(boxes):
        for other in boxes[at + 1 :]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            along = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert across <= near or along <= near


def test_the_layout_of_the_publication():
    """Its figure 4: sizes 6, 6, 4, 3, 2, 2, 1 in 6 × 4."""
    boxes = squarified([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))
    ratios = [max(box.width / box.height, box.height / box.width) for box in boxes]
    assert ratios == pytest.approx([3 / 2, 3 / 2, 49 / 36, 49 / 27, 25 / 18, 25 / 18, 25 / 9])
