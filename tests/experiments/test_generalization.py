"""The recipe of generalization: numbers are selected without the test split, and verdicts follow from errors."""

from dataclasses import replace

import numpy as np

from laconic.experiments.recipes import generalization, recipe, reproduce
from laconic.experiments.recipes.generalization import methods
from laconic.experiments.recipes.generalization.methods import METHODS, Run
from laconic.training.folds import errors_of


def test_every_method_selects_by_folds_and_reads_the_test_split_once_a_network(tmp_path, monkeypatch):
    short, read = replace(generalization.GRID.effort.alone, epochs=1), []
    how = replace(generalization.GRID.effort.learning, steps=1, finetune=short)
    effort = replace(generalization.GRID.effort, folds=2, reference=short, alone=short, learning=how)
    few = tuple(replace(method, values=method.values[:2]) for method in METHODS)

    def counting(task, params, split):
        read.append(split)
        return errors_of(task, params, split)

    monkeypatch.setattr(generalization, "GRID", generalization.Grid((50,), (0,), effort))
    monkeypatch.setattr(generalization, "METHODS", few)
    monkeypatch.setattr(methods, "errors_of", counting)
    record = reproduce(recipe("generalization"), tmp_path / "run", lambda done, text: None).record
    assert read.count("test") == 2 * len(few)  # by either rule
    assert [row["method"] for row in record["rows"]] == [method.name for method in few]
    for run in record["runs"]:
        tried = next(method.values for method in few if method.name == run["method"])
        assert {run["value"], run["least"]} <= set(tried)
    before = len(read)
    assert reproduce(recipe("generalization"), tmp_path / "run", lambda done, text: None).record == record
    assert len(read) == before
    assert (tmp_path / "run" / "generalization.png").exists()


def test_a_verdict_holds_where_errors_are_fewer_beyond_chance():
    source, runs = np.random.default_rng(0), []
    for method in METHODS:
        for size in (100, 200):
            share = {"weight decay": 0.2, "LC, rank": 0.05, "LC, number of values": 0.4}.get(method.name, 0.2)
            for seed in range(3):
                errors = (source.random(400) < share).astype(float)
                runs.append(Run(method.name, size, seed, 1.0, 1.0, None, errors, errors))
    answers = {one.text.partition(", by")[0]: one.answer for one in generalization.judged(runs, 0)}
    assert answers["LC, rank"] == "holds"
    assert answers["LC, number of values"] == "does not hold"
