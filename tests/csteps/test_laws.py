"""What every compression keeps to, over every case of the table."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from cases import CASES, Case, generator

from laconic import Compression, Lossless
from laconic.csteps.catalogue import COMPRESSIONS
from laconic.csteps.joint import project
from laconic.csteps.warm import distortion
from laconic.errors import UnsupportedMetric, WeightsError
from laconic.format import container
from laconic.format.codes import Code, Symbols, Values
from laconic.models.params import dtype_name
from laconic.theory.metric import Metric


def over(condition=lambda case: True):
    """Run a law over the cases that it holds for."""
    return pytest.mark.parametrize("case", [c for c in CASES if condition(c)], ids=lambda case: case.name)


def lossy(case: Case) -> bool:
    return not isinstance(case.compression, Lossless) and bool(case.weights)


NOISES = (1e-3, 0.1, 1.0, 10.0)


def solve(case: Case, weights=None, warm=None) -> dict[str, Code]:
    return project(case.compression, case.weights if weights is None else weights, case.metrics, warm)


def perturbed(case: Case, noise: float, seed: int) -> dict[str, torch.Tensor]:
    """The weights with noise of their own scale: projecting these gives a random feasible point."""
    found = {}
    for name, tensor in case.weights.items():
        double = tensor.double().nan_to_num()
        scale = noise * (double.abs().mean() if tensor.numel() else 0.0)
        step = torch.randn(tensor.shape, generator=generator(seed), dtype=torch.float64) * scale
        found[name] = (double + step).to(tensor.dtype)
    return found


def contents(code: Code) -> Iterator[tuple[object, ...]]:
    """Everything that a code stores, in order, as bytes."""
    yield type(code), code.shape, code.dtype, code.facts()
    for name, part in code.streams().items():
        if isinstance(part, Code):
            yield from contents(part)
        else:
            alphabet = part.alphabet if isinstance(part, Symbols) else None
            yield name, alphabet, part.array.dtype.name, part.array.tobytes()


def contents_kinds(code: Code) -> list[type[Code]]:
    return [first for first, *_ in contents(code) if isinstance(first, type)]


def kinds(compression: Compression) -> set[type[Compression]]:
    inner = (getattr(compression, field.name) for field in dataclasses.fields(compression))
    return {type(compression)}.union(*(kinds(part) for part in inner if isinstance(part, Compression)))


def same_bits(a: dict[str, Code], b: dict[str, Code]) -> bool:
    return a.keys() == b.keys() and all(a[name].decompress().tobytes() == b[name].decompress().tobytes() for name in a)


def objective(case: Case, codes: dict[str, Code]) -> float:
    """What the case minimises: the distortion, and a penalty where there is one."""
    return distortion(codes, case.weights, case.metrics) + case.penalty(codes)


@over()
def test_a_compression_knows_what_its_prices_come_to(case: Case):
    codes = solve(case)
    assert case.compression.penalty(codes) == pytest.approx(case.penalty(codes), rel=1e-9, abs=1e-12)


def precision(case: Case) -> float:
    """How much a rounding to the coarsest dtype can cost, relatively."""
    return max((torch.finfo(tensor.dtype).eps for tensor in case.weights.values()), default=0.0)


def norm(case: Case) -> float:
    return sum(float(tensor.double().nan_to_num().square().sum()) for tensor in case.weights.values())


def test_no_public_compression_is_missing_from_the_table():
    assert {kind for case in CASES for kind in kinds(case.compression)} == set(COMPRESSIONS)


def test_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


@over()
def test_one_code_a_tensor_of_its_shape_and_dtype(case: Case):
    before = {name: tensor.clone() for name, tensor in case.weights.items()}
    codes = solve(case)
    assert list(codes) == list(case.weights)
    for name, tensor in case.weights.items():
        array = codes[name].decompress()
        assert (codes[name].shape, array.shape) == (tuple(tensor.shape), tuple(tensor.shape))
        assert (codes[name].dtype, array.dtype.name) == (dtype_name(tensor), dtype_name(tensor))
        labels = codes[name].labels()
        assert labels is None or labels.shape == (tensor.numel(),)
        assert torch.equal(tensor.nan_to_num(), before[name].nan_to_num())


@over()
def test_same_input_same_code(case: Case):
    first, second = solve(case), solve(case)
    assert [list(contents(code)) for code in first.values()] == [list(contents(code)) for code in second.values()]


@over()
def test_streams_invert(case: Case):
    def rebuilt(code: Code) -> Code:
        parts = {name: rebuilt(p) if isinstance(p, Code) else p for name, p in code.streams().items()}
        assert all(isinstance(part, (Code, Symbols, Values)) for part in parts.values())
        return type(code).from_streams(code.shape, code.dtype, code.facts(), parts)

    codes = solve(case)
    again = {name: rebuilt(code) for name, code in codes.items()}
    assert same_bits(codes, again)
    assert all(list(contents(codes[name])) == list(contents(again[name])) for name in codes)


@over()
def test_the_file_gives_every_code_back_at_the_size_that_bits_says(case: Case):
    codes = solve(case)
    data = container.dumps(codes)
    assert container.bits(codes) == 8 * len(data)
    assert same_bits(container.loads(data).codes, codes)


@over(lambda case: case.idempotent != "no")
def test_projecting_twice_is_projecting_once(case: Case):
    once = solve(case)
    weights = {name: _tensor(code.decompress(), case.weights[name]) for name, code in once.items()}
    twice = solve(case, weights)
    if case.idempotent == "bit":
        assert all(np.array_equal(once[n].decompress(), twice[n].decompress(), equal_nan=True) for n in once)
    else:
        assert distortion(twice, weights) <= (8 * precision(case)) ** 2 * norm(case)


@over(lossy)
def test_never_worse_than_warm(case: Case):
    for seed, noise in enumerate(NOISES):
        warm = solve(case, perturbed(case, noise, seed))
        new = solve(case, warm=warm)
        assert objective(case, new) <= objective(case, warm) * (1 + 1e-12)
        kinds_of = [[contents_kinds(code) for code in codes.values()] for codes in (new, warm)]
        assert kinds_of[0] == kinds_of[1] or not case.one_kind


@over()
def test_warm_codes_of_another_kind_are_ignored(case: Case):
    strange = project(Lossless(), {name: torch.zeros(3) for name in case.weights})
    assert same_bits(solve(case), solve(case, warm=strange))


@over(lambda case: lossy(case) and case.exact)
def test_random_feasible_points_are_no_better(case: Case):
    least = objective(case, solve(case))
    for seed, noise in enumerate(NOISES * 2):
        point = solve(case, perturbed(case, noise, seed))
        other = objective(case, point)
        # where the optimum is all but zero, what the dtype rounds off is all there is
        assert least <= other * (1 + 4 * precision(case)) + precision(case) ** 2 * norm(case)


@over(lambda case: lossy(case) and any(t.numel() for t in case.weights.values()))
def test_what_is_not_finite_is_refused_by_name(case: Case):
    name = [name for name, tensor in case.weights.items() if tensor.numel()][-1]
    for poison in (float("nan"), float("inf"), -float("inf")):
        tensor = case.weights[name].clone(memory_format=torch.contiguous_format)
        tensor.view(-1)[-1] = poison
        with pytest.raises(WeightsError, match=f"{name}: 1 of"):
            solve(case, {**case.weights, name: tensor})


@over(lossy)
def test_integers_are_refused_by_name(case: Case):
    name = next(iter(case.weights))
    with pytest.raises(WeightsError, match=f"{name}: .*int64"):
        solve(case, {**case.weights, name: torch.ones(case.weights[name].shape, dtype=torch.int64)})


class Strange(Metric):
    def error(self, weights: torch.Tensor, compressed: torch.Tensor) -> float:
        raise AssertionError("a compression that does not know a metric does not use it")


@over(lossy)
def test_a_metric_that_it_cannot_honour_is_refused_by_name(case: Case):
    name = next(iter(case.weights))
    with pytest.raises(UnsupportedMetric, match=f"{name}: .*Strange"):
        project(case.compression, case.weights, {name: Strange()})


def _tensor(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    wide = array.astype(np.float64) if array.dtype.name == "bfloat16" else array
    return torch.from_numpy(np.array(wide)).to(like.dtype)
