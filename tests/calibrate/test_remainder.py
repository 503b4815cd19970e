"""The last percent of a small budget: sizes that no pass meets, what lies between two files, and a pass once more."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_nets import net
from torch import Tensor, nn
from trained import learned

import laconic
from laconic.calibrate.network import silent
from laconic.calibrate.remainder import approached
from laconic.calibrate.sequence import again

from .passes import HOW, one_pass


class Words(nn.Module):
    """An embedding of many rows, whose steps, a quarter of an octave apart, all change at once."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(500, 24), nn.Linear(24, 16)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(self.table(tokens).mean(1))


def digits() -> tuple[nn.Module, Tensor]:
    task = learned()
    return task.module, torch.cat([inputs for inputs, _ in task.batches("train", 0)])[:320]


def words() -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Words().eval(), torch.randint(0, 500, (200, 8))


def plain() -> tuple[nn.Module, Tensor]:
    return net("frozen")


@pytest.mark.parametrize(("make", "bits"), [(digits, 1.1), (digits, 1.3), (words, 0.5), (words, 0.9), (plain, 1.1)])
def test_a_size_that_files_leap_over_is_met(make, bits):
    module, samples = make()
    result = laconic.compress(module, bits=bits, calibration=samples)
    size = int(bits * result.fitted.weights / 8)
    assert 0.99 * size <= result.file_bytes <= size
    assert not any("asked for" in note for note in result.calibration.notes)


@pytest.mark.parametrize("effort", ["direct", "calibrate"])
def test_a_ratio_is_met_as_a_size_is(effort):
    module, samples = digits()
    bytes_of = sum(4 * weight.numel() for weight in module.parameters())
    with_samples = {"calibration": samples} if effort == "calibrate" else {}
    result = laconic.compress(module, ratio=24, effort=effort, **with_samples)
    size = int(result.metadata["reference_bytes"]) // 24
    assert bytes_of / 24 <= size
    assert 0.99 * size <= result.file_bytes <= size


def test_where_no_file_lies_between_it_is_said():
    module, samples = digits()
    told = set()
    for size in (192, 199):  # files whose weights are all 0: what is left are the steps of two biases
        result = laconic.compress(module, size=size, calibration=samples)
        said = [note for note in result.calibration.notes if f"the {size} asked for" in note]
        assert result.file_bytes <= size
        assert len(said) == (result.file_bytes < 0.99 * size)
        told |= {*said}
    assert told == {"3 bytes below the 192 asked for: no file that was tried lies between"}


@pytest.mark.parametrize("name", ["conv", "language", "grouped"])
def test_a_pass_once_more_is_the_same_up_to_where_the_price_changes(name):
    network, before = one_pass(name, 2.0)
    names = [subject.name for subject in network.subjects]
    for first in (0, 1, len(names)):
        same = again(network, before, HOW, first, silent)
        assert same.counts.tolist() == before.counts.tolist()
        assert same.bits == pytest.approx(before.bits)
        assert all(torch.equal(same.params[key], tensor) for key, tensor in before.params.items())
    dearer = again(network, before, replace(HOW, price=4 * HOW.price), 1, silent)
    assert torch.equal(dearer.params[names[0]], before.params[names[0]])
    assert np.array_equal(dearer.rounded[names[1]].steps, before.rounded[names[1]].steps)  # it reads the same
    assert np.array_equal(dearer.rounded[names[1]].symbols, before.rounded[names[1]].symbols)
    for key in names[1:]:
        assert np.abs(dearer.rounded[key].levels).sum() < np.abs(before.rounded[key].levels).sum()


def looked(bytes_at: Callable[[float], int], aim: float) -> tuple[list[int], tuple[Any, Any]]:
    """The lengths of the files that are tried, and the sides that they end at."""

    def file_at(octaves: float) -> Any:
        return SimpleNamespace(file_bytes=bytes_at(octaves))

    tried, steps = list[int](), approached(file_at(0.0), aim, file_at)
    while True:
        try:
            tried.append(next(steps).file_bytes)
        except StopIteration as end:
            return tried, end.value


def test_files_come_nearer_from_both_sides_and_end_at_a_leap():
    for aim in (350, 610, 990, 1500):  # 1,000 at 0 octaves, twice as many or half two octaves away
        tried, _ = looked(lambda octaves: round(1000 * 2 ** (-octaves / 2)), aim)
        assert min(abs(size - aim) for size in tried) <= 1
        assert len(tried) < 16
    tried, (over, under) = looked(lambda octaves: 1000 if octaves < 1.3 else 800, 900)
    assert (over[1].file_bytes, under[1].file_bytes) == (1000, 800)
    assert over[0] < 1.3 <= under[0]
    assert len(tried) < 12
    for never in (500, 2000):
        tried, sides = looked(lambda octaves: 1000, never)
        assert None in sides
        assert len(tried) == 2
