"""Weights of few bits beside LC: one rate a method, chosen on the first seed, and verdicts that follow errors."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

from laconic.errors import DataError
from laconic.experiments.recipes import binary, recipe, reference, reproduce
from laconic.experiments.recipes.binary.claims import judged
from laconic.experiments.recipes.binary.methods import METHODS, RATES
from laconic.experiments.recipes.binary.runs import Row, chosen
from laconic.experiments.recipes.lc_curves import networks
from laconic.experiments.recipes.lc_curves.settings import Effort, learning
from laconic.experiments.recipes.records import mnist
from laconic.training.optimization import Optimization, adam


@pytest.fixture
def tiny(monkeypatch):
    before = replace(mnist.LENET300.small, reference=Optimization(2, 1e-3, optimizer=adam))
    effort = Effort(before, (), learning(1, 1, 1, mu=1e-2, growth=2, lr=0.05), 128, 64)
    monkeypatch.setattr(binary, "LENETS", (replace(networks.LENETS[0], small=effort),))
    monkeypatch.setattr(binary, "learning", lambda *of, **named: effort.learning)
    monkeypatch.setattr(binary, "RATES", (0.003, 0.1))
    monkeypatch.setattr(binary, "_SEEDS", 2)


def test_a_run_that_is_killed_ends_as_one_that_is_not_and_every_method_has_its_row(tiny, tmp_path, monkeypatch):
    whole = reproduce(recipe("binary"), tmp_path / "whole", lambda done, text: None)
    save, saved = reference.save_checkpoint, []

    def dying(*given, **named):
        save(*given, **named)
        saved.append(given)
        if len(saved) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(reference, "save_checkpoint", dying)
    with pytest.raises(KeyboardInterrupt):
        reproduce(recipe("binary"), tmp_path / "killed", lambda done, text: None)
    outcome = reproduce(recipe("binary"), tmp_path / "killed", lambda done, text: None)
    records = [json.loads(json.dumps(one.record)) for one in (whole, outcome)]
    for record in records:
        for row in record["networks"]["lenet300"]["rows"]:
            row.pop("seconds", None)
    assert records[0] == records[1]
    found = records[0]["networks"]["lenet300"]
    rates, rows = found["rates"], found["rows"]
    assert [(row["method"], row["rate"]) for row in rows] == [
        ("reference", None), *((name, rate) for name in METHODS for rate in (0.003, 0.1)),
        ("reference", None), *rates.items(),
    ]  # fmt: skip
    for name, rate in rates.items():
        tried = [row for row in rows if (row["seed"], row["method"]) == (0, name)]
        assert next(row for row in tried if row["rate"] == rate)["validation"] == min(r["validation"] for r in tried)
    sizes = {row["method"]: row["bytes"] for row in rows if row["rate"] is not None}
    elements = 64 * 300 + 300 * 100 + 100 * 10
    real = sizes.pop("BinaryConnect, drawn")
    assert real > 2 * elements
    assert all(size < elements * (np.log2(3) if name == "TTQ" else 1) / 8 + 2500 for name, size in sizes.items())
    assert "| BNN | ±H, and what layers read is ±1 |" in outcome.page
    assert (tmp_path / "killed" / "lenet300-binary.png").stat().st_size > 5_000
    kept = [load_file(path) for path in (tmp_path / "killed" / "kept").glob("*")]
    assert kept
    assert not any(key.startswith(("weights/", "momentum/")) for tensors in kept for key in tensors), "states are gone"


def row(method, rate, wrong, seed=0, validation=1.0):
    errors = (np.arange(4000) < wrong).astype(float) if wrong is not None else np.zeros(0)
    figures = {"reason": "training diverged"} if wrong is None else {"validation": validation, "bytes": 1}
    return Row(seed, method, rate, figures, errors)


def test_the_rate_of_least_validation_error_is_chosen_the_lower_of_equal_ones_and_none_that_diverges():
    rows = [row("reference", None, 10)]
    rows += [row("BNN", rate, wrong, 0, error) for rate, wrong, error in
             ((0.3, None, 0), (0.1, 20, 2.0), (0.03, 90, 2.0), (0.01, 5, 3.0))]  # fmt: skip
    rows += [row("TTQ", rate, None) for rate in RATES]
    assert chosen(rows) == {"BNN": 0.03}


def test_verdicts_follow_the_errors_of_the_seeds_at_the_rates():
    rates = {"LC, ±a": 0.1, "BinaryConnect": 0.03, "LC, ±1": 0.1, "BNN": 0.1}
    rows = [row("LC, ±a", 0.3, 4000), row("BinaryConnect", 0.3, 0)]  # at other rates
    for seed in (0, 1):
        rows += [row("LC, ±a", 0.1, 100, seed), row("BinaryConnect", 0.03, 300, seed), row("BNN", 0.1, 301, seed)]
        rows += [row("LC, ±1", 0.1, 2000 + seed, seed)]
    answers = {one.text: one.answer for one in judged(rows, rates, 0)}
    assert answers == {
        "LC, ±a: lower test error than BinaryConnect": "holds",
        "LC, ±1: lower test error than BinaryConnect": "does not hold",
        "LC, ±a: lower test error than LC, ±1": "holds",
        "BinaryConnect: lower test error than BNN": "undecided",
    }


def test_the_resnet_asks_for_its_data_by_name(tmp_path):
    with pytest.raises(DataError, match=r"binary-resnet20 needs CIFAR-10 and models/resnet20_cifar10\.safetensors"):
        reproduce(recipe("binary-resnet20"), tmp_path, lambda done, text: None)
