"""What every compression keeps to, over every case of the table.

A case is one test, which runs all the laws that hold for it. Most cases are run only with ``--all``: a row meets few
tensors otherwise.
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import pytest
import torch
from cases import CASES, Case, generator, neighbours

from laconic import Compression, Lossless
from laconic.csteps.catalogue import COMPRESSIONS
from laconic.csteps.joint import project
from laconic.csteps.warm import distortion
from laconic.errors import UnsupportedMetric, WeightsError
from laconic.format import container
from laconic.format.codes import Code, Symbols, Values
from laconic.models.params import dtype_name
from laconic.theory.metric import Metric

NOISES = (1e-3, 1.0)
Codes = dict[str, Code]


class Trial:
    """A case and what the laws look at, each computed once: codes are frozen."""

    def __init__(self, case: Case):
        self.case = case
        self.weights, self.metrics = case.weights, case.metrics

    def solve(self, weights=None, warm=None) -> Codes:
        return project(self.case.compression, self.weights if weights is None else weights, self.metrics, warm)

    @cached_property
    def codes(self) -> Codes:
        return self.solve()

    @cached_property
    def feasible(self) -> list[Codes]:
        """Random points of the feasible set: projections of weights with noise of their own scale."""
        return [self.solve(self.perturbed(noise, seed)) for seed, noise in enumerate(NOISES)]

    def perturbed(self, noise: float, seed: int) -> dict[str, torch.Tensor]:
        found = {}
        for name, tensor in self.weights.items():
            double = tensor.double().nan_to_num()
            scale = noise * (double.abs().mean() if tensor.numel() else 0.0)
            step = torch.randn(tensor.shape, generator=generator(seed), dtype=torch.float64) * scale
            found[name] = (double + step).to(tensor.dtype)
        return found

    def objective(self, codes: Codes) -> float:
        """What the case minimises: the distortion, and a penalty where there is one."""
        return distortion(codes, self.weights, self.metrics) + self.case.penalty(codes)

    @property
    def precision(self) -> float:
        """How much a rounding to the coarsest dtype can cost, relatively."""
        return max((torch.finfo(tensor.dtype).eps for tensor in self.weights.values()), default=0.0)

    @property
    def norm(self) -> float:
        return sum(float(tensor.double().nan_to_num().square().sum()) for tensor in self.weights.values())


def contents(code: Code) -> Iterator[tuple[object, ...]]:
    """Everything that a code stores, in order, as bytes."""
    yield type(code), code.shape, code.dtype, code.facts()
    for name, part in code.streams().items():
        if isinstance(part, Code):
            yield from contents(part)
        else:
            alphabet = part.alphabet if isinstance(part, Symbols) else None
            yield name, alphabet, part.array.dtype.name, part.array.tobytes()


def kinds_of_codes(codes: Codes) -> list[list[type[Code]]]:
    return [[first for first, *_ in contents(code) if isinstance(first, type)] for code in codes.values()]


def same_bits(a: Codes, b: Codes) -> bool:
    return a.keys() == b.keys() and all(a[name].decompress().tobytes() == b[name].decompress().tobytes() for name in a)


def like(array: np.ndarray, tensor: torch.Tensor) -> torch.Tensor:
    wide = array.astype(np.float64) if array.dtype.name == "bfloat16" else array
    return torch.from_numpy(np.array(wide)).to(tensor.dtype)


# --- the laws --------------------------------------------------------------------------------------------------------

LAWS: dict[Callable[[Trial], None], Callable[[Case], bool]] = {}


def law(holds_for: Callable[[Case], bool] = lambda case: True):
    """Run a law over the cases that it holds for."""

    def listed(check: Callable[[Trial], None]) -> Callable[[Trial], None]:
        LAWS[check] = holds_for
        return check

    return listed


def lossy(case: Case) -> bool:
    return not isinstance(case.compression, Lossless) and bool(case.weights)


@law()
def one_code_a_tensor_of_its_shape_and_dtype(trial: Trial):
    before = {name: tensor.clone() for name, tensor in trial.weights.items()}
    codes = trial.codes
    assert list(codes) == list(trial.weights)
    for name, tensor in trial.weights.items():
        array = codes[name].decompress()
        assert (codes[name].shape, array.shape) == (tuple(tensor.shape), tuple(tensor.shape))
        assert (codes[name].dtype, array.dtype.name) == (dtype_name(tensor), dtype_name(tensor))
        labels = codes[name].labels()
        assert labels is None or labels.shape == (tensor.numel(),)
        assert torch.equal(tensor.nan_to_num(), before[name].nan_to_num())


@law()
def a_compression_knows_what_its_prices_come_to(trial: Trial):
    said = trial.case.compression.penalty(trial.codes)
    assert said == pytest.approx(trial.case.penalty(trial.codes), rel=1e-9, abs=1e-12)


@law()
def same_input_same_code_and_warm_codes_of_another_kind_are_ignored(trial: Trial):
    strange = project(Lossless(), {name: torch.zeros(3) for name in trial.weights})
    first, second = trial.codes, trial.solve(warm=strange)
    assert [list(contents(code)) for code in first.values()] == [list(contents(code)) for code in second.values()]


@law()
def streams_invert(trial: Trial):
    def rebuilt(code: Code) -> Code:
        parts = {name: rebuilt(p) if isinstance(p, Code) else p for name, p in code.streams().items()}
        assert all(isinstance(part, (Code, Symbols, Values)) for part in parts.values())
        return type(code).from_streams(code.shape, code.dtype, code.facts(), parts)

    again = {name: rebuilt(code) for name, code in trial.codes.items()}
    assert same_bits(trial.codes, again)
    assert all(list(contents(trial.codes[name])) == list(contents(again[name])) for name in trial.codes)


@law()
def the_file_gives_every_code_back_at_the_size_that_bits_says(trial: Trial):
    data = container.dumps(trial.codes)
    assert container.bits(trial.codes) == 8 * len(data)
    assert same_bits(container.loads(data).codes, trial.codes)


@law(lambda case: case.idempotent != "no")
def projecting_twice_is_projecting_once(trial: Trial):
    once = trial.codes
    weights = {name: like(code.decompress(), trial.weights[name]) for name, code in once.items()}
    twice = trial.solve(weights)
    if trial.case.idempotent == "bit":
        assert all(np.array_equal(once[n].decompress(), twice[n].decompress(), equal_nan=True) for n in once)
    else:
        assert distortion(twice, weights) <= (8 * trial.precision) ** 2 * trial.norm


@law(lossy)
def never_worse_than_warm(trial: Trial):
    for warm in trial.feasible:
        new = trial.solve(warm=warm)
        assert trial.objective(new) <= trial.objective(warm) * (1 + 1e-12)
        assert kinds_of_codes(new) == kinds_of_codes(warm) or not trial.case.one_kind


@law(lambda case: lossy(case) and case.exact)
def no_other_feasible_point_is_better(trial: Trial):
    """Neither projections of other weights, nor points that are made of the code by hand."""
    least = trial.objective(trial.codes)
    for point in (*trial.feasible, *neighbours(trial.case.compression, trial.weights, trial.codes)):
        # where the optimum is all but zero, what the dtype rounds off is all there is
        room = 4 * trial.precision * trial.objective(point) + trial.precision**2 * trial.norm
        assert least <= trial.objective(point) + room


@law(lambda case: lossy(case) and any(t.numel() for t in case.weights.values()))
def what_is_not_finite_is_refused_by_name(trial: Trial):
    name = [name for name, tensor in trial.weights.items() if tensor.numel()][-1]
    for poison in (float("nan"), float("inf"), -float("inf")):
        tensor = trial.weights[name].clone(memory_format=torch.contiguous_format)
        tensor.view(-1)[-1] = poison
        with pytest.raises(WeightsError, match=f"{name}: 1 of"):
            trial.solve({**trial.weights, name: tensor})


@law(lossy)
def integers_are_refused_by_name(trial: Trial):
    name = next(iter(trial.weights))
    with pytest.raises(WeightsError, match=f"{name}: .*int64"):
        trial.solve({**trial.weights, name: torch.ones(trial.weights[name].shape, dtype=torch.int64)})


class Strange(Metric):
    def error(self, weights: torch.Tensor, compressed: torch.Tensor) -> float:
        raise AssertionError("a compression that does not know a metric does not use it")


@law(lossy)
def a_metric_that_it_cannot_honour_is_refused_by_name(trial: Trial):
    name = next(iter(trial.weights))
    with pytest.raises(UnsupportedMetric, match=f"{name}: .*Strange"):
        project(trial.case.compression, trial.weights, {name: Strange()})


# --- the table -------------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = [case for case in CASES if case.usual or metafunc.config.getoption("--all")]
        metafunc.parametrize("case", cases, ids=[case.name for case in cases])


def test_a_case_keeps_every_law(case: Case):
    trial = Trial(case)
    for check, holds_for in LAWS.items():
        if holds_for(case):
            try:
                check(trial)
            except BaseException as error:
                error.add_note(f"law: {check.__name__}")
                raise


def kinds(compression: Compression) -> set[type[Compression]]:
    inner = (getattr(compression, field.name) for field in dataclasses.fields(compression))
    return {type(compression)}.union(*(kinds(part) for part in inner if isinstance(part, Compression)))


def test_no_public_compression_is_missing_from_the_table():
    assert {kind for case in CASES if case.usual for kind in kinds(case.compression)} == set(COMPRESSIONS)


def test_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)
