"""The recipe of few-bit gradients: runs differ by how gradients travel, and verdicts follow from errors and times."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from laconic.experiments.recipes import recipe, reproduce, terngrad
from laconic.experiments.recipes.terngrad.runs import ALL, FLOAT, TERNGRAD, WAYS, Run
from laconic.machines.timing import Measured
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task


class Stopped(Exception):
    """Stands for Ctrl-C."""


def run(folder, stop_at=""):
    def say(done, text):
        assert 0 <= done <= 1
        if stop_at and stop_at in text:
            raise Stopped

    return reproduce(recipe("terngrad"), folder, say, fast=True)


@pytest.fixture
def short(monkeypatch):
    digits = replace(terngrad.GRID.digits, how=Optimization(1, 0.05, cosine), batch=200)
    monkeypatch.setattr(terngrad, "GRID", replace(terngrad.GRID, digits=digits, times=2))


def test_an_interrupted_run_ends_as_a_whole_one_and_reads_the_test_split_once_a_network(short, tmp_path, monkeypatch):
    read, batches = [], Task.batches

    def counting(task, split, seed):
        read.append(split)
        return batches(task, split, seed)

    monkeypatch.setattr(Task, "batches", counting)
    with pytest.raises(Stopped):
        run(tmp_path / "run", "qsgd:7, 2 workers: epoch 1")
    record = run(tmp_path / "run").record
    assert read.count("test") == len(WAYS)
    assert (tmp_path / "run" / "terngrad-digits.png").stat().st_size > 10_000
    monkeypatch.setattr(terngrad, "figure", lambda *given: Figure())  # it takes its time
    assert record == run(tmp_path / "run").record
    (part,) = record["networks"]
    sent = {row["gradients"]: row["message"] for row in part["rows"]}
    assert sent.keys() == set(WAYS)
    assert sent[FLOAT] == 4 * part["numbers"]
    assert sent[FLOAT] > 1.9 * sent["bfloat16"] > 8 * sent[TERNGRAD]
    assert len({row["error"] for row in part["rows"]}) > 2, "how gradients travel changes something"


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        (slice(60), "holds"),
        (slice(100), "does not hold"),
        (slice(1936, 2000), "undecided"),  # as many, but others
    ],
)
def test_a_way_is_as_good_as_floats_where_the_interval_ends_below_the_margin(wrong, answer):
    errors = np.zeros((2, 2000))
    errors[0, :64], errors[1, wrong] = 1, 1
    runs = [Run(FLOAT, ALL, errors[0], 1.0, 1.0), Run(TERNGRAD, 4, errors[1], 1.0, 1.0)]
    (one,) = terngrad.judged(runs, replace(terngrad.GRID.digits, margin=0.3), 0)
    assert one.answer == answer


def test_the_model_says_on_which_links_few_bits_are_ahead():
    costs = {
        FLOAT: Measured(0.01, 0.0, 0.0, 1e8, adds_up=True), TERNGRAD: Measured(0.01, 0.01, 1e-6, 1e3, adds_up=False),
    }  # fmt: skip
    answers = [one.answer for one in terngrad.modelled_claims(costs, terngrad.GRID.digits)]
    assert answers == ["holds", "holds", "does not hold"]
