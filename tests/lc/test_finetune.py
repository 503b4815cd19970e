"""Fine-tuning: choices stay, shared numbers stay shared, gradients are those of the numbers themselves."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn
from toys import (
    DOUBLE,
    NOTHING,
    Parameter,
    Quadratic,
    classifier,
    contents,
    full_batch,
    lbfgs,
    normal,
    random_quadratic,
    seeded_module,
    trained,
    training_loss,
)

from laconic import (
    AdaptiveCodebook,
    Additive,
    FixedAssignments,
    FixedCodebook,
    Groups,
    Joint,
    KeepGroups,
    KeepLargest,
    KeepNOfM,
    Lossless,
    LowRank,
    RandomVectors,
    UniformGrid,
    WithinBytes,
)
from laconic.csteps.fixed_assignments import Hashed
from laconic.csteps.parametrisations import Cosine, Factors
from laconic.errors import PlanError, WeightsError
from laconic.format.codes import Code, CodebookCode, DenseCode, LowRankCode, SparseCode, Symbols, Values
from laconic.lc.finetune import finetune
from laconic.lc.steps import start
from laconic.models.params import decompress, params_of, to_numpy
from laconic.plans.plan import Plan
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task

ONE_STEP = Optimization(1, 0.1, optimizer=lambda leaves, lr: torch.optim.SGD(leaves, lr=lr))


def codes_of(params, plan: Plan) -> dict[str, Code]:
    """A code for every tensor: the plan's, or the numbers themselves."""
    return {**Lossless().project(params), **start(params, plan).codes}


def choices(code: Code) -> object:
    """What fine-tuning may not touch: masks, indices, shapes, and the same within nested codes."""
    parts = code.streams().items()
    return type(code), code.shape, code.dtype, code.facts(), [
        choices(part) if isinstance(part, Code) else part.array.tolist() if isinstance(part, Symbols) else len(part)
        for _, part in parts
    ]  # fmt: skip


def values(code: Code) -> list[Values]:
    """Every stored array of numbers in the code, nested ones too."""
    parts = code.streams().values()
    return [v for p in parts for v in (values(p) if isinstance(p, Code) else [p] if isinstance(p, Values) else [])]


def loss_of(problem: Quadratic, codes: Mapping[str, Code]) -> float:
    return float(problem.loss(decompress(codes)["w"]))


SHAPE = (6, 5)
COMPRESSIONS = {
    "lossless": Lossless(),
    "codebook": AdaptiveCodebook(3),
    "keep": KeepLargest(0.3),
    "keep codebook": KeepLargest(0.5, values=AdaptiveCodebook(3)),
    "keep filters": KeepGroups(Groups("filters"), 0.5),
    "keep blocks codebook": KeepGroups(Groups("blocks", (2, 3)), 0.5, values=AdaptiveCodebook(3)),
    "2 of 4": KeepNOfM(2, 4),
    "rank": LowRank(2),
    "rank of codebooks": LowRank(2, left=AdaptiveCodebook(3), right=AdaptiveCodebook(3)),
    "rank of sparse codebooks": LowRank(2, left=KeepLargest(0.6, values=AdaptiveCodebook(2)), right=KeepLargest(0.8)),
    "grid": UniformGrid(bits=2),
    "within": WithinBytes(140),
    "within factors": WithinBytes(400, parametrisation=Factors(2)),
    "within a transform": WithinBytes(140, parametrisation=Cosine((1, 5))),
    "hashed": FixedAssignments(Hashed(7)),
    "hashed grid": FixedAssignments(Hashed(11), values=UniformGrid(bits=2)),
    "hashed and drawn": FixedAssignments(Hashed(7), values=RandomVectors(3, index_bits=5)),
    "drawn": RandomVectors(5, index_bits=6),
    "scaled": FixedCodebook((-1, 0, 1)),
    "scaled groups": FixedCodebook((-1, 0, 1), group=4),
    "codebooks of rows": AdaptiveCodebook(2, rows=True),
    "given": FixedCodebook((-1, 1), scale="none"),
    "keep grid": KeepLargest(0.5, values=UniformGrid(step=0.4, rate=0.1)),
    "rank of grids": LowRank(2, left=UniformGrid(bits=3)),
    "sum": Additive((AdaptiveCodebook(2), KeepLargest(0.1))),
    "sum of three": Additive((LowRank(1), UniformGrid(bits=1), KeepLargest(0.1, values=AdaptiveCodebook(2)))),
    "nothing kept": KeepLargest(count=0),
    "rank 0": LowRank(0),
}


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_choices_stay_and_the_loss_falls_whatever_the_code(kind: str):
    problem = random_quadratic(30, seed=4, shape=SHAPE)
    codes = dict(Joint(COMPRESSIONS[kind]).project({"w": problem.centre + normal(*SHAPE, seed=9) / 3}))
    tuned = finetune(problem.task, codes, Optimization(50, 0.02, optimizer=adam))
    assert choices(tuned["w"]) == choices(codes["w"])
    assert tuned["w"].decompress().dtype == np.float64
    if kind in ("nothing kept", "rank 0"):
        assert not tuned["w"].decompress().any()
    elif kind == "given":
        assert tuned["w"] is codes["w"]
    else:
        assert loss_of(problem, tuned) < loss_of(problem, codes)


def test_with_fixed_assignments_it_ends_at_the_closed_form():
    problem = random_quadratic(12, seed=2)
    codes = AdaptiveCodebook(3).project(problem.params)
    tuned = finetune(problem.task, codes, lbfgs())["w"]
    assert isinstance(tuned, CodebookCode)
    z = torch.nn.functional.one_hot(torch.from_numpy(codes["w"].labels() - 1)).double()
    best = torch.linalg.solve(z.T @ problem.hessian @ z, z.T @ problem.hessian @ problem.centre)
    assert torch.allclose(torch.from_numpy(tuned.codebook.array.copy()), best, atol=1e-6)


def test_the_gradient_of_an_entry_is_the_sum_of_its_members_in_all_tensors():
    task = classifier(samples=60, batch=60)
    module = task.module
    plan = Plan({"0.weight, 4.weight": Joint(AdaptiveCodebook(3))}, Lossless())
    codes = codes_of(trained(task, 3), plan)
    weights = {name: tensor.clone() for name, tensor in decompress(codes).items()}
    leaves = {name: weights[name].requires_grad_() for name in ("0.weight", "4.weight", "4.bias")}
    module.train()
    batch = next(iter(task.batches("train", 0)))
    task.loss(task.outputs(weights, batch), batch).backward()
    naive = np.zeros(3)
    for name in ("0.weight", "4.weight"):
        for index, gradient in zip(codes[name].indices.array, leaves[name].grad.flatten().tolist(), strict=True):
            naive[index] += gradient
    tuned = finetune(task, codes, ONE_STEP)
    moved = (codes["0.weight"].codebook.array - tuned["0.weight"].codebook.array) / 0.1
    assert moved == pytest.approx(naive, rel=1e-3, abs=1e-6)
    bias = (codes["4.bias"].values.array - tuned["4.bias"].values.array) / 0.1
    assert bias == pytest.approx(leaves["4.bias"].grad.numpy(), rel=1e-3, abs=1e-6)
    assert tuned["0.weight"].codebook is tuned["4.weight"].codebook


def test_a_shared_codebook_stays_one_object_in_nested_codes_too():
    task = classifier()
    plan = Plan({"0.weight, 4.weight": Joint(KeepLargest(0.3, values=Joint(AdaptiveCodebook(4))))}, Lossless())
    tuned = finetune(task, codes_of(trained(task, 3), plan), ONE_STEP)
    one, two = (values(tuned[name])[0] for name in ("0.weight", "4.weight"))
    assert one is two


@pytest.mark.parametrize("seed", [0, 1])
def test_training_a_compressed_network_lowers_its_loss_by_batches(seed: int):
    task = classifier()
    plan = Plan({"0.weight": KeepLargest(0.1, values=AdaptiveCodebook(4)), "4.weight": LowRank(2)}, Lossless())
    codes = codes_of(trained(task), plan)
    tuned = finetune(task, codes, Optimization(5, 5e-3, optimizer=adam), seed)
    again = finetune(task, codes, Optimization(5, 5e-3, optimizer=adam), seed)
    assert training_loss(task, decompress(tuned)) < 0.8 * training_loss(task, decompress(codes))
    assert list(tuned) == list(codes)
    for name, code in codes.items():
        assert code.dtype == tuned[name].dtype
        assert choices(tuned[name]) == choices(code)
        assert contents(tuned[name]) == contents(again[name])


def test_running_statistics_of_batchnorm_are_those_of_the_tuned_network():
    task = classifier()
    codes = codes_of(trained(task, 3), Plan({"0.weight": AdaptiveCodebook(2)}, Lossless()))
    before = {name: contents(code) for name, code in codes.items()}
    tuned = finetune(task, codes, Optimization(2, 1e-2, optimizer=adam))
    assert tuned["1.running_mean"].decompress().tolist() != codes["1.running_mean"].decompress().tolist()
    count = tuned["1.num_batches_tracked"].decompress()
    assert int(count) == int(codes["1.num_batches_tracked"].decompress()) + 2 * 6
    assert count.dtype == np.int64
    assert {name: contents(code) for name, code in codes.items()} == before


def test_frozen_parameters_keep_their_very_codes_compressed_ones_too():
    task = classifier()
    for name in ("0.weight", "4.bias"):
        task.module.get_parameter(name).requires_grad_(False)
    codes = codes_of(trained(task, 3), Plan({"0.weight": AdaptiveCodebook(2)}, Lossless()))
    tuned = finetune(task, codes, ONE_STEP)
    assert tuned["0.weight"] is codes["0.weight"]
    assert tuned["4.bias"] is codes["4.bias"]
    assert contents(tuned["4.weight"]) != contents(codes["4.weight"])


def test_no_epochs_change_nothing():
    problem = random_quadratic(6, seed=1)
    codes = AdaptiveCodebook(2).project(problem.params)
    assert finetune(problem.task, codes, Optimization(0))["w"] is codes["w"]


def test_a_bfloat16_codebook_is_trained_in_float32_and_stays_bfloat16():
    """Steps far below the spacing of bfloat16 add up, so it is not the rounded numbers that are trained."""
    hundred = Optimization(100, 1e-3, optimizer=lambda leaves, lr: torch.optim.SGD(leaves, lr=lr))
    start_at = torch.tensor([1.0, 1.0, -1.0, -1.0]).bfloat16()
    codes = AdaptiveCodebook(2).project({"w": start_at})
    task = Task.of(
        Parameter(start_at), full_batch(NOTHING, NOTHING), lambda w, _: 0.5 * (w.float() - 2 * start_at).square().sum()
    )
    tuned = finetune(task, codes, hundred)["w"]
    assert isinstance(tuned, CodebookCode)
    assert (tuned.dtype, tuned.codebook.array.dtype.name) == ("bfloat16", "bfloat16")
    assert tuned.codebook.array.astype(float).tolist() == pytest.approx([-1.18, 1.18], abs=0.02)  # 2 − (1 − 2e-3)¹⁰⁰


@pytest.mark.parametrize(
    "compression", [AdaptiveCodebook(3), KeepLargest(0.5), LowRank(1), UniformGrid(bits=2), Lossless()]
)
def test_a_network_in_half_precision_sees_weights_of_its_own_dtype(compression):
    module = seeded_module(lambda: nn.Linear(4, 3)).bfloat16()
    batch = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    task = Task.of(module, full_batch(batch, batch), lambda outputs, _: outputs.float().square().mean())
    codes = codes_of(params_of(module), Plan({"weight": compression}, Lossless()))
    tuned = finetune(task, codes, Optimization(20, 0.05, optimizer=adam))
    assert {code.dtype for code in tuned.values()} == {"bfloat16"}
    assert training_loss(task, decompress(tuned)) < training_loss(task, decompress(codes))


def test_a_codebook_of_another_dtype_than_its_tensor_keeps_it():
    problem = random_quadratic(4, seed=3)
    code = CodebookCode((4,), "float64", Values(np.float32([-1, 1])), Symbols(np.array([0, 1, 1, 0]), 2))
    tuned = finetune(problem.task, {"w": code}, ONE_STEP)["w"]
    assert isinstance(tuned, CodebookCode)
    assert (tuned.dtype, tuned.codebook.array.dtype) == ("float64", np.float32)


@pytest.mark.parametrize("view", ["out|in.kh.kw", "out.kh|in.kw", "out.kw|in.kh"])
def test_factors_of_kernels_are_trained_in_every_view(view: str):
    """The trained product is the decompressed one: the loss it was trained for is the loss of the file."""
    target = normal(4, 3, 2, 2, seed=2)
    task = Task.of(Parameter(target), full_batch(NOTHING, NOTHING), lambda w, _: 0.5 * (w - target).square().sum())
    codes = LowRank(2, view).project({"w": target + normal(4, 3, 2, 2, seed=3)})
    tuned = finetune(task, codes, lbfgs(200))["w"]
    best = LowRank(2, view).project({"w": target})["w"]
    assert isinstance(tuned, LowRankCode)
    assert tuned.view == view
    assert tuned.decompress() == pytest.approx(best.decompress(), abs=1e-4)


def test_a_tied_tensor_is_trained_by_either_name():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 3, bias=False, dtype=DOUBLE)
            self.second = nn.Linear(3, 3, bias=False, dtype=DOUBLE)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(x))

    module, x = seeded_module(Tied), normal(10, 3)
    task = Task.of(module, full_batch(x, x), lambda outputs, batch: (outputs - batch[1]).square().mean())
    weight = params_of(module)["first.weight"]
    results = []
    for name in ("first.weight", "second.weight"):
        codes = AdaptiveCodebook(3).project({name: weight})
        tuned = finetune(task, codes, Optimization(30, 0.05, optimizer=adam))
        assert isinstance(tuned[name], CodebookCode)
        assert training_loss(task, decompress(tuned)) < training_loss(task, decompress(codes))
        results.append(tuned[name].decompress().tolist())
    assert results[0] == results[1]


def test_divergence_and_weight_decay_are_refused():
    problem = random_quadratic(6, seed=1)
    codes = AdaptiveCodebook(2).project(problem.params)
    with pytest.raises(WeightsError, match="diverged"):
        finetune(problem.task, codes, Optimization(400, 1e6))
    with pytest.raises(PlanError, match="weight decay"):
        finetune(problem.task, codes, Optimization(1, weight_decay=1e-4))


def test_it_leaves_the_module_and_the_codes_as_they_were():
    task = classifier()
    params = trained(task, 2)
    codes = codes_of(params, Plan({"0.weight": KeepLargest(0.2)}, Lossless()))
    module, before = params_of(task.module), {n: contents(c) for n, c in codes.items()}
    copies = {name: to_numpy(tensor).tobytes() for name, tensor in module.items()}
    task.module.eval()
    finetune(task, codes, ONE_STEP)
    assert {name: to_numpy(tensor).tobytes() for name, tensor in params_of(task.module).items()} == copies
    assert {n: contents(c) for n, c in codes.items()} == before
    assert not any(part.training for part in task.module.modules())
    assert isinstance(codes["0.weight"], SparseCode)
    assert isinstance(codes["4.bias"], DenseCode)


def test_the_learning_rate_is_annealed_and_every_epoch_has_an_order_of_its_own():
    task, rates, orders = classifier(samples=100), [], []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    def batches(split: str, seed: int):
        for inputs, labels in task.batches(split, seed):
            orders.append(tuple(labels.tolist()))
            yield inputs, labels

    codes = codes_of(params_of(task.module), Plan({"0.weight": AdaptiveCodebook(2)}, Lossless()))
    how = Optimization(3, 0.3, lambda progress: 1 - progress, optimizer=lambda leaves, lr: Watched(leaves, lr=lr))
    finetune(Task.of(task.module, batches, task.loss, task.measures, task.metadata), codes, how, seed=1)
    assert rates == pytest.approx([0.3, 0.3, 0.2, 0.2, 0.1, 0.1])
    assert len(set(orders)) == len(orders) == 6
