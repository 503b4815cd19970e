"""LC and its rivals: all at the same epochs, smaller networks cut, and verdicts that follow the errors."""

from dataclasses import replace

import numpy as np
import pytest

from laconic.experiments.recipes import lc_rivals, recipe, reproduce
from laconic.experiments.recipes.distilled_lc.runs import Row
from laconic.experiments.recipes.lc_curves.settings import Effort, learning
from laconic.experiments.recipes.lc_rivals.page import judged
from laconic.experiments.recipes.lc_rivals.settings import METHODS, SETTINGS, training
from laconic.experiments.recipes.records import mnist
from laconic.training.optimization import Optimization, adam

LABELS = ("1 bit", "a quarter of the neurons")
FEW = tuple(one for one in SETTINGS if one.label in LABELS)


@pytest.fixture
def tiny(monkeypatch):
    before = replace(mnist.LENET300.small, reference=Optimization(2, 1e-3, optimizer=adam))
    effort = Effort(before, (), learning(2, 1, 1, mu=1e-2, growth=2, lr=0.05), 256, 64)
    monkeypatch.setattr(lc_rivals, "_DIGITS", (replace(lc_rivals._DIGITS[0], effort=effort),))
    monkeypatch.setattr(lc_rivals, "SETTINGS", FEW)


def test_every_method_has_its_row_and_neurons_that_are_gone_are_cut_out(tiny, tmp_path):
    record = reproduce(recipe("lc-rivals"), tmp_path / "run", lambda done, text: None, fast=True).record
    rows = record["networks"]["lenet300"]["rows"]
    assert [(row["setting"], row["method"]) for row in rows] == [
        ("uncompressed", ""), *((one.label, method) for one in FEW for method in METHODS[one.family]),
    ]  # fmt: skip
    cut = [row["multiply-adds"] for row in rows if row["setting"] == LABELS[1]]
    assert cut == [64 * 75 + 75 * 25 + 25 * 10] * 4
    assert len(record["networks"]["lenet300"]["verdicts"]) == 1 + 3
    assert "| a quarter of the neurons | rounds, activity |" in (tmp_path / "run" / "report.md").read_text("utf-8")
    assert not list((tmp_path / "run" / "kept").glob("*state*"))


def test_all_methods_have_the_epochs_of_lc():
    lc = learning(40, 1, 8, mu=1e-3, growth=1.1, lr=0.1)
    for setting in SETTINGS:
        for method in METHODS[setting.family]:
            how = training(setting, method, lc)
            steps = 0 if how.method == "retrain" else how.steps
            assert steps * how.l_step.epochs + how.finetune.epochs == 48, (setting.label, method)


def test_verdicts_follow_the_errors_of_all_seeds():
    def wrong(count):
        return (np.arange(10_000) < count).astype(float)

    rows = [Row(seed, "1 bit", method, {}, wrong(n)) for seed in (0, 1) for method, n in (("LC", 200), ("STE", 150))]
    for method, count in zip(METHODS["neurons"], (150, 300, 100, 151), strict=True):
        rows += [Row(seed, LABELS[1], method, {}, wrong(count)) for seed in (0, 1)]
    found = judged(rows, FEW, 0)
    assert [one.answer for one in found] == ["does not hold", "holds", "does not hold", "undecided"]
    assert found[0].figures.startswith("+0.50 points")
