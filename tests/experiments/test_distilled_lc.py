"""LC with and without a teacher: what differs is the teacher alone, and the verdict follows the errors."""

import json
from dataclasses import replace

import numpy as np
import pytest

from laconic.experiments.recipes import distilled_lc, recipe, reproduce, resumed
from laconic.experiments.recipes.distilled_lc.page import TEMPERATURES, figure, judged
from laconic.experiments.recipes.distilled_lc.runs import METHODS, Row
from laconic.experiments.recipes.lc_curves import networks
from laconic.experiments.recipes.lc_curves.settings import Effort, learning
from laconic.experiments.recipes.records import mnist
from laconic.training.optimization import Optimization, adam


@pytest.fixture
def tiny(monkeypatch):
    before = replace(mnist.LENET300.small, reference=Optimization(2, 1e-3, optimizer=adam))
    effort = Effort(before, (), learning(1, 1, 1, mu=1e-2, growth=2, lr=0.05), 256, 64)
    monkeypatch.setattr(distilled_lc, "LENETS", (replace(networks.LENETS[0], small=effort),))


def test_a_run_that_is_killed_within_a_row_ends_as_one_that_is_not(tiny, tmp_path, monkeypatch):
    fast = {"fast": True}
    whole = reproduce(recipe("distilled-lc"), tmp_path / "whole", lambda done, text: None, **fast)
    saved, save = [], resumed.save_state

    def dying(*given):
        save(*given)
        saved.append(given)
        if len(saved) == 5:  # in the row with a teacher
            raise KeyboardInterrupt

    monkeypatch.setattr(resumed, "save_state", dying)
    with pytest.raises(KeyboardInterrupt):
        reproduce(recipe("distilled-lc"), tmp_path / "killed", lambda done, text: None, **fast)
    outcome = reproduce(recipe("distilled-lc"), tmp_path / "killed", lambda done, text: None, **fast)
    records = [json.loads(json.dumps(one.record)) for one in (whole, outcome)]
    for record in records:
        for row in record["rows"]:
            row.pop("seconds", None)
    assert records[0] == records[1]
    rows = records[0]["rows"]
    labels = ("K = 2", "P = 5 %", "60 times smaller")
    assert [(row["setting"], row["method"]) for row in rows] == [
        ("uncompressed", ""), *((label, method) for label in labels for method in METHODS),
    ]  # fmt: skip
    plain, taught = (row for row in rows if row["setting"] == "K = 2")
    assert plain["validation"] != taught["validation"] or plain["test"] != taught["test"]
    assert all(row["bytes"] <= 203_000 // 60 for row in rows if row["setting"] == labels[2])
    assert (tmp_path / "killed" / "softened.png").stat().st_size > 5_000
    assert "| K = 2 | LC, distilled |" in (tmp_path / "killed" / "report.md").read_text(encoding="utf-8")
    assert not list((tmp_path / "killed" / "kept").glob("*state*"))


def test_verdicts_follow_the_errors_of_all_seeds():
    def wrong(count):
        return (np.arange(10_000) < count).astype(float)

    plain, taught = METHODS
    found = [Row(seed, "uncompressed", "", {}, wrong(100)) for seed in (0, 1)]
    for label, before, after in (("a", 300, 150), ("b", 150, 300), ("c", 200, 201)):
        for seed in (0, 1):
            found += [Row(seed, label, method, {}, wrong(n)) for method, n in ((plain, before), (taught, after))]
    assert [one.answer for one in judged(found, 0)] == ["holds", "does not hold", "undecided"]
    assert judged(found, 0)[0].figures.startswith("-1.50 points")


def test_the_figure_shows_one_sample_softer_and_softer():
    drawn = figure(np.array([9.0, 4.0, 0.0]), "three classes")
    tops = [max(bar.get_height() for bar in axes.patches) for axes in drawn.axes]
    assert len(tops) == len(TEMPERATURES)
    assert tops == sorted(tops, reverse=True)
    assert tops[0] == pytest.approx(1 / (1 + np.exp(-5) + np.exp(-9)))
    assert all(sum(bar.get_height() for bar in axes.patches) == pytest.approx(1) for axes in drawn.axes)
