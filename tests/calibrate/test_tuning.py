"""Vectors tuned while integers are fixed: never worse, never larger, always the same; and what is left alone."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from small_nets import net
from torch import nn
from trained import learned

import laconic
from laconic.calibrate import tuning
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import TRIES, Ready
from laconic.calibrate.network import Tick, silent
from laconic.calibrate.trial import Trial
from laconic.format import container
from laconic.models.params import all_params_of, decompress
from laconic.models.ties import untied
from laconic.quantize.budget import Budget
from laconic.training.judges import KINDS, distance, divergence

BITS = {"digits": 3.5, "conv": 3.6, "language": 4.0, "twice": 5.0}


def tuned(of: Ready, trial: Trial, size: int, tick: Tick = silent) -> Trial:
    return tuning.tuned(of.files({}), trial, size, tick)


@cache
def ready(name: str) -> Ready:
    task = learned() if name == "digits" else None
    module, samples = (task.module, None) if task else net(name)
    calibration = Calibration.of(task or module, samples, 640)
    return Ready.of(untied(all_params_of(module), module), calibration)


@cache
def untuned(name: str) -> tuple[Trial, int]:
    size = int(BITS.get(name, 3.0) * ready(name).weights / 8)
    return ready(name).within(size, TRIES["fast"], {})[0], size


def spoilt(name: str, factor: float) -> Trial:
    """A trial whose biases are wrong by a factor."""
    of, trial = ready(name), untuned(name)[0]
    params = {**trial.calibrated.params}
    params |= {one.bias: factor * params[one.bias] for one in of.network.subjects if one.bias}
    calibrated = replace(trial.calibrated, params=params)
    return of.files({}).trial(calibrated, trial.how)


@pytest.mark.parametrize("name", ["digits", "conv", "language", "block", "twice", "frozen", "float16", "few samples"])
def test_a_tuned_file_is_no_worse_and_within_its_size_and_has_the_same_integers(name):
    of, (before, size) = ready(name), untuned(name)
    module = of.network.calibration.module
    module.train()
    own = {key: tensor.clone() for key, tensor in all_params_of(module).items()}
    asked = [tensor.requires_grad for tensor in module.parameters()]
    after = tuned(of, before, size)
    assert after.distance <= before.distance
    assert after.file_bytes == len(container.dumps(after.codes)) <= size
    assert after.untuned == (None if after is before else before.distance)
    decoded, integers = decompress(after.codes), after.calibrated.rounded
    for key, one in before.calibrated.rounded.items():
        assert (integers[key].levels == one.levels).all()
        factors = integers[key].steps / one.steps
        assert (factors == factors[0]).all()
        assert len(one.steps) == 1 or factors[0] == 1
    assert of.outputs.distance({of.names[key]: tensor for key, tensor in decoded.items()}) == pytest.approx(
        after.distance
    )
    assert all(part.training for part in module.modules())
    assert all(torch.equal(tensor, own[key]) for key, tensor in all_params_of(module).items())
    assert asked == [tensor.requires_grad for tensor in module.parameters()]
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in module.modules())
    again = tuned(of, before, size)
    assert container.dumps(again.codes) == container.dumps(after.codes)


def test_biases_that_are_wrong_are_repaired():
    wrong = spoilt("digits", 1.3)
    found = tuned(ready("digits"), wrong, wrong.file_bytes + 99)
    right = untuned("digits")[0].distance
    assert wrong.distance > 1.3 * right
    assert found.distance - right < 0.2 * (wrong.distance - right)


def test_a_first_step_follows_the_gradient_that_is_worked_out_by_hand(monkeypatch):
    """Of one batch, under a squared error: each number moves by the rate, against the sum of its errors."""
    monkeypatch.setattr(tuning, "EPOCHS", 1)
    module, samples = nn.Linear(24, 12), torch.randn(10, 24, generator=torch.Generator().manual_seed(0))
    of = Ready.of(untied(all_params_of(module), module), Calibration.of(module, samples))
    trial, _ = of.within(300, TRIES["fast"], {})
    ((vectors, factors),) = tuning._epochs(of.network, trial.calibrated, silent, 0)
    params, seen = trial.calibrated.params, samples[:8]
    errors = (seen @ params["weight"].T + params["bias"] - module(seen)).detach()
    step = tuning.RATE * params["bias"].square().mean().sqrt()
    assert torch.allclose(vectors["bias"], params["bias"] - step * errors.sum(0).sign(), atol=1e-6)
    assert factors["weight"] == pytest.approx(
        1 - tuning.RATE * float((errors * (seen @ params["weight"].T)).sum().sign())
    )


def test_what_does_not_help_on_held_out_samples_or_is_too_large_is_left_out():
    of, (trial, size) = ready("digits"), untuned("digits")
    begun = list[int]()

    def tick(stage: str, done: int, total: int) -> None:
        begun.append(done)

    worse = replace(of.files({}), judged=lambda _: 2 * trial.distance)
    assert tuning.tuned(worse, trial, size, tick) is trial
    seen = sum(-(-len(batch[0]) // 8) for batch in of.network.calibration.seen)
    assert begun == list(range(seen)), "an epoch that does not help is the last"
    assert tuned(of, trial, 100) is trial


def test_where_there_is_nothing_to_judge_by_a_file_stays():
    of = ready("one sample")
    trial, _ = of.within(of.weights // 2, TRIES["fast"], {})
    told = list[str]()
    assert tuned(of, trial, of.weights, lambda stage, *_: told.append(stage)) is trial
    assert not told


def test_it_is_on_unless_somebody_says_no_or_fast():
    of, size = ready("digits"), untuned("digits")[1]
    for quality in ("fast", "default"):
        on, off = (of.fitted(Budget(size=size), quality, {}, tune=tune) for tune in (True, False))
        plain, _ = of.within(size, TRIES[quality], {})
        assert off[1].tuned is None
        assert container.dumps(off[0].codes) == container.dumps(plain.codes)
        assert (container.dumps(on[0].codes) == container.dumps(plain.codes)) == (quality == "fast")
    before, after = on[1].tuned
    assert (before, after) == (off[1].distance, on[1].distance)
    assert after < before
    with pytest.raises(laconic.LaconicError, match="or tune"):
        laconic.compress(nn.Linear(8, 8), bits=12, tune=False)


def test_a_quality_is_met_by_a_file_no_larger():
    for measure, bound in (("kl", 0.01), ("drop", 0.5)):
        on, off = (ready("digits").fitted(Budget(**{measure: bound}), "default", {}, tune=one) for one in (True, False))
        assert on[0].file_bytes <= off[0].file_bytes
        assert on[1].distance <= off[1].distance
        assert on[1].quality.is_met
        assert on[1].quality.files == off[1].quality.files
        if measure == "kl":
            assert on[1].quality.value == on[1].distance


@pytest.mark.parametrize("kind", KINDS)
def test_a_divergence_is_a_distance_with_gradients(kind):
    original, other = torch.randn(2, 12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(divergence(original, other, kind)) == distance(original, other, kind)
    assert torch.autograd.gradcheck(lambda given: divergence(original, given, kind), other.requires_grad_())
