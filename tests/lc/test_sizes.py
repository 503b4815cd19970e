"""Which sizes are tried for a quality: pure, beside a network of which it is known what each size reaches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laconic.lc.sizes import Sizes


def searched(excess, first=4000, most=64_000):
    """All searches until the end, by what a size reaches."""
    search, found = Sizes(first, most), []
    while search is not None:
        search = search.seen(excess(search.size), direct=True)
        found.append(search)
        search = search.after()
    return found


def steep(least):
    """Figures that meet the bound from a size on, and fail clearly below."""
    return lambda size: -0.1 if size >= least else 1.0


@given(least=st.integers(20, 60_000))
def test_the_smallest_size_that_meets_it_is_found_within_some_percent(least):
    found = searched(steep(least))
    assert found[-1].smallest is not None
    assert least <= found[-1].smallest <= 1.08 * least + 1
    assert len({one.size for one in found}) == len(found), "no size is tried twice"
    assert [one.ended for one in found] == list(range(len(found)))


@given(least=st.integers(40, 1000), unlucky=st.sets(st.sampled_from([2000, 1000, 500]), max_size=2))
def test_sizes_that_just_fail_by_chance_do_not_end_the_halving(least, unlucky):
    found = searched(lambda size: 0.2 if size in unlucky else steep(least)(size))
    assert found[-1].smallest <= 1.08 * least + 1


@given(least=st.integers(40, 1900))
def test_nor_does_one_that_fails_clearly(least):
    assert searched(lambda size: 1.0 if size == 2000 else steep(least)(size))[-1].smallest <= 1.08 * least + 1


@given(excesses=st.lists(st.floats(-1, 1), min_size=1))
def test_two_points_in_a_row_count_and_one_of_direct_compression(excesses):
    search = Sizes(4000, 64_000)
    for number, excess in enumerate(excesses):
        search = search.seen(excess, direct=number == 0)
        two = number > 0 and excess <= 0 and excesses[number - 1] <= 0
        assert search.is_met is (two or (number == 0 and excess <= 0))
        assert search.excess == min(excesses[: number + 1])
        if search.is_met:
            return


def test_what_nothing_meets_ends_at_the_largest_size():
    found = searched(lambda size: 1.0)
    assert [one.size for one in found] == [4000, 8000, 16_000, 32_000, 64_000]
    assert found[-1].smallest is None


def test_a_size_that_fails_by_far_ends_the_halving():
    found = searched(lambda size: -1.0 if size >= 1500 else 5.0)
    assert [one.size for one in found][:4] == [4000, 2000, 1000, 1515]


def test_what_everything_meets_ends_at_one_byte():
    assert searched(lambda size: -1.0)[-1].smallest == 1


@pytest.mark.parametrize("least", [500, 3000, 20_000])
def test_the_paths_to_come_are_counted(least):
    found = searched(steep(least))
    failed = next(number for number, one in enumerate(found) if not one.is_met and one.size < least)
    for number, one in enumerate(found[failed:], failed):
        assert abs(one.to_come - (len(found) - number)) <= 2
    assert all(one.to_come >= 1 for one in found)
