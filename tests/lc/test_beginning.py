"""Training to a size: calibration's file is the point to beat; it ends within a standard error of that, or better."""

import logging
from dataclasses import replace

import pytest

import laconic
from laconic import Plan
from laconic.calibrate.compressed import Ready
from laconic.csteps.parametrisations import Factors
from laconic.errors import PlanError
from laconic.lc.checkpoint import load_state, save_state
from laconic.training.optimization import Optimization

from .test_within import HOW, SIZE, network, validation

STILL = replace(HOW, steps=0, finetune=Optimization(0))


def compressed(how=STILL, **options) -> laconic.Result:
    task, params = network()
    return laconic.compress(params, Plan({}), task, "train", size=SIZE, training=how, **options)


def test_without_a_step_it_is_the_file_of_calibration_where_that_is_better_than_direct_compression():
    result = compressed()
    (first,) = result.history
    assert first.calibrated == validation(result.params)
    assert first.calibrated["error"] < first.validation["error"] / 2
    assert 0.95 * SIZE <= result.file_bytes <= SIZE


def test_what_comes_out_is_no_worse_and_a_path_goes_on_without_calibrating_again(tmp_path, monkeypatch):
    states = []
    result = compressed(HOW, watch=states.append)
    bound = result.history[0].calibrated["error"]
    assert validation(result.params)["error"] <= bound + (bound * (100 - bound) / 300) ** 0.5
    save_state(tmp_path / "state", states[0], {}, list(result.history[:1]))
    state, history = load_state(tmp_path / "state", states[0], {})
    assert history[0].calibrated == result.history[0].calibrated
    monkeypatch.setattr(Ready, "of", None)
    again = compressed(HOW, resume=state)
    files = [one.save(tmp_path / name).read_bytes() for one, name in ((result, "a.lac"), (again, "b.lac"))]
    assert files[0] == files[1]


def test_gone_on_from_direct_compression_calibration_s_file_stays_the_best_even_by_less_than_a_standard_error():
    states, again = [], []
    compressed(watch=states.append)
    first = states[0]
    near = {**first.progress.validation, "error": first.progress.validation["error"] - 0.01}
    best = replace(first.best, progress=replace(first.best.progress, validation=near), least=near["error"])
    compressed(resume=replace(first, best=best), watch=again.append)
    assert again[0].best == best


@pytest.mark.parametrize("how", [replace(STILL, parametrisation=Factors(2)), replace(STILL, method="retrain")])
def test_what_asks_for_another_file_or_way_has_none_beside_it(how, monkeypatch):
    monkeypatch.setattr(Ready, "of", None)
    assert compressed(how).history[0].calibrated is None


def test_where_calibration_finds_no_file_that_is_said_and_the_path_goes_on(monkeypatch, caplog):
    def fail(*arguments, **named):
        raise PlanError("no such luck")

    caplog.set_level(logging.WARNING, "laconic")  # which a command line run before may have changed
    monkeypatch.setattr(Ready, "of", fail)
    assert compressed().history[0].calibrated is None
    assert "calibration has no file to begin with: no such luck" in caplog.text
