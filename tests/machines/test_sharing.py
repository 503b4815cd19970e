"""Work shared out: who does what, all results everywhere, and what fails on one rank fails on all."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from ranks import on_ranks

from laconic.errors import WeightsError, WorkersError
from laconic.machines.sharing import Sharing, owners_of, shared_out


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(1, 3))
def test_the_busiest_rank_has_at_most_a_third_more_than_in_the_best_division(costs, ranks):
    owners = owners_of({str(place): cost for place, cost in enumerate(costs)}, ranks)

    def busiest(division):
        return max(sum(c for c, own in zip(costs, division, strict=True) if own == r) for r in range(ranks))

    best = min(map(busiest, product(range(ranks), repeat=len(costs))))
    assert busiest(owners.values()) <= (4 / 3 - 1 / (3 * ranks)) * best + 1e-9


def test_each_item_is_done_once_and_all_ranks_have_all_results_in_order():
    costs, done = {"a": 5, "b": 1, "c": 3, "d": 0}, []

    def work(names):
        for name in names:
            done.append(name)
            yield name.upper().encode() * (name != "d")

    wanted = {"a": b"A", "b": b"B", "c": b"C", "d": b""}
    for came in on_ranks(3, lambda wires: shared_out(costs, work, wires)):
        assert came == wanted
        assert list(came) == list(wanted)
    assert sorted(done) == sorted(costs)


def test_items_are_brought_to_rank_0_one_after_the_other():
    def brought(wires):
        return list(Sharing(wires, {"a": 1, "b": 0, "c": 1}).brought("cab", lambda name: name.encode() * wires.rank))

    assert on_ranks(2, brought) == [[("c", b"c"), ("a", b"a"), ("b", b"")], []]


def test_ranks_that_are_asked_for_different_things_are_told():
    for error in on_ranks(3, lambda wires: Sharing.of({}, wires).require_same("--bits 3"[: 8 - wires.rank // 2])):
        assert isinstance(error, WorkersError)
        assert "rank 2 and rank 0" in str(error)


def test_what_fails_on_one_rank_is_an_error_on_all_that_names_it():
    def fails(wires):
        def work(names):
            for name in names:
                if name == "b":
                    raise WeightsError("b is NaN")
                yield b""

        return shared_out({"a": 2, "b": 1}, work, wires)

    for error in on_ranks(2, fails):
        assert isinstance(error, WorkersError)
        assert str(error) == "rank 1: b is NaN"
