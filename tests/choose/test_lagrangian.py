"""The choice under budgets: exact beside every choice there is, and never over a budget."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laconic.choose.lagrangian import Menus, picked
from laconic.errors import PlanError


def menus(seed: int, budgets: int, tensors: int, most: int) -> Menus:
    rng = np.random.default_rng(seed)
    damages = tuple(rng.integers(0, 20, rng.integers(1, most + 1)).astype(float) for _ in range(tensors))
    return Menus(damages, tuple(rng.integers(0, 20, (len(own), budgets)).astype(float) for own in damages))


@given(st.integers(0, 10_000), st.integers(1, 2), st.integers(1, 4), st.floats(0.2, 1.2))
def test_it_is_the_best_of_all_choices_of_a_small_menu(seed, budgets, tensors, share):
    own = menus(seed, budgets, tensors, 5)
    most = share * sum(costs.mean(axis=0) for costs in own.costs)
    every = product(*(range(len(one)) for one in own.damages))
    within = [picks for picks in every if (own.cost(picks) <= most + 1e-9).all()]
    if not within:
        with pytest.raises(PlanError, match="met"):
            picked(own, most)
        return
    found = picked(own, most)
    assert (own.cost(found.picks) <= most + 1e-6).all()
    assert own.damage(found.picks) == min(map(own.damage, within))


def test_what_the_prices_choose_is_the_best_for_what_it_costs():
    own = menus(1, 1, 6, 8)
    found = picked(own, [40.0])
    hull = own.best(found.prices)
    spent = own.cost(hull)[0]
    assert own.damage(picked(own, [spent]).picks) == own.damage(hull)


def test_a_budget_that_nothing_meets_names_the_least_that_can_be():
    own = menus(2, 1, 3, 4)
    least = sum(costs.min() for costs in own.costs)
    with pytest.raises(PlanError, match=f"least that can be is {least:,.6g}"):
        picked(own, [least - 1])
    assert own.cost(picked(own, [least]).picks)[0] == least


def test_without_nodes_a_choice_is_still_within_its_budgets():
    own = menus(3, 2, 12, 9)
    most = 0.9 * sum(costs.mean(axis=0) for costs in own.costs)
    found = picked(own, most, nodes=0)
    assert (own.cost(found.picks) <= most + 1e-6).all()
    assert own.damage(picked(own, most).picks) <= own.damage(found.picks)
