"""Given codebooks and their scales, groups, fixed assignments, starts, prices and the quartic error against twins."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import generator, heavy, normal, twin_of
from sample_codes import CASES
from toys import last, lbfgs, random_quadratic

from laconic import AdaptiveCodebook, FixedAssignments, FixedCodebook, Joint
from laconic.csteps.fixed_assignments import Hashed
from laconic.csteps.fixed_codebook import BINARY, TERNARY, powers_of_two
from laconic.csteps.joint import project
from laconic.csteps.warm import distortion
from laconic.errors import PlanError, WeightsError
from laconic.format.codes import GridCode, GroupedCode
from laconic.format.coding import entropy_bits
from laconic.lc.finetune import finetune
from laconic.lc.schedule import Geometric
from laconic.lc.steps import run, start
from laconic.models.forms import free_parameters
from laconic.plans.plan import Plan
from laconic.plans.toml import parse_compression
from laconic.quantize.clustering import best_scale, group_scales, scale
from laconic.quantize.clustering.priced import code_lengths
from laconic.theory.metric import Diagonal

# --- the scale of a codebook ----------------------------------------------------------------------------------------


def error_at(weights, h, entries, a):
    """The error of the nearest scaled entries."""
    return float((h * np.square(weights[:, None] - a * entries).min(axis=1)).sum())


def least_by_assignments(weights, h, entries):
    """The least error over every assignment, each with its best scale a ≥ 0."""
    least = float((h * weights**2).sum())
    for z in itertools.product(entries, repeat=len(weights)):
        c = np.array(z)
        s1, s2 = float((h * weights * c).sum()), float((h * c * c).sum())
        if s1 > 0 and s2 > 0:
            least = min(least, float((h * (weights - s1 / s2 * c) ** 2).sum()))
    return least


def example(seed, size, entries):
    """Weights with ties and zeros, importances with zeros, a codebook."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_t(2, size) if seed % 2 else rng.integers(-4, 5, size) / 2
    h = rng.exponential(size=size) * (rng.random(size) > 0.2) if seed % 3 else np.ones(size)
    codebook = np.unique(rng.normal(size=entries).round(1) + 0.0)
    return weights, h if h.any() else np.ones(size), codebook


@pytest.mark.parametrize("seed", range(40))
def test_the_scale_is_the_best_of_all_assignments(seed):
    weights, h, entries = example(seed, 6, 1 + seed % 4)
    least = least_by_assignments(weights, h, entries)
    for a in (best_scale(weights, h, entries), group_scales(weights, h, entries, 6)[0]):
        assert a >= 0
        assert error_at(weights, h, entries, a) == pytest.approx(least, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_dropping_intervals_loses_nothing_against_the_whole_sweep(seed, monkeypatch):
    weights, h, entries = example(seed, 3000, 2 + seed)
    monkeypatch.setattr(scale, "FEW", 20)
    bounded = best_scale(weights, h, entries)
    monkeypatch.setattr(scale, "FEW", 10**9)
    swept = group_scales(weights, h, entries, 3000)[0]
    errors = [error_at(weights, h, entries, a) for a in (bounded, swept)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-12)


def test_alternation_stops_short_of_it():
    """From the scale that fits the largest weight to the largest entry, nearest entries and least squares in turn."""
    weights, entries, ones = np.array([1.0, 1, 1, 1, 4]), np.array(powers_of_two(1)), np.ones(5)
    a = 4.0
    for _ in range(100):
        c = entries[np.abs(weights[:, None] - a * entries).argmin(axis=1)]
        a = float(weights @ c / (c @ c))
    stuck = error_at(weights, ones, entries, a)
    best = error_at(weights, ones, entries, best_scale(weights, None, entries))
    assert best < 0.9 * stuck
    assert best == pytest.approx(least_by_assignments(weights, ones, entries))


@pytest.mark.parametrize("length", [1, 3, 7, 64])
@pytest.mark.parametrize("few", [0, 4096])
def test_each_group_has_its_own_best_scale(length, few, monkeypatch):
    monkeypatch.setattr(scale, "SWEPT", few)
    weights, h, entries = example(5, 64, 5)
    scales = group_scales(weights, h, entries, length)
    assert len(scales) == -(-64 // length)
    for g, a in enumerate(scales):
        own = slice(g * length, (g + 1) * length)
        alone = best_scale(weights[own], h[own], entries)
        errors = [
            error_at(weights[own], h[own] if h[own].any() else np.ones(len(h[own])), entries, s) for s in (a, alone)
        ]
        assert errors[0] == pytest.approx(errors[1], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e30, 1e300])
def test_the_scale_goes_with_the_units(factor):
    weights, h, entries = example(3, 50, 4)
    assert best_scale(weights * factor, h, entries) == pytest.approx(best_scale(weights, h, entries) * factor, rel=1e-9)
    assert group_scales(weights * factor, h, entries, 50)[0] == pytest.approx(
        group_scales(weights, h, entries, 50)[0] * factor, rel=1e-9
    )


@pytest.mark.parametrize(("entries", "a"), [([0.0], 0), ([1.0, 2.0], 0), ([-1.0], 2), ([-2.0, 5.0], 1)])
def test_a_scale_is_never_negative_and_0_where_nothing_is_gained(entries, a):
    weights = np.array([-1.0, -3.0])
    assert best_scale(weights, None, np.array(entries)) == pytest.approx(a)
    assert group_scales(weights, None, np.array(entries), 2).tolist() == pytest.approx([a])
    assert best_scale(np.zeros(3), None, np.array(entries)) == 0
    assert best_scale(np.zeros(0), None, np.array(entries)) == 0


# --- fixed codebook -------------------------------------------------------------------------------------------------


def test_without_scale_the_nearest_entry_and_ties_go_outwards():
    weights = {"w": torch.tensor([0.0, -0.0, 0.5, -0.5, 0.49, -0.49, 7.0])}
    binary, ternary = (FixedCodebook(c, scale="none").project(weights)["w"].decompress() for c in (BINARY, TERNARY))
    assert binary.tolist() == [1, 1, 1, -1, 1, -1, 1]
    assert ternary.tolist() == [0, 0, 1, -1, 0, 0, 1]


@pytest.mark.parametrize("smallest", [0, 1, 3, 5])
def test_powers_of_two_as_the_formula(smallest):
    """f = −log₂|w|: 0 if f > C + 1; 1 if f ≤ 0; 2⁻ᶜ if C < f ≤ C + 1; else 2 to the −⌊f + log₂ 3/2⌋."""
    weights = normal(500).double()
    f = -weights.abs().log2()
    power = torch.where(f <= 0, 0.0, torch.where(f > smallest, float(smallest), (f + np.log2(1.5)).floor()))
    expected = weights.sign() * torch.where(f > smallest + 1, 0.0, 2.0**-power)
    code = FixedCodebook(powers_of_two(smallest), scale="none").project({"w": weights})["w"]
    assert code.decompress().tolist() == expected.tolist()


@pytest.mark.parametrize("weighted", [False, True])
@twin_of(FixedCodebook)
def test_scaled_binary_is_the_mean_magnitude_with_the_signs(weighted):
    weights, h = normal(5, 7).double(), torch.rand(5, 7, generator=generator(1)).double()
    h = h if weighted else torch.ones_like(h)
    code = FixedCodebook(BINARY).project({"w": weights}, {"w": Diagonal(h)} if weighted else None)["w"]
    a = float((h * weights.abs()).sum() / h.sum())
    assert code.decompress() == pytest.approx((a * weights.sign()).numpy(), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_scaled_ternary_as_its_closed_form(seed):
    """Of |w| in descending order, the j that maximise (Σ of the first j)/√j take ±their mean (LC papers)."""
    weights = heavy(60, seed=seed).double()
    ordered = weights.abs().sort(descending=True).values
    j = int((ordered.cumsum(0) / torch.arange(1, 61).sqrt()).argmax()) + 1
    a = ordered[:j].mean()
    expected = torch.where(weights.abs() > a / 2, a * weights.sign(), 0.0)
    assert FixedCodebook(TERNARY).project({"w": weights})["w"].decompress() == pytest.approx(expected.numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_go_to_the_nearest_of_the_stored_entries(dtype):
    weights = (normal(40, 10) * 3).to(dtype)
    code = FixedCodebook((-2, -0.7, 0.1, 1.3), rows=True).project({"w": weights})["w"]
    assert isinstance(code, GroupedCode)
    assert code.scales.array.dtype.name == str(dtype).removeprefix("torch.")
    scales = torch.from_numpy(code.scales.array.astype(np.float64))
    held = (scales[:, None] * torch.tensor([-2, -0.7, 0.1, 1.3], dtype=torch.float64)).to(dtype).double()
    least = (weights.double()[:, :, None] - held[:, None]).abs().amin(2)
    found = torch.from_numpy(code.decompress().astype(np.float64))
    assert torch.equal((weights.double() - found).abs(), least)


def test_tensors_together_share_a_scale_and_apart_they_do_not():
    weights = {"a": normal(50), "b": 5 * normal(3, 20, seed=1)}
    joint, apart = project(Joint(FixedCodebook(TERNARY)), weights), project(FixedCodebook(TERNARY), weights)
    assert joint["a"].scales is joint["b"].scales
    assert apart["a"].scales.array[0] < joint["a"].scales.array[0] < apart["b"].scales.array[0]
    assert apart["a"].codebook is apart["b"].codebook
    together = FixedCodebook(TERNARY).project({"w": torch.cat([t.reshape(-1) for t in weights.values()])})["w"]
    assert together.scales.array[0] == pytest.approx(joint["a"].scales.array[0], rel=1e-6)


def test_more_scales_err_less():
    weights = {"w": normal(30, 32) * torch.linspace(0.1, 3, 30)[:, None]}
    one, rows, groups = (
        distortion(FixedCodebook(TERNARY, **how).project(weights), weights)
        for how in ({}, {"rows": True}, {"group": 8})
    )
    assert groups < rows < one


def test_better_warm_codes_are_kept_only_when_they_are_feasible():
    weights = {"w": normal(4, 6)}
    grouped, rows = FixedCodebook(TERNARY, group=3).project(weights), FixedCodebook(TERNARY, rows=True).project(weights)
    one = FixedCodebook(TERNARY)
    for warm in (grouped, rows, FixedCodebook(powers_of_two(3)).project(weights)):
        assert distortion(warm, weights) < distortion(one.project(weights), weights)
        assert distortion(one.project(weights, None, warm), weights) == distortion(one.project(weights), weights)


def test_it_refuses_bad_parameters_and_codebooks_that_do_not_fit():
    for bad, message in [
        ({"entries": ()}, "entries"), ({"entries": (float("nan"),)}, "entries"), ({"scale": "no"}, "scale"),
        ({"group": -1}, "group"), ({"group": 3, "rows": True}, "rows"), ({"scale": "none", "rows": True}, "scale"),
        ({"price": -1}, "price"), ({"price": 1, "group": 2}, "price"),
    ]:  # fmt: skip
        with pytest.raises(PlanError, match=message):
            FixedCodebook(**({"entries": TERNARY} | bad))
    with pytest.raises(PlanError, match="powers_of_two"):
        powers_of_two(-1)
    with pytest.raises(WeightsError, match=r"w: no entry .*float16"):
        FixedCodebook((1e6,), scale="none").project({"w": torch.ones(3).half()})


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("how", ["learned", "none"])
def test_a_price_buys_bits_with_error_and_the_objective_falls(how, weighted):
    weights = {"w": normal(3000)}
    metrics = {"w": Diagonal(torch.rand(3000, generator=generator(3)))} if weighted else {}
    plain, last_bits = FixedCodebook(powers_of_two(3), scale=how).project(weights, metrics), np.inf
    for price in (1e-3, 1e-2, 0.1):
        code = FixedCodebook(powers_of_two(3), scale=how, price=price).project(weights, metrics)
        bits, more = (entropy_bits(c["w"].indices.array, c["w"].indices.alphabet) for c in (code, plain))
        objectives = [distortion(c, weights, metrics) + price * b for c, b in ((code, bits), (plain, more))]
        assert objectives[0] < objectives[1]
        assert bits < last_bits
        last_bits = bits


@pytest.mark.parametrize("seed", range(4))
def test_a_priced_ternary_is_a_fixed_point_of_both_steps(seed):
    """No single weight is better elsewhere at its code lengths, and the scale is the least-squares one."""
    weights, price = normal(40, seed=seed).double(), 0.2
    code = FixedCodebook(TERNARY, price=price).project({"w": weights})["w"]
    z, a = code.indices.array.astype(int), float(code.scales.array[0])
    entries, lengths = np.array(TERNARY), code_lengths(np.bincount(z, minlength=3))
    costs = np.square(weights.numpy()[:, None] - a * entries) + price * lengths
    assert z.tolist() == costs.argmin(axis=1).tolist()
    assert a == pytest.approx(float(weights.numpy() @ entries[z] / (entries[z] @ entries[z])), rel=1e-9)


def test_plans_name_it_in_four_ways():
    assert parse_compression({"binary": True}, "x") == FixedCodebook((-1, 1))
    assert parse_compression({"ternary": True, "scale": "none"}, "x") == FixedCodebook((1, 0, -1), scale="none")
    assert parse_compression({"powers_of_two": 2, "rows": True}, "x") == FixedCodebook(powers_of_two(2), rows=True)
    assert parse_compression({"fixed_codebook": [3, 0.5], "group": 64}, "x") == FixedCodebook((0.5, 3.0), group=64)


def test_lc_finds_the_best_scale_of_given_signs():
    """With weights far from 0 the signs stay, and the loss is a parabola in the scale."""
    problem = random_quadratic(6, seed=2)
    problem = type(problem)(problem.hessian, problem.centre.sign() * (2 + problem.centre.abs() / 10))
    signs = problem.centre.sign()
    best = float(signs @ problem.hessian @ problem.centre / (signs @ problem.hessian @ signs))
    state = last(run(start(problem.params, Plan({"w": FixedCodebook(BINARY)})), problem, Geometric(0.1, 1.1, 120)))
    assert state.compressed["w"].numpy() == pytest.approx((best * signs).numpy(), rel=1e-5)


# --- fixed assignments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@twin_of(FixedAssignments)
def test_shared_values_are_the_weighted_means_of_their_groups_over_all_tensors(weighted):
    weights = {"a": normal(4, 5), "b": normal(7, seed=1)}
    labels = {"a": np.arange(20).reshape(4, 5) % 3, "b": np.array([9, 9, 2, 2, -1, 9, 0])}
    metrics = {"a": Diagonal(torch.rand(4, 5, generator=generator(2)))} if weighted else {}
    codes = Joint(FixedAssignments(labels)).project(weights, metrics)
    assert codes["a"].codebook is codes["b"].codebook
    values = np.concatenate([t.double().numpy().reshape(-1) for t in weights.values()])
    h = np.concatenate([metrics["a"].importance.numpy().reshape(-1) if weighted else np.ones(20), np.ones(7)])
    keys = np.concatenate([part.reshape(-1) for part in labels.values()])
    found = np.concatenate([code.decompress().reshape(-1) for code in codes.values()])
    for key in set(keys):
        own = keys == key
        assert found[own] == pytest.approx(np.average(values[own], weights=h[own]), rel=1e-6)


def test_a_group_that_weighs_nothing_has_its_plain_mean():
    weights, h = {"w": torch.tensor([1.0, 3.0, 5.0])}, Diagonal(torch.tensor([0.0, 0.0, 1.0]))
    code = FixedAssignments({"w": np.array([4, 4, 8])}).project(weights, {"w": h})["w"]
    assert code.decompress().tolist() == [2, 2, 5]


def test_labels_of_an_earlier_code_give_its_choices_again():
    weights = {"w": normal(40)}
    code = AdaptiveCodebook(4).project(weights)["w"]
    again = FixedAssignments({"w": code.labels()}).project(weights)["w"]
    assert again.decompress() == pytest.approx(code.decompress(), rel=1e-6)


def test_hashed_groups_are_even_and_differ_by_tensor_and_seed():
    counts = np.bincount(Hashed(10).labels("w", 10_000), minlength=10)
    assert (abs(counts - 1000) < 150).all()
    labels = [Hashed(10, seed).labels(name, 50).tolist() for seed in (0, 1) for name in ("v", "w")]
    assert len(set(map(tuple, labels))) == 4
    assert Hashed(10).labels("w", 20).tolist() == labels[1][:20]


def test_labels_that_do_not_fit_are_refused_by_name():
    weights = {"w": normal(4)}
    for labels in ({}, {"v": np.zeros(4, int)}, {"w": np.zeros(3, int)}, {"w": np.zeros(4)}):
        with pytest.raises(WeightsError, match="w: "):
            FixedAssignments(labels).project(weights)
    with pytest.raises(PlanError, match="hashed"):
        Hashed(0)
    assert parse_compression({"hashed": 8, "seed": 2}, "x").labels == Hashed(8, 2)


@pytest.mark.parametrize("weighted", [False, True])
def test_lc_and_training_the_shared_values_end_at_the_same_weights(weighted):
    """A convex problem: LC with a penalty, L-BFGS on the values without one, and the normal equations."""
    problem = random_quadratic(12, seed=3, shape=(3, 4))
    labels = np.array([0, 1, 2, 2, 1, 0, 3, 3, 3, 0, 1, 2])
    metrics = {"w": Diagonal(torch.linspace(0.2, 3, 12).double().view(3, 4))} if weighted else None
    first = start(problem.params, Plan({"w": FixedAssignments({"w": labels})}), metrics)
    by_lc = last(run(first, problem, Geometric(0.1, 1.05, 250))).compressed["w"]
    by_training = finetune(problem.task, first.codes, lbfgs())["w"].decompress()
    z = torch.nn.functional.one_hot(torch.from_numpy(labels)).double()
    best = z @ torch.linalg.solve(z.T @ problem.hessian @ z, z.T @ problem.hessian @ problem.centre.reshape(-1))
    assert by_lc.reshape(-1).numpy() == pytest.approx(best.numpy(), abs=1e-5)
    assert by_training.reshape(-1) == pytest.approx(best.numpy(), abs=1e-5)


def test_a_convolution_is_a_dense_layer_with_shared_weights():
    """Gradient steps on the kernel and on the shared values of the dense layer are the same steps."""
    n, inputs = 6, normal(20, 6)
    targets = normal(20, 6, seed=1)
    place = np.arange(n)
    diagonals = (place - place[:, None]) % n
    kernel = normal(n, seed=2).double().requires_grad_()
    dense = kernel.detach()[torch.from_numpy(diagonals)]
    free = free_parameters(FixedAssignments({"w": diagonals}).project({"w": dense}))
    (shared,) = free.leaves.values()
    by_kernel, by_values = (torch.optim.SGD([leaf], lr=0.02) for leaf in (kernel, shared))
    for _ in range(20):
        padded = torch.cat([inputs, inputs[:, :-1]], dim=1).double()
        outputs = torch.nn.functional.conv1d(padded[:, None], kernel[None, None])[:, 0]
        for optimizer, out in ((by_kernel, outputs), (by_values, inputs.double() @ free.weights()["w"].T)):
            optimizer.zero_grad()
            (out - targets).square().mean().backward()
            optimizer.step()
    assert free.codes()["w"].decompress() == pytest.approx(kernel.detach().numpy()[diagonals], rel=1e-9)


# --- grids ----------------------------------------------------------------------------------------------------------

GRIDS = [name for name, code in CASES.items() if isinstance(code, GridCode) and name != "grid of large levels"]


@pytest.mark.parametrize("name", GRIDS)
def test_the_steps_of_a_grid_move_what_they_multiply(name):
    """The gradient by the share of a step is the sum of the weights that have it."""
    code = replace(CASES[name], dtype="float64")
    free, decoded = free_parameters({"w": code}), code.decompress()
    weights = free.weights()["w"]
    assert weights.detach().numpy() == pytest.approx(decoded, rel=1e-6, abs=1e-6)
    weights.sum().backward()
    (shares,) = free.leaves.values()
    count, place = len(code.step), np.arange(code.size)
    own = place % count if code.transform == "turned" else place * count // max(code.size, 1)
    expected = np.bincount(own, decoded.reshape(-1), minlength=count)
    assert shares.grad.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert free.codes()["w"].decompress().tobytes() == decoded.tobytes()
