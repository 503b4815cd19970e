"""Weights that have their codes already: they stay, their bias makes good the mean, and others are within the size."""

from functools import cache

import numpy as np
import pytest
import torch
from trained import learned

import laconic
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import TRIES, Ready
from laconic.calibrate.giving import Reading, giving, readings
from laconic.format.codes import Code
from laconic.models.params import all_params_of, to_torch
from laconic.models.ties import untied


@cache
def ready() -> tuple[Ready, dict[str, Reading], Code]:
    task = learned()
    own = Ready.of(untied(all_params_of(task.module), task.module), Calibration.of(task, samples=300))
    row = laconic.AdaptiveCodebook(6)
    return own, readings(own), row.project({"1.weight": own.network.params["1.weight"]})["1.weight"]


def test_it_stays_as_its_code_says_and_the_others_take_what_is_left():
    whole, read, code = ready()
    beside = giving(whole, {"1.weight": read["1.weight"].given(whole.network.params, code)})
    size = 1_700
    trial, _ = beside.within(size, TRIES["fast"], {})
    assert trial.codes["1.weight"] is code
    assert 0.97 * size <= trial.file_bytes <= size
    assert [one.name for one in beside.network.subjects] == ["3.weight"]
    assert trial.distance == pytest.approx(beside.outputs.distance(laconic.Result(trial.codes).params), rel=1e-4)


def test_its_bias_takes_up_its_errors_in_the_mean_of_what_was_seen():
    whole, read, code = ready()
    params, given = whole.network.params, read["1.weight"].given(whole.network.params, code)
    inputs = torch.cat([batch[0].flatten(1) for batch in whole.network.calibration.seen]).double()
    before = inputs @ params["1.weight"].double().T + params["1.bias"].double()
    after = inputs @ given.changed["1.weight"].double().T + given.changed["1.bias"].double()
    assert torch.allclose(before.mean(0), after.mean(0), atol=1e-6)
    assert torch.equal(given.changed["1.weight"], to_torch(code.decompress()))


def test_its_metric_is_the_covariance_of_what_it_reads_beside_what_rows_are_worth():
    whole, read, code = ready()
    reading, weight = read["1.weight"], whole.network.params["1.weight"]
    missed = (weight.detach().double() - to_torch(code.decompress()).double()).numpy()
    rows = reading.subject.worth * reading.subject.rows.whole(len(weight))
    own = np.trace(rows @ missed @ reading.metric.inputs.numpy() @ missed.T)
    assert reading.given(whole.network.params, code).error == pytest.approx(own, rel=1e-9)
    assert float(reading.metric.inputs.diagonal().min()) >= 0
