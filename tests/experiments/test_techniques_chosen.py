"""The row of the table of techniques that chooses among them: files of each size, direct and before LC."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from laconic.choose.menu import Menu
from laconic.experiments.recipes import Cache, Context
from laconic.experiments.recipes.equal_sizes import chosen, subject
from laconic.experiments.recipes.equal_sizes.chosen import chosen_rows
from laconic.models import data
from laconic.models.params import params_of
from laconic.training.task import classification


def test_a_choice_is_a_file_of_each_size_and_a_size_that_cannot_be_met_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(chosen, "Menu", lambda: Menu(("grid", "codebook"), rates=(1.0,), values=(4,), files=1))
    ready = data.load("digits", None, "pixels/16")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    effort = replace(subject.DIGITS, images=300, targets=(30, 700), learning=subject.learning(1, 3, 1))
    of = subject.Subject(classification(net, ready, {}), params_of(net), effort, Context(Cache(tmp_path, {})))
    short, rows = chosen_rows(of, trained=False), chosen_rows(of, trained=True)
    assert [row.record() for row in short] == [row.record() for row in rows[:2]]
    for row in rows:
        if row.target == 30:
            assert "30" in row.figures["reason"]
        else:
            assert row.reached
            assert 100 * row.errors.mean() == pytest.approx(row.figures["error"], abs=1e-3)
