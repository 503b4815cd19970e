"""Integers rounded anew: the target in closed form; never worse, never larger, always the same; what helps is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from laconic.calibrate import compressed, rounding
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import TRIES, Ready
from laconic.calibrate.forms import matrix
from laconic.calibrate.network import Subject, silent
from laconic.calibrate.rates import Rate
from laconic.calibrate.rows import ALL_ALIKE, Rows
from laconic.calibrate.statistics import Statistics
from laconic.calibrate.trial import Trial
from laconic.format import container
from laconic.models.params import all_params_of, decompress
from laconic.models.ties import untied
from laconic.quantize.budget import Budget

from .test_forms import Mixture, X
from .test_tuning import ready, tuned, untuned

TOGETHER = Rows(np.array([0, 1, 0, 2]), np.eye(4) + 0.3)


def anew(of: Ready, trial: Trial, size: int) -> Trial:
    return rounding.rounded_anew(of.files({}), trial, size, silent)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("rows", [ALL_ALIKE, TOGETHER])
@pytest.mark.parametrize("form", ["plain", "turned"])
def test_the_target_of_a_layer_whose_errors_cost_what_they_are_taken_to_is_the_original(form, rows, biased):
    """The divergence is s E (D x + c)ᵀ F (D x + c), its gradient autograd's: a Gauss-Newton step is all the way."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    original, read, worth = normal(4, 6), normal(50, 6) + 2 * biased, 0.7
    weight, bias = (original + normal(4, 6)).requires_grad_(), normal(4).requires_grad_()
    errors = read @ (weight - original).T + bias * biased
    cost = worth * (errors @ torch.from_numpy(rows.whole(4)) * errors).sum() / 50
    slopes = dict(zip("wb", torch.autograd.grad(cost, [weight, bias], allow_unused=True), strict=True))
    mean = read.mean(0) * biased
    moments = (read - mean).T @ (read - mean) / 50
    means = mean.numpy()[None]
    met = Statistics(moments.numpy()[None], None, (means, means), 1.0)
    subject = Subject("w", True, "b" if biased else None, worth, Rate.nothing(), 1.0, rows, form=form)
    given = {name: slope.numpy() for name, slope in slopes.items() if name == "w" or biased}
    as_held = (lambda one: one.T) if form == "turned" else (lambda one: one)
    given["w"] = as_held(given["w"])
    for share, way in ((1.0, 1.0), (0.25, 0.5)):
        found, eta = rounding.stepped(as_held(original), as_held(weight.detach()), given, subject, met, 1e-12, share)
        wanted = weight + way * (original - weight)
        assert torch.allclose(torch.from_numpy(found), wanted, atol=1e-6)
        assert eta == pytest.approx(way)
    nothing = {name: 0 * slope for name, slope in given.items()}
    assert rounding.stepped(as_held(original), as_held(weight.detach()), nothing, subject, met, 1e-12, 1.0) is None


@pytest.mark.parametrize("name", ["digits", "conv", "language", "twice"])
def test_a_file_is_no_worse_and_no_larger_and_the_same_each_time(name):
    of, (before, size) = ready(name), untuned(name)
    after = anew(of, before, size)
    assert after is before or after.distance < before.distance
    assert after.file_bytes == len(container.dumps(after.codes)) <= size
    decoded = {of.names[key]: tensor for key, tensor in decompress(after.codes).items()}
    assert of.outputs.distance(decoded) == pytest.approx(after.distance)
    apart = 0
    for key, one in before.calibrated.rounded.items():
        own = after.calibrated.rounded[key]
        assert own.scales is one.scales
        assert (own.steps == one.steps).all()
        apart += not np.array_equal(own.levels, one.levels)
    assert (after.anew or (0, before.distance)) == (apart, before.distance)
    assert container.dumps(anew(of, before, size).codes) == container.dumps(after.codes)


def spoilt(of: Ready, trial: Trial, place: int) -> Trial:
    """A file of the same steps whose integers of one weight stand for what is half as large."""
    subject, now = of.network.subjects[place], trial.calibrated
    with of.network.following() as follower:
        for one in of.network.subjects[:place]:
            follower.statistics(one.name, biased=one.bias is not None)
            follower.put(one.name, now.params[one.name])
        met = follower.statistics(subject.name, biased=subject.bias is not None)
    half = 0.5 * matrix(now.params[subject.name].double(), subject.form)
    wrong = rounding._moved(now, subject, half, 1.0, met, trial.how)
    return of.files({}).trial(wrong, trial.how)


def test_integers_that_are_wrong_are_repaired_and_told():
    of, (trial, size) = ready("digits"), untuned("digits")
    wrong = spoilt(of, trial, 1)
    found = anew(of, wrong, size)
    assert wrong.distance > 1.5 * trial.distance
    assert wrong.distance - found.distance > 0.3 * (wrong.distance - trial.distance)
    many, before = found.anew
    assert before == wrong.distance
    assert of.told(found, 1).anew == (many, before, found.distance)
    better = tuned(of, found, size)
    assert better.distance < found.distance
    assert of.told(better, 1).anew == (many, before, better.distance)
    assert of.told(better, 1).tuned is None


@pytest.mark.parametrize("name", ["first.weight", "experts.down_proj"])
def test_weights_that_are_turned_and_experts_are_repaired_too(name):
    torch.manual_seed(0)
    module = Mixture()
    of = Ready.of(untied(all_params_of(module), module), Calibration.of(module, X, 250))
    trial, _ = of.within(of.weights // 2, TRIES["fast"], {})
    (place,) = (number for number, one in enumerate(of.network.subjects) if one.name == name)
    assert of.network.subjects[place].form == ("turned" if name == "first.weight" else "packed")
    wrong = spoilt(of, trial, place)
    found = anew(of, wrong, 10**9)
    assert wrong.distance > 1.2 * trial.distance
    assert found.distance < wrong.distance - 0.3 * (wrong.distance - trial.distance)
    read = decompress(container.loads(container.dumps(found.codes)).codes)
    assert torch.equal(read[name], found.calibrated.params[name])
    if name.startswith("experts"):
        own, first = module.get_parameter(name)[4], decompress(trial.codes)[name][4]
        assert (read[name][4] - own).norm() < 1.1 * (first - own).norm(), "nothing comes to it, and it is what it was"


def test_what_samples_held_out_do_not_say_twice_or_a_file_has_no_room_for_is_left_out(monkeypatch):
    of, (trial, _) = ready("digits"), untuned("digits")
    wrong = spoilt(of, trial, 1)
    assert anew(of, wrong, 100) is wrong
    unmoved = replace(of.files({}), judged=lambda _: wrong.distance)
    assert rounding.rounded_anew(unmoved, wrong, 10**9, silent) is wrong
    monkeypatch.setattr(rounding._Softened, "unseen", lambda *_: torch.ones(3))
    assert anew(of, wrong, 10**9) is wrong


def test_where_there_is_nothing_to_judge_by_a_file_stays():
    of = ready("one sample")
    trial, _ = of.within(of.weights // 2, TRIES["fast"], {})
    assert anew(of, trial, of.weights) is trial


def test_it_belongs_to_the_highest_quality(monkeypatch):
    monkeypatch.setattr(compressed, "TRIES", {**TRIES, "max": TRIES["fast"], "default": TRIES["fast"]})
    of, size = ready("digits"), untuned("digits")[1]
    begun = dict[str, set[str]]()
    for quality in ("default", "max"):
        stages = begun.setdefault(quality, set())
        of.fitted(Budget(size=size), quality, {}, tick=lambda stage, *_, stages=stages: stages.add(stage))
    assert begun["max"] - begun["default"] == {"rounding"}


def test_a_quality_is_met_by_a_file_no_larger_and_no_worse(monkeypatch):
    monkeypatch.setattr(compressed, "TRIES", {**TRIES, "max": TRIES["fast"]})
    found = []
    for qualities in (("max",), ()):
        monkeypatch.setattr(compressed, "ANEW", qualities)
        found.append(ready("digits").fitted(Budget(kl=0.01), "max", {}))
    (fitted, told), (before, plain) = found
    assert fitted.file_bytes <= before.file_bytes
    assert told.distance <= plain.distance
    assert told.quality.is_met
    assert told.quality.value == told.distance
