"""The smallest file of a quality: what is measured, how it is searched for, and what comes of it on digits."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from trained import learned

import laconic
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.quality import FILES, TRAINED_ON, Made, Quality, dropped, smallest, wrongs
from laconic.errors import DataError, PlanError
from laconic.models.params import params_of

WEIGHTS = 4000


def curve(bound, *, bits, power=2.0, gain=1.0):
    """Function as `smallest` wants it: figures that fall by 2^power a bit, and meet the bound at so many bits."""

    def make(size, quick):
        at = 8 * size / WEIGHTS
        figure = bound * 2.0 ** (power * (bits - at)) * (1.0 if quick else gain)
        trial = SimpleNamespace(file_bytes=size + 40)  # asked for is not had
        return [Made(trial, Quality("kl", bound, figure, 0.0, 9, "held-out"))]

    return make


@pytest.mark.parametrize("power", [1.2, 2.0, 5.0])
@pytest.mark.parametrize("first", [600, 1100, 1900])
@pytest.mark.parametrize("gain", [1.0, 0.7])
def test_the_smallest_file_is_found_in_six(power: float, first: int, gain: float):
    make = curve(0.01, bits=2.3, power=power, gain=gain)
    trial, quality, passes = smallest(make, first, -2 * math.log(2) * 2.3, 9999, refined=True)
    least = WEIGHTS / 8 * (2.3 + math.log2(gain) / power) + 40
    assert quality.is_met
    assert least <= trial.file_bytes < 1.1 * least
    assert passes == quality.files <= FILES


@pytest.mark.parametrize("refined", [True, False])
@pytest.mark.parametrize("first", [1000, 1190])
def test_a_file_is_found_where_figures_hardly_fall_below_the_bound(refined: bool, first: int):
    """As errors of few samples do: they are just above it up to a size, and then just below."""

    def make(size, quick):
        figure = 0.51 if size < 1200 else 0.42
        return [Made(SimpleNamespace(file_bytes=size), Quality("drop", 0.5, figure, 0.0, 9, "validation"))]

    trial, quality, _ = smallest(make, first, -3.0, 9999, refined=refined)
    assert quality.is_met
    assert 1200 <= trial.file_bytes < 1.1 * 1200


def test_what_is_not_reached_is_told():
    with pytest.raises(PlanError, match=r"none of \d files is within the bound of 0.01; the nearest: KL\(original"):
        smallest(curve(0.01, bits=30.0), 100, -2.0, 2000, refined=False)


def test_a_drop_and_its_error_are_those_of_discordant_pairs():
    n, lost, won = 400, 9, 3
    before, after = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    after[:lost] = before[lost : lost + won] = before[50:70] = after[50:70] = 100.0
    found = dropped(before, after, 2.5)
    error = 100 * math.sqrt(lost + won - (lost - won) ** 2 / n) / n
    assert found.value == pytest.approx(100 * (lost - won) / n)
    assert found.standard_error == pytest.approx(error)
    assert [replace(found, bound=bound).is_met for bound in (1.5, 2.3, 2.4)] == [False, False, True]
    assert TRAINED_ON in str(found)


def test_the_error_of_each_sample_is_that_of_the_split():
    task = learned()
    each, whole = wrongs(task, params_of(task.module)), task.evaluate(params_of(task.module), "validation")
    assert set(each.tolist()) <= {0.0, 100.0}
    assert float(each.mean()) == pytest.approx(whole["error"])


def test_files_of_a_kl_meet_it_on_samples_that_are_held_out():
    task, files = learned(), []
    for kl in (0.002, 0.05):
        result = laconic.compress(task.module, task=task, kl=kl, effort="calibrate", quality="fast", samples=500)
        of = result.calibration
        held = Calibration.of(task, samples=500).unseen
        original, now = (
            torch.cat([task.outputs(params, batch).double().log_softmax(1) for batch in held])
            for params in (params_of(task.module), result.params)
        )
        assert of.quality.value == pytest.approx(float((original.exp() * (original - now)).sum(1).mean()), rel=1e-3)
        assert kl / 4 < of.quality.value <= kl
        assert of.distance == of.quality.value
        assert of.quality.samples == sum(len(batch[0]) for batch in held)
        files.append(result.file_bytes)
    assert files[1] < 0.9 * files[0]


def test_a_file_of_a_drop_meets_it_on_the_validation_split():
    task = learned()
    result = laconic.compress(task.module, task=task, drop=3.0, effort="calibrate", samples=500)
    before, after = (task.evaluate(p, "validation")["error"] for p in (params_of(task.module), result.params))
    of = result.calibration.quality
    assert of.value == pytest.approx(after - before)
    assert of.value + of.standard_error <= 3.0
    assert result.fitted.bits_per_weight < 2.5


def test_what_cannot_be_measured_is_refused():
    task, inputs = learned(), torch.rand(20, 1, 8, 8)
    with pytest.raises(PlanError, match=r"a KL of 0\.02 nats needs effort 'calibrate' or 'train'"):
        laconic.compress(task.module, task=task, kl=0.02, effort="direct")
    with pytest.raises(DataError, match="the task has none: give a Task with validation="):
        laconic.compress(task.module, drop=1, calibration=inputs)
    with pytest.raises(PlanError, match="a KL is one of logits"):
        laconic.compress(nn.Linear(8, 3), kl=1, calibration=torch.rand(20, 8))
    without = replace(task, measures={}, kind="regression")
    with pytest.raises(DataError, match="the measure 'error', which the task does not have"):
        laconic.compress(task.module, task=without, drop=1, effort="calibrate")
