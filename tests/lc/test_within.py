"""LC within a budget: every point of the path is a file of the size, and the best of them is what comes out."""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from toys import classifier, digits, trained

import laconic
from laconic import AdaptiveCodebook, Lossless, Plan, Training
from laconic.csteps.parametrisations import Factors
from laconic.errors import PlanError
from laconic.format.codes import LowRankCode
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.points import finished, looked_at
from laconic.lc.state import LCState
from laconic.models.data import Dataset
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task, classification

SIZE = 1000
HOW = Training(steps=6, l_step=Optimization(1, 0.05), growth=1.3, finetune=Optimization(2, 1e-3, optimizer=adam))


@cache
def network() -> tuple[Task, dict[str, torch.Tensor]]:
    """Two layers on digits, batch normalization between them: 13 kB as it is."""
    pixels, labels = digits(1500)
    parts = {"train": (pixels[:1200], labels[:1200]), "validation": (pixels[1200:], labels[1200:])}
    task = classification(classifier(samples=50, hidden=40).module, Dataset("digits", parts, classes=10), batch=50)
    return task, trained(task, 12, 0.05)


@cache
def path(**options) -> tuple[laconic.Result, list[LCState]]:
    task, params = network()
    states = list[LCState]()
    result = laconic.compress(
        params, Plan({}), task, "train", size=SIZE, training=replace(HOW, **options), watch=states.append
    )
    return result, states


def validation(params) -> dict[str, float]:
    return network()[0].evaluate(params, "validation")


def test_every_point_of_the_path_is_a_file_within_the_size_and_is_listed():
    result, states = path()
    assert [one.step for one in result.history] == list(range(len(result.history)))
    for state, progress in zip(states, result.history, strict=False):
        assert state.progress == progress
        assert 0.98 * SIZE <= progress.file_bytes <= SIZE
        assert progress.validation == validation(state.params)
    assert result.file_bytes <= SIZE
    assert result.asked == laconic.Budget(size=SIZE)


def test_what_comes_out_is_the_last_point_next_to_the_best_or_what_tuning_has_made_of_it():
    result, states = path()
    errors = [one.validation["error"] for one in result.history]
    allowed = min(errors) + (min(errors) * (100 - min(errors)) / 300) ** 0.5
    best = [one for one in result.history if one.validation["error"] <= allowed][-1]
    assert states[-1].best.progress == best
    assert validation(result.params)["error"] <= best.validation["error"]
    assert validation(result.params)["error"] < errors[0] / 2


def test_tuning_that_makes_it_worse_or_too_large_is_left_out():
    _, states = path()
    task, state = network()[0], states[-1]
    wild = {
        name: AdaptiveCodebook(1).project({name: torch.randn(code.shape)})[name]
        for name, code in state.best.codes.items()
    }
    assert finished(state, wild, task) == (state.best.codes, None)
    large = Lossless().project(network()[1])
    assert finished(state, large, task) == (state.best.codes, None)


def test_a_measure_that_is_nan_is_worse_than_any():
    _, states = path()
    nan = {"loss": math.nan, "error": math.nan}
    bad = replace(states[0].best, progress=replace(states[0].progress, validation=nan), least=math.inf)
    assert looked_at(replace(states[1], best=bad), network()[0], 300).best.progress.step == 1


def test_a_state_of_another_size_is_not_gone_on_from():
    task, params = network()
    state = path()[1][2]
    with pytest.raises(PlanError, match="is of 1,000 bytes"):
        laconic.compress(params, task=task, effort="train", size=900, training=HOW, resume=state)


def test_biases_and_norms_are_on_the_grid_and_running_statistics_are_constant():
    result, _ = path()
    kinds = {name: type(code).__name__ for name, code in result.codes.items()}
    assert {kinds[name] for name in ("0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias")} == {"GridCode"}
    assert [len(result.params[f"1.running_{kind}"].unique()) for kind in ("mean", "var")] == [1, 1]


def test_bits_and_ratios_are_sizes():
    task, params = network()
    short = replace(HOW, steps=0, finetune=Optimization(0))
    weights = params["0.weight"].numel() + params["4.weight"].numel()
    by_bits = laconic.compress(params, task=task, effort="train", bits=8 * SIZE / weights, training=short)
    by_size = laconic.compress(params, task=task, effort="train", size=SIZE, training=short)
    assert {name: code.decompress().tobytes() for name, code in by_bits.codes.items()} == {
        name: code.decompress().tobytes() for name, code in by_size.codes.items()
    }
    tenth = laconic.compress(params, task=task, effort="train", ratio=8, training=short)
    assert 0.97 / 8 < tenth.file_bytes / int(tenth.metadata["reference_bytes"]) <= 1 / 8


def test_a_plan_has_its_rows_and_the_budget_counts_them():
    task, params = network()
    plan = Plan({"4.weight": AdaptiveCodebook(4), "0.bias": Lossless()})
    result = laconic.compress(params, plan, task, "train", size=SIZE, training=replace(HOW, steps=1))
    assert result.file_bytes <= SIZE
    assert len(result.params["4.weight"].unique()) == 4
    assert type(result.codes["0.bias"]).__name__ == "DenseCode"
    assert type(result.codes["0.weight"]).__name__ == "GridCode"


@pytest.mark.parametrize("at", [5, -2])
def test_a_run_that_is_resumed_ends_with_the_same_file(tmp_path, at):
    """From a C step, and from an epoch of fine-tuning."""
    task, params = network()
    whole, states = path()
    file, job = tmp_path / "a.checkpoint", {"job": "this"}
    save_state(file, states[at], job, [states[at].progress])
    state, _ = load_state(file, states[0], job)
    assert state.best.progress == states[at].best.progress
    result = laconic.compress(params, Plan({}), task, "train", size=SIZE, training=HOW, resume=state)
    result.save(tmp_path / "a.lac"), whole.save(tmp_path / "b.lac")
    assert (tmp_path / "a.lac").read_bytes() == (tmp_path / "b.lac").read_bytes()


def test_what_training_does_not_move_is_refused_and_so_is_what_is_no_size():
    task, params = network()
    frozen = classifier(samples=100, hidden=40)
    frozen.module[4].weight.requires_grad_(False)
    with pytest.raises(PlanError, match=r"4.weight: training does not move this.*a row of the plan"):
        laconic.compress(params, task=frozen, effort="train", size=SIZE)
    kept = laconic.compress(
        params, task=frozen, effort="train", size=4000, lossless=["4.weight"], training=replace(HOW, steps=0)
    )
    assert torch.equal(kept.params["4.weight"], params["4.weight"])
    for budget, words in (({"snr": 20}, "none that training meets"), ({"size": 150}, "too few")):
        with pytest.raises(PlanError, match=words):
            laconic.compress(params, task=task, effort="train", **budget)
    with pytest.raises(PlanError, match="quality"):
        laconic.compress(params, task=task, effort="train", size=SIZE, quality="max")


def test_a_budget_takes_numbers_of_another_parametrisation_and_nothing_else_does():
    task, params = network()
    how = replace(HOW, steps=1, l_step=Optimization(1, 0.05), parametrisation=Factors(2))
    result = laconic.compress(params, Plan({}), task, "train", size=SIZE, training=how)
    assert result.file_bytes <= SIZE
    assert any(isinstance(code, LowRankCode) for code in result.codes.values())
    with pytest.raises(PlanError, match=r"Factors\(rank=2\) is of what a budget takes: name a size"):
        laconic.compress(params, AdaptiveCodebook(2), task, "train", training=how)
