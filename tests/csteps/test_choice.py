"""A choice among compressions: the best of all by trying each, whatever the cost; and every technique through it."""

import itertools

import pytest
import torch
from cases import importance, normal, twin_of

from laconic import AdaptiveCodebook, Additive, Choice, Joint, KeepLargest, L0Penalty, Lossless, LowRank
from laconic.csteps.costs import Bits, Energy, Flops, Parameters
from laconic.csteps.joint import project
from laconic.csteps.warm import distortion
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import CodebookCode, DenseCode
from laconic.lc.schedule import Geometric
from laconic.lc.steps import c_step, run, start
from laconic.plans.plan import Plan
from laconic.plans.techniques import TECHNIQUES
from laconic.plans.toml import parse_compression
from laconic.theory.metric import Diagonal

PARTS = (AdaptiveCodebook(2), AdaptiveCodebook(6), KeepLargest(0.2), LowRank(2), Lossless())


@pytest.mark.parametrize("price", [0.0, 1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("cost", [Bits(), Bits(exact=True), Parameters(), Flops(9), Energy(4)], ids=repr)
@pytest.mark.parametrize("weighted", [False, True])
@twin_of(Choice)
def test_the_choice_is_the_least_of_all_objectives(price, cost, weighted):
    weights = {"w": normal(12, 9, seed=3)}
    metrics = {"w": importance(weights["w"])} if weighted else {}
    chosen = Choice(PARTS, price, cost).project(weights, metrics)
    objectives = []
    for part in PARTS:
        codes = part.project(weights, metrics)
        objectives.append(distortion(codes, weights, metrics) + price * cost("w", codes["w"]))
    found = distortion(chosen, weights, metrics) + price * cost("w", chosen["w"])
    assert found == pytest.approx(min(objectives), rel=1e-12)


def test_each_tensor_has_its_own_choice_and_together_they_have_one():
    weights = {"noise": normal(20, 20), "two": normal(20, 20, seed=1).sign()}
    choice = Choice((AdaptiveCodebook(2), Lossless()), 1e-3, Parameters())
    apart = project(choice, weights)
    assert [type(code) for code in apart.values()] == [DenseCode, CodebookCode]
    together = project(Joint(choice), weights)
    assert len({type(code) for code in together.values()}) == 1


def test_a_higher_price_never_costs_more():
    weights, prices = {"w": normal(30, 20)}, [0.0, *(10.0**k for k in range(-5, 1))]
    sizes = [AdaptiveCodebook(k) for k in (2, 3, 4, 8, 16, 64)]
    bits = [Bits()("w", Choice(tuple(sizes), price).project(weights)["w"]) for price in prices]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > 2 * bits[-1]


def test_prices_scale_and_only_the_choice_has_one():
    choice = Choice(PARTS, 0.5)
    assert choice.scaled(4).price == 2.0
    with pytest.raises(PlanError, match="one price for all: leave that of L0Penalty"):
        Choice((L0Penalty(0.1), Lossless()), 0.5)
    with pytest.raises(PlanError, match="among two compressions or more, not 1"):
        Choice((Lossless(),), 0.5)
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(PlanError, match="price is what a unit of the cost"):
            Choice(PARTS, bad)


# --- every technique: alone, nested, in LC, under a rate -------------------------------------------------------------

KERNEL = {"w": normal(8, 4, 2, 2)}
each = pytest.mark.parametrize("key", [key for key in TECHNIQUES if key != "lossless"])


def compression_of(key):
    return parse_compression(TECHNIQUES[key].example, key)


@each
def test_every_technique_goes_into_a_file_alone(key):
    codes = project(compression_of(key), KERNEL)
    data = container.dumps(codes)
    assert container.bits(codes) == 8 * len(data)
    assert container.loads(data).codes["w"].decompress().tobytes() == codes["w"].decompress().tobytes()


@each
def test_every_technique_is_a_part_of_a_sum(key):
    codes = project(Additive((compression_of(key), KeepLargest(count=5)), sweeps=2), KERNEL)
    alone = project(compression_of(key), KERNEL)
    within = compression_of(key).penalty({"w": codes["w"].terms[0]})
    assert distortion(codes, KERNEL) + within <= distortion(alone, KERNEL) + compression_of(key).penalty(alone) + 1e-6


@each
def test_every_technique_takes_steps_of_the_lc_algorithm(key):
    state = start(KERNEL, Plan({"w": compression_of(key)}))
    states = list(run(state, pull_to(KERNEL), Geometric(0.1, 2.0, 3)))
    assert len(states) == 4 or states[0].progress.gap == 0  # nothing is lost at all
    assert all(torch.isfinite(state.params["w"]).all() for state in states)
    again = c_step(states[-1], states[-1].weights, 1.0)
    assert again.codes["w"].shape == (8, 4, 2, 2)


def pull_to(reference):
    """The L step of ½ ‖w − reference‖²: a weighted mean with the target."""

    def l_step(state, mu):
        found = {n: (reference[n] + mu * state.target(mu)[n]) / (1 + mu) for n in state.codes}
        return found, float(sum((found[n] - reference[n]).square().sum() for n in found)) / 2

    return l_step


@each
def test_every_technique_is_under_a_rate(key):
    """Its own price, which scales; or that of a choice between it and leaving the tensor alone."""
    compression = compression_of(key)
    priced = compression.scaled(2.0) != compression
    if priced:
        dear = project(compression.scaled(1e6), KERNEL)
        assert compression.penalty(dear) <= compression.penalty(project(compression, KERNEL)) + 1e-9
        return
    free, dear = (project(Choice((compression, Lossless()), price), KERNEL)["w"] for price in (0.0, 1e3))
    assert isinstance(free, DenseCode) or distortion({"w": free}, KERNEL) < 1e-12
    assert Bits()("w", dear) <= Bits()("w", project(compression, KERNEL)["w"])


def test_importances_reach_what_is_chosen_from():
    weights = {"w": torch.tensor([1.0, 2.0, 9.0])}
    heavy = {"w": Diagonal(torch.tensor([1.0, 1.0, 0.0]))}
    code = Choice((AdaptiveCodebook(1), Lossless()), 1e-9).project(weights, heavy)["w"]
    assert isinstance(code, DenseCode)
    one = Choice((AdaptiveCodebook(1), AdaptiveCodebook(1)), 1e-9).project(weights, heavy)["w"]
    assert one.codebook.array.tolist() == [1.5]


def test_all_pairs_of_techniques_that_have_no_price_can_be_chosen_from():
    plain = [compression_of(key) for key in TECHNIQUES]
    plain = [c for c in plain if c.scaled(2.0) == c and not isinstance(c, Choice)]
    for pair in itertools.pairwise(plain):
        assert project(Choice(pair, 1e-4), KERNEL)["w"].shape == (8, 4, 2, 2)
