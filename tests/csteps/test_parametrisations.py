"""What goes on a grid within bytes: numbers of a transform, shared ones, factors."""

from functools import cache

import numpy as np
import pytest
from cases import heavy, importance, normal

from laconic import Joint, WithinBytes
from laconic.csteps.fixed_assignments import Hashed
from laconic.csteps.parametrisations import Cosine, Factors, Plain, Shared, parametrisation_of, said
from laconic.csteps.warm import distortion
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import GridCode, HashedCode, LowRankCode, TileSparseCode
from laconic.format.codes.cosine import inverse
from laconic.models.params import to_torch
from laconic.plans.plan import Plan
from laconic.plans.toml import parse_compression, to_toml

WEIGHTS = {"fc": heavy(40, 60), "conv": normal(8, 5, 3, 3, seed=1) * 0.5, "bias": normal(40, seed=2)}
WAYS = {
    "plain": (Plain(), (GridCode, GridCode)),
    "kernels": (Cosine(), (GridCode, GridCode)),
    "maps": (Cosine((6, 5)), (TileSparseCode, GridCode)),
    "shared": (Shared(4, fewest=60), (HashedCode, HashedCode)),
    "factors": (Factors(3), (LowRankCode, LowRankCode)),
}


@cache
def compressed(way):
    return Joint(WithinBytes(900, parametrisation=WAYS[way][0])).project(WEIGHTS)


@pytest.mark.parametrize("way", WAYS)
def test_a_size_is_met_and_codes_are_of_the_way_that_was_asked_for(way):
    made, kinds = WAYS[way]
    codes = compressed(way)
    assert 850 <= container.bits(codes) // 8 <= 900
    assert tuple(type(codes[name]) for name in ("fc", "conv")) == kinds
    assert isinstance(codes["bias"], GridCode)
    assert all(made.grids(name, code) for name, code in codes.items())
    others = [other for other, _ in WAYS.values() if other.grids("conv", codes["conv"]) is not None]
    assert others in ([made], [Cosine(), Cosine((6, 5))]), "codes of another way are not taken for warm ones"


@pytest.mark.parametrize("way", WAYS)
def test_weights_near_their_code_keep_it(way):
    """As at the end of LC: steps, factors and choices follow the weights, so that w and Δ(Θ) can meet."""
    compression, codes = Joint(WithinBytes(900, parametrisation=WAYS[way][0])), compressed(way)
    near = {name: to_torch(code.decompress()) + 1e-4 * normal(*code.shape, seed=5) for name, code in codes.items()}
    noise = 1e-8 * sum(tensor.numel() for tensor in near.values())
    assert distortion(compression.project(near, warm=codes), near) < 1.2 * noise


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("way", "exact"), [("maps", True), ("shared", True), ("factors", False)])
def test_errors_of_the_numbers_cost_what_their_importances_say(way, exact, weighted):
    made, w = WAYS[way][0], WEIGHTS["fc"]
    h = importance(w).importance.numpy().astype(float) if weighted else np.zeros(0)
    parts = made.numbers("fc", w.numpy(), h, None)
    rng = np.random.default_rng(0)
    moved = [1e-4 * rng.normal(size=part.array.shape) for part in parts]
    gs = [part.importances if part.importances.size else np.ones(part.array.shape) for part in parts]
    said_cost = sum(float((g * e**2).sum()) for g, e in zip(gs, moved, strict=True))

    def weights(numbers):
        if way == "maps":
            return inverse(numbers[0]).reshape(w.shape)
        if way == "shared":
            return numbers[0][Hashed(len(numbers[0])).labels("fc", w.numel())].reshape(w.shape)
        return numbers[0] @ numbers[1]

    arrays = [part.array for part in parts]
    change = weights([a + e for a, e in zip(arrays, moved, strict=True)]) - weights(arrays)
    cost = float(((h if h.size else 1.0) * change**2).sum())
    if exact and not (weighted and way == "maps"):
        assert cost == pytest.approx(said_cost, rel=1e-6)
    else:  # of independent errors it is the mean that is told
        assert cost == pytest.approx(said_cost, rel=0.15)


def test_a_factor_that_has_become_zero_begins_anew_with_what_is_missing():
    made, w = Factors(3), normal(20, 30, seed=3)
    codes = WithinBytes(100, parametrisation=made).project({"w": w})
    dead = int((np.abs(codes["w"].left.decompress()).sum(0) == 0).sum())
    assert dead, "with few bytes not every component is worth some"
    left, right = made.numbers("w", w.numpy(), np.zeros(0), codes["w"])
    assert np.linalg.matrix_rank(left.array @ right.array) == 3
    best = float((np.linalg.svd(w.double().numpy())[1][3:] ** 2).sum())
    assert float(((w.double().numpy() - left.array @ right.array) ** 2).sum()) < 1.3 * best


def test_small_tensors_and_those_that_would_not_shrink_stay_as_they_are():
    assert Shared(4).grids("w", WithinBytes(300).project({"w": normal(30, 30)})["w"]) is not None
    for made in (Shared(4), Factors(15), Cosine((7, 1))):
        code = WithinBytes(300, parametrisation=made).project({"w": normal(30, 30)})["w"]
        assert isinstance(code, GridCode)
        assert code.transform == "none"


def test_a_row_of_a_plan_says_the_way_and_refuses_two():
    for row in ({}, {"cosine": True}, {"cosine": True, "maps": [28, 28]}, {"shared": 8.0}, {"factors": 4}):
        made = parametrisation_of(row)
        assert said(made) == row
        compression = parse_compression({"within_bytes": 5000, **row, "joint": True}, "x")
        assert compression == Joint(WithinBytes(5000, parametrisation=made))
        assert to_toml(Plan({"*": compression})).count("within_bytes = 5000") == 1
    for wrong in ({"shared": 4.0, "factors": 2}, {"maps": [28, 28]}, {"cosine": True, "maps": [28]}, {"shared": 1.0},
                  {"factors": 0}, {"cosine": True, "maps": [33, 2]}):  # fmt: skip
        with pytest.raises(PlanError, match="x: "):
            parse_compression({"within_bytes": 5000, **wrong}, "x")
    with pytest.raises(PlanError, match="rank is an integer"):
        Factors("3")
