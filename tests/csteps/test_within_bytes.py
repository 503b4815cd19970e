"""All tensors in so many bytes: what is promised of the size, and of the price that all of them share."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import heavy, importance, normal, twin_of

from laconic import Joint, UniformGrid, WithinBytes
from laconic.csteps.joint import project
from laconic.csteps.warm import distortion
from laconic.csteps.within_bytes import Rest
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import DenseCode, GridCode
from laconic.format.coding.payload import moved
from laconic.theory.metric import Diagonal


def sparse(*shape: int, seed: int = 0) -> torch.Tensor:
    return heavy(*shape, seed=seed) * (normal(*shape, seed=seed + 5) > 1)


SPARSE = {"a": sparse(80, 60), "b": 0.3 * sparse(40, 30, seed=1), "c": normal(40, seed=2)}


def slopes(code: GridCode, values: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What an error costs for each bit saved, and saves for each bit spent, where one integer moves by one."""
    step, levels = float(code.step.array[0]), code.levels.reshape(-1).astype(int)
    classes = code.own_scales.each().astype(int)
    lengths = 12 - np.log2(np.maximum(code.coder.frequencies, 2.0**-12))

    def bits(v: np.ndarray) -> np.ndarray:
        return np.where(abs(v) < 8, lengths[classes, np.where(v == 0, 0, 2 * abs(v) - (v > 0)) % 256], 99.0)

    def error(v: np.ndarray) -> np.ndarray:
        return h * (values - moved(v, code.coder.model.offsets) * step) ** 2

    saved, spent = [], []
    for by in (-1, 1):
        other = levels + by
        known = (abs(levels) < 7) & (bits(other) < 14)
        more = (bits(other) - bits(levels))[known]
        less = (error(levels) - error(other))[known]
        for slopes_of, some in ((saved, more < -0.05), (spent, more > 0.05)):
            slopes_of.append(less[some] / more[some])
    return np.concatenate(saved), np.concatenate(spent)


@pytest.mark.parametrize("weighted", [False, True])
@twin_of(WithinBytes)
def test_a_bit_is_worth_the_same_in_every_tensor(weighted):
    metrics = {name: importance(SPARSE[name]) for name in ("a", "b", "c")} if weighted else {}
    codes = Joint(WithinBytes(900)).project(SPARSE, metrics)
    least, most = [], []
    for name in ("a", "b"):  # of the third there are too few for a quantile
        tensor = SPARSE[name]
        h = metrics[name].importance.numpy().reshape(-1) if weighted else np.ones(tensor.numel())
        saved, spent = slopes(codes[name], tensor.numpy().reshape(-1).astype(np.float64), h)
        least.append(float(np.quantile(saved, 0.1)))  # tables and steps are refitted after the last choice
        most.append(float(np.quantile(spent, 0.98)))
    assert max(most) < min(least)
    assert max(least) < 1.6 * min(least)


@pytest.mark.parametrize("size", [250, 2500])
def test_a_size_is_met_from_below(size):
    codes = Joint(WithinBytes(size)).project(SPARSE)
    taken = container.bits(codes) // 8
    assert 0.99 * size - 4 <= taken <= size


def test_a_size_is_met_where_weights_differ_by_a_million():
    wild = {name: tensor**3 for name, tensor in SPARSE.items()}
    assert 0.9 * 700 <= container.bits(Joint(WithinBytes(700)).project(wild)) // 8 <= 700


def test_what_else_is_in_the_file_is_counted():
    others = {"norm": DenseCode.of(normal(60).numpy())}
    rest = Rest(metadata={"net": "toy"}, names={"norm": "norm", "a": "a", "again": "a"})
    codes = Joint(WithinBytes(900, rest=rest)).beside(others).project({"a": SPARSE["a"]})
    file = {"norm": others["norm"], "a": codes["a"], "again": codes["a"]}
    assert 890 <= container.bits(file, {"net": "toy"}) // 8 <= 900
    assert WithinBytes(900).beside(others) == WithinBytes(900)


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_and_columns_that_hold_next_to_nothing_take_next_to_nothing(axis):
    """Better than a grid whose classes are those of the weights, among which small ones hide which columns matter."""
    full = torch.rand(300 if axis == 0 else 200, generator=torch.Generator().manual_seed(1)) < 0.2
    full = full[:, None] if axis == 0 else full
    weights = {"w": sparse(300, 200) * full + 0.1 * normal(300, 200, seed=3)}
    grid = UniformGrid(bits=0.16, scales=True).project(weights)
    codes = WithinBytes(container.bits(grid) // 8).project(weights)
    assert codes["w"].mode == 1 + axis
    assert distortion(codes, weights) < 0.9 * distortion(grid, weights)


def test_the_steps_of_warm_codes_are_where_the_next_ones_are_looked_for():
    compression = Joint(WithinBytes(900))
    first = project(compression, SPARSE)
    near = {name: tensor + 1e-3 * normal(*tensor.shape, seed=9) for name, tensor in SPARSE.items()}
    again = project(compression, near, warm=first)
    for name in SPARSE:
        assert float(again[name].step.array[0]) == pytest.approx(float(first[name].step.array[0]), rel=0.1)
    coarser = {name: replace(code, step=type(code.step)(code.step.array * 1.5)) for name, code in first.items()}
    far = project(compression, near, warm=coarser)
    assert float(far["a"].step.array[0]) > 1.2 * float(first["a"].step.array[0])


def test_a_size_that_zeros_exceed_is_refused_and_the_least_one_named():
    with pytest.raises(
        PlanError, match=r"60 bytes are too few: with next to nothing of a the file takes \d+; ask for"
    ) as error:
        WithinBytes(60).project({"a": SPARSE["a"]})
    enough = int(str(error.value).split("ask for ")[1].split()[0])
    WithinBytes(enough).project({"a": SPARSE["a"]})
    with pytest.raises(PlanError, match="above 0"):
        WithinBytes(0)
    with pytest.raises(PlanError, match="states"):
        WithinBytes(100, states=3)


def test_importances_say_which_weights_are_kept():
    h = torch.ones(80, 60)
    h[:40] = 100.0
    code = WithinBytes(500).project({"w": SPARSE["a"]}, {"w": Diagonal(h)})["w"]
    kept = code.levels != 0
    assert kept[:2400].sum() > 3 * kept[2400:].sum()


@pytest.mark.parametrize("factor", [1e-6, 0.03, 0.5, 3.0, 1e6])
def test_weights_that_have_grown_or_shrunk_do_not_keep_the_steps_that_they_had(factor):
    compression, weights = WithinBytes(300), {"a": normal(32, 12)}
    warm = compression.project(weights)
    others = {"a": factor * weights["a"]}
    ours, cold = compression.project(others, warm=warm), compression.project(others)
    assert container.bits(ours) // 8 <= 300
    assert distortion(ours, others) < 1.1 * distortion(cold, others)


def test_codes_of_another_size_or_of_nothing_are_no_worse_than_none():
    weights = {"a": normal(32, 12)}
    nothing = WithinBytes(300).project({"a": torch.zeros(32, 12)})
    large = WithinBytes(3000).project(weights)
    for size, warm in ((300, nothing), (150, large), (450, WithinBytes(200).project(weights))):
        ours, cold = WithinBytes(size).project(weights, warm=warm), WithinBytes(size).project(weights)
        assert container.bits(ours) // 8 <= size
        assert distortion(ours, weights) < 1.1 * distortion(cold, weights)


def test_only_the_ratios_of_importances_matter():
    h = importance(SPARSE["a"]).importance
    codes = [
        WithinBytes(500).project({"w": SPARSE["a"]}, {"w": Diagonal(scale * h)})["w"] for scale in (1.0, 1e-30, 1e30)
    ]
    assert len({code.decompress().tobytes() for code in codes}) == 1
