"""The recipe of predicted weights: the kernel predicts what is smooth, and runs differ by their dictionary."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from laconic.experiments.recipes import denil2013, recipe, reproduce
from laconic.experiments.recipes.denil2013 import dictionaries
from laconic.experiments.recipes.denil2013.runs import LOW_RANK, PREDICTED, RANDOM, SMOOTH, WHOLE, Run
from laconic.training.optimization import Optimization, cosine

SHAPE = (9, 7)


class Stopped(Exception):
    """Stands for Ctrl-C."""


def run(folder, stop_at=""):
    def say(done, text):
        assert 0 <= done <= 1
        if stop_at and stop_at in text:
            raise Stopped

    return reproduce(recipe("denil2013"), folder, say, fast=True)


def test_a_weight_predicts_itself_and_smooth_ones_follow_from_a_few():
    weight = torch.randn(5, 63, generator=torch.Generator().manual_seed(0))
    everything = dictionaries.sampled(SHAPE, 63, 0)
    assert torch.allclose(dictionaries.predicted(weight, SHAPE, everything, 0.5, 1e-9), weight, atol=1e-5)
    some = dictionaries.sampled(SHAPE, 30, 1)
    assert len({tuple(pixel) for pixel in some}) == 30
    smooth = (torch.randn(5, 30, generator=torch.Generator().manual_seed(1)).double()
              @ dictionaries.kernel(SHAPE, some, 2.0)).float()  # fmt: skip
    assert torch.allclose(dictionaries.predicted(smooth, SHAPE, some, 2.0, 1e-12), smooth, atol=1e-2)
    assert not torch.allclose(dictionaries.predicted(weight, SHAPE, some, 2.0, 1e-2), weight, atol=0.5)


def test_ridge_regression_by_its_definition():
    """Pixel by pixel: Σ_i w_i ((K + λI)⁻¹ k)_i, for one unit."""
    weight, some = torch.arange(63.0)[None] / 63, dictionaries.sampled(SHAPE, 4, 2)
    columns = [row * SHAPE[1] + column for row, column in some]

    def k(one, other):
        return np.exp(-((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) / (2 * 1.5**2))

    gram = np.array([[k(a, b) + 0.1 * (tuple(a) == tuple(b)) for b in some] for a in some])
    twin = [
        sum(
            weight[0, c].item() * x
            for c, x in zip(columns, np.linalg.solve(gram, [k(a, p) for a in some]), strict=True)
        )
        for p in np.ndindex(*SHAPE)
    ]
    assert dictionaries.predicted(weight, SHAPE, some, 1.5, 0.1)[0].numpy() == pytest.approx(np.array(twin), abs=1e-6)


def test_bases_are_orthonormal_and_the_smooth_one_holds_most_of_smooth_images():
    images = dictionaries.kernel(SHAPE, dictionaries.sampled(SHAPE, 40, 5), 2.5).float()
    smooth, sigma = dictionaries.smooth(SHAPE, 12, 0, images)
    scattered = dictionaries.scattered(63, 12, 0)
    for rows in (smooth, scattered):
        assert torch.allclose(rows @ rows.T, torch.eye(12), atol=1e-5)
    held = [float((images @ rows.T).square().sum() / images.square().sum()) for rows in (smooth, scattered)]
    assert held[0] > 0.9 > 2 * held[1]
    assert sigma in [share * dictionaries.spacing(SHAPE, 12) for share in dictionaries.SPREADS]


def test_an_interrupted_run_ends_as_a_whole_one(tmp_path, monkeypatch):
    digits = replace(denil2013.GRID.digits, how=Optimization(1, 0.05, cosine), batch=100)
    monkeypatch.setattr(denil2013, "GRID", replace(denil2013.GRID, shares=(0.05,), digits=digits))
    monkeypatch.setattr("laconic.experiments.recipes.denil2013.runs.LADDER", (10, 30))
    with pytest.raises(Stopped):
        run(tmp_path / "run", "random dictionary, 0.05: epoch 1")
    record = run(tmp_path / "run").record
    assert (tmp_path / "run" / "denil2013.png").stat().st_size > 10_000
    monkeypatch.setattr(denil2013, "figure", lambda *given: Figure())  # it takes its time
    assert record == run(tmp_path / "run").record
    rows = {row["method"]: row for row in record["rows"]}
    assert rows.keys() == {WHOLE, PREDICTED, SMOOTH, RANDOM, LOW_RANK}
    assert rows[SMOOTH]["numbers"] == rows[RANDOM]["numbers"] == 3 * 300, "of 64 pixels, 300 units"
    assert rows[LOW_RANK]["numbers"] == 3 * (300 + 64)
    assert len({row["error"] for row in rows.values()}) > 3
    for method in (SMOOTH, RANDOM):
        few, whole = rows[method]["without the dictionary"], rows[method]["file"]
        assert few["bytes"] < whole["bytes"] or few["dB"] > whole["dB"]


@pytest.mark.parametrize(
    ("rates", "answers"),
    [
        ((0.03, 0.03, 0.03, 0.04, 0.04), ["holds", "holds", "holds", "holds"]),
        ((0.03, 0.05, 0.06, 0.05, 0.04), ["does not hold", "does not hold", "undecided", "does not hold"]),
    ],
)
def test_verdicts_follow_from_the_errors(rates, answers):
    methods = ((WHOLE, 1.0), (SMOOTH, 0.05), (PREDICTED, 0.05), (RANDOM, 0.05), (LOW_RANK, 0.05))
    runs = [
        Run(method, share, seed, 1, (np.arange(2000) < 2000 * rate).astype(float), {})
        for (method, share), rate in zip(methods, rates, strict=True)
        for seed in (0, 1)
    ]
    assert [one.answer for one in denil2013.judged(runs, 0)] == answers
