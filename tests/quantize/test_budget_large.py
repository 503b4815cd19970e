"""Large networks within a budget: a tensor at a time, few choices of integers, several threads."""

import math
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from crossing import usually

from laconic.errors import WeightsError
from laconic.format import container
from laconic.quantize.budget import PASSES, TUNED, Budget, Tools, Tuning, fit, network
from laconic.quantize.lattice import assigned

from .test_budget import checked, correlated, elements, noise


class Counting(Mapping[str, np.ndarray]):
    """A network whose tensors are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count, self.asked = count, 0

    def __getitem__(self, name: str) -> np.ndarray:
        self.asked += 1
        return noise(128, 16, 4, 4, seed=int(name))

    def __iter__(self) -> Iterator[str]:
        return map(str, range(self.count))

    def __len__(self) -> int:
        return self.count


@usually("budget", [Budget(bits=2)], else_=[Budget(snr=12)])
def test_a_large_network_is_never_in_memory_as_a_whole(budget: Budget, monkeypatch: pytest.MonkeyPatch):
    net = Counting(30)
    fit(Counting(2), budget)  # kernels are compiled, tables made
    kept = fit(Counting(30), budget)
    monkeypatch.setattr(network, "KEPT", 1 << 15)
    tracemalloc.start()
    found = fit(net, budget, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one, output = 128 * 16 * 16, found.file_bytes
    integers = net.count * one  # a byte each
    assert 2 * net.count < net.asked <= (PASSES + 5) * net.count
    assert peak < 3 * output + integers + 100 * one + 16 * (1 << 17)  # codes, a tensor at work, a sample; all: 35 MB
    assert abs(found.file_bytes - kept.file_bytes) < 0.006 * kept.file_bytes
    assert budget.snr is None or found.snr >= budget.snr


@usually("kernels, threads", [(False, 2)], else_=[(False, 1), (True, 1), (True, 2)])
def test_large_tensors_take_memory_for_two_of_them_and_a_byte_a_weight(
    kernels: bool, threads: int, monkeypatch: pytest.MonkeyPatch
):
    shape, each = ((256, 455, 3, 3), 20) if kernels else ((1024, 1024), 7)  # bytes a weight of one at work
    spreads = np.exp2(np.linspace(-2, 2, shape[0])).astype(np.float32).reshape(-1, *[1] * (len(shape) - 1))
    alike = 3.0 if kernels else 0.0  # neighbours in a kernel, which is transformed then
    net = {f"{i}": (noise(*shape, seed=i) + alike * noise(*shape[:2], *spreads.shape[2:])) * spreads for i in range(6)}
    one, tuning = math.prod(shape), replace(SMALLER, share=256)
    fit(net, Budget(bits=3), tuning=tuning)  # kernels are compiled, tables made
    monkeypatch.setattr(network, "KEPT", 1 << 15)
    monkeypatch.setattr(sys.modules["laconic.quantize.budget.survey"], "_PART", 1 << 12)
    monkeypatch.setattr("laconic.format.codes.cosine._PART", 1 << 12)
    tracemalloc.start()
    found = fit(net, Budget(bits=3), threads=threads, tuning=tuning)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < threads * each * one + len(net) * one + found.file_bytes + (3 << 20)  # a byte for each integer


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that tells for how many weights a kernel has chosen an integer since."""
    many = [0]

    def counting(kernel: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def call(values: np.ndarray, *rest: object) -> np.ndarray:
            many[0] += len(values)
            return kernel(values, *rest)

        return call

    for name in ("paths", "abreast"):
        monkeypatch.setattr(assigned, name, counting(getattr(assigned, name)))
    return many


SMALLER = replace(TUNED, rehearsed=1 << 12, large=1 << 16, least=1 << 14, share=16)
"""Of a network of 300,000 weights as large a part is rehearsed as of one of 10 million."""


@pytest.mark.parametrize(("budget", "kept"), [(Budget(bits=2), True), (Budget(bits=4), False), (Budget(snr=15), True)])
def test_an_integer_is_chosen_at_most_three_times_in_a_large_network(
    budget: Budget, kept: bool, monkeypatch: pytest.MonkeyPatch
):
    net = {"a": noise(500, 400), "b": 0.1 * noise(40, 30, 9, 9, seed=1), "bias": noise(400)}
    usual, many = fit(net, budget), counted(monkeypatch)
    monkeypatch.setattr(network, "KEPT", 1 << 22 if kept else 1 << 15)
    found = fit(net, budget, tuning=SMALLER)
    checked(net, found)
    assert found.passes <= 2
    assert many[0] <= 3 * elements(net)
    assert abs(found.file_bytes - usual.file_bytes) < 0.005 * usual.file_bytes
    worth = 20 * math.log10(2) * 8 * (found.file_bytes - usual.file_bytes) / elements(net)
    assert found.snr > usual.snr + worth - 0.1  # a step of its own, for b, is one that the sample tells
    assert budget.snr is None or found.snr >= budget.snr


@usually("shared, tuning", [(True, TUNED), (False, SMALLER)], else_=[(True, SMALLER), (False, TUNED)])
def test_any_number_of_threads_makes_the_same_file(shared: bool, tuning: Tuning):
    net = {f"{i}": noise(60 + 40 * i, 200, seed=i) * 2.0**-i for i in range(4)} | {"c": correlated(), "b": noise(9)}
    files = {
        container.dumps(fit(net, Budget(bits=2.5), Tools(shared=shared), threads=threads, tuning=tuning).codes)
        for threads in (1, 3)
    }
    assert len(files) == 1


def test_an_error_in_a_thread_is_that_of_the_first_tensor_that_has_one():
    net = {f"layer{i}": np.full((20 * i + 2, 30), np.nan if i in (1, 2) else 1.0, np.float32) for i in range(4)}
    with pytest.raises(WeightsError, match="layer1: 660 of 660 weights"):
        fit(net, Budget(bits=3), threads=3)
