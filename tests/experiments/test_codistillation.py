"""The recipe of codistillation: pairs differ by what they learn from alone, and verdicts follow from errors."""

from dataclasses import replace

import numpy as np
import pytest

from laconic.experiments.recipes import codistillation, recipe, reproduce
from laconic.experiments.recipes.codistillation.page import epochs_to
from laconic.experiments.recipes.codistillation.runs import ALONE, Pair
from laconic.training.optimization import Optimization
from laconic.training.task import Task

EPOCHS = 2


class Stopped(Exception):
    """Stands for Ctrl-C."""


def run(folder, stop_at=""):
    def say(done, text):
        assert 0 <= done <= 1
        if stop_at and stop_at in text:
            raise Stopped

    return reproduce(recipe("codistillation-mnist"), folder, say, fast=True)


@pytest.fixture
def short(monkeypatch):
    digits = replace(codistillation.GRID.digits, how=Optimization(EPOCHS, 0.05), burn_in=10)
    grid = replace(codistillation.GRID, staleness=(1, 50), digits=digits)
    monkeypatch.setattr(codistillation, "GRID", grid)


def test_an_interrupted_run_ends_as_a_whole_one_and_reads_the_test_split_once_a_network(short, tmp_path, monkeypatch):
    read, batches = [], Task.batches

    def counting(task, split, seed):
        read.append(split)
        return batches(task, split, seed)

    monkeypatch.setattr(Task, "batches", counting)
    with pytest.raises(Stopped):
        run(tmp_path / "run", "staleness 50: epoch 1")
    record = run(tmp_path / "run").record
    assert read.count("test") == 3 * 3, "two networks and the labels, of three pairs"
    assert record == run(tmp_path / "run").record
    assert read.count("test") == 3 * 3
    assert [row["staleness"] for row in record["rows"]] == [ALONE, 1, 50]
    assert len(record["verdicts"]) == 3
    assert all(0 <= row["together"] < 60 for row in record["rows"])
    assert len({row["error"] for row in record["rows"]}) > 1, "what the other says changes something"
    assert (tmp_path / "run" / "codistillation.png").exists()


def pairs(alone, together, first, stale):
    """Pairs whose networks are wrong on so many of 2,000 test images, the first ones."""
    wrong = {rate: (np.arange(2000) < 2000 * rate).astype(float) for rate in (alone, together, first, stale)}
    of = {ALONE: alone, 1: first, 50: stale}
    return [
        Pair(staleness, seed, (9.0, 5.0, 4.0), np.stack([wrong[rate]] * 2), wrong[together])
        for staleness, rate in of.items()
        for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("rates", "answers"),
    [
        ((0.05, 0.03, 0.03, 0.03), ["holds", "holds", "holds"]),
        ((0.03, 0.02, 0.05, 0.08), ["does not hold", "does not hold", "does not hold"]),
        ((0.05, 0.03, 0.049, 0.05), ["undecided", "does not hold", "undecided"]),
    ],
)
def test_verdicts_follow_from_the_errors(rates, answers):
    assert [one.answer for one in codistillation.judged(pairs(*rates), 0)] == answers


def test_epochs_to_the_error_of_one_network_are_counted_for_good():
    found = [Pair(0, 0, (9.0, 5.0, 4.0, 4.0), np.zeros((2, 1)), np.zeros(1))]
    for staleness, errors, share in [
        (1, (4.0, 5.0, 3.9, 3.9), 0.75), (2, (4.0, 4.0, 4.0, 4.0), 0.25), (3, (4.0, 4.0, 4.0, 4.1), None),
    ]:  # fmt: skip
        other = Pair(staleness, 0, errors, np.zeros((2, 1)), np.zeros(1))
        assert epochs_to([*found, other], staleness) == share
