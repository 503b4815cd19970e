"""The smallest file of a drop or a KL by training: paths of several sizes in one run."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import nn
from toys import classifier, digits, trained

import laconic
from laconic import Budget, Plan, Training
from laconic.calibrate.quality import Quality, wrongs
from laconic.errors import DataError, PlanError
from laconic.lc.bounds import Bound
from laconic.lc.budgeted import shared_out
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.schedule import Geometric
from laconic.lc.sizes import Sizes
from laconic.lc.smallest import judged, require_met, smallest
from laconic.lc.state import LCState, budget_of
from laconic.lc.steps import start
from laconic.models.data import Dataset
from laconic.models.ties import untied
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task, classification

DROP = 20.0
HOW = Training(steps=9, l_step=Optimization(1, 0.1), growth=1.1, finetune=Optimization(2, 1e-3, optimizer=adam))


@cache
def network() -> tuple[Task, dict[str, torch.Tensor]]:
    """Two layers on digits: 7 kB as it is."""
    pixels, labels = digits(1500)
    parts = {"train": (pixels[:1200], labels[:1200]), "validation": (pixels[1200:], labels[1200:])}
    torch.manual_seed(0)
    task = classification(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)),
        Dataset("digits", parts, classes=10),
        batch=200,
    )
    return task, trained(task, 20, 0.1)


@cache
def run() -> tuple[laconic.Result, list[LCState]]:
    task, params = network()
    states = list[LCState]()
    return laconic.compress(params, task=task, effort="train", drop=DROP, training=HOW, watch=states.append), states


def test_the_file_meets_the_drop_on_the_validation_split_and_says_so():
    task, params = network()
    result, states = run()
    before, after = (task.evaluate(of, "validation")["error"] for of in (params, result.params))
    assert result.quality.value == pytest.approx(after - before)
    assert result.quality.value + result.quality.standard_error <= DROP
    assert result.quality.files == len(result.history)
    assert result.asked == Budget(drop=DROP)
    search = states[-1].sizes
    assert result.file_bytes <= search.smallest <= 1.08 * (search.failed if search.is_met else search.size)


def test_the_search_begins_with_the_file_of_calibration_but_for_its_record():
    task, params = network()
    file = laconic.compress(params, task=task, effort="calibrate", drop=DROP)
    first = run()[1][0].best
    assert {name: code.decompress().tobytes() for name, code in first.codes.items()} == {
        name: code.decompress().tobytes() for name, code in file.codes.items()
    }
    assert run()[0].file_bytes <= first.progress.file_bytes <= file.file_bytes


def test_the_file_is_the_last_point_of_the_smallest_size_of_which_two_points_in_a_row_meet_it():
    _, states = run()
    steps = [state for state in states if state.tuning is None]
    for state in steps:
        assert state.progress.met is (sum(state.progress.validation[key] for key in ("drop", "standard error")) <= DROP)
        assert state.progress.file_bytes <= state.sizes.size
    met = [
        two
        for one, two in pairwise(steps)
        if two.progress.met and (two.progress.mu == 0 or (one.progress.met and one.sizes.size == two.sizes.size))
    ]
    chosen = min(met, key=lambda state: state.sizes.size)
    assert states[-1].best.progress == chosen.progress
    assert states[-1].best.codes.keys() == chosen.weights.keys()


def test_each_size_begins_with_direct_compression_of_the_original():
    _, params = network()
    begun = [state for state in run()[1] if state.tuning is None and state.progress.mu == 0]
    assert len({state.sizes.size for state in begun}) == len(begun) > 4
    for state in begun:
        assert all(torch.equal(state.weights[name], params[name]) for name in params)
        assert not any(bool(multiplier.any()) for multiplier in state.multipliers.values())


@pytest.mark.parametrize("at", [0.6, -2])
def test_a_run_that_is_resumed_ends_with_the_same_file(tmp_path, at):
    """From early and late sizes, and from fine-tuning."""
    task, params = network()
    whole, states = run()
    number = at if at < 0 else int(at * len(states))
    save_state(tmp_path / "a", states[number], {}, [states[number].progress])
    state, _ = load_state(tmp_path / "a", states[0], {})
    assert state.sizes == states[number].sizes
    assert state.best.quality == states[number].best.quality
    assert budget_of(state).size == states[number].sizes.size
    result = laconic.compress(params, task=task, effort="train", drop=DROP, training=HOW, resume=state)
    assert {name: code.decompress().tobytes() for name, code in result.codes.items()} == {
        name: code.decompress().tobytes() for name, code in whole.codes.items()
    }
    assert result.quality == whole.quality


def made(first: int, most: int, budget: Budget) -> LCState:
    task, params = network()
    plan = shared_out(untied(params, task.module), budget, Plan({}), task, {"reference_bytes": "7000"})
    state = start(params, plan)
    assert budget_of(state).size > first
    return replace(state, sizes=Sizes(budget_of(state).size, most))


def test_what_no_size_meets_names_the_nearest_point():
    task, params = network()
    state = made(300, 1200, Budget(drop=1.0))
    nearest = iter([9.0, 4.0, 7.0, 5.0, 6.0, 8.0, 9.0])
    judge = lambda params: Quality("drop", 1.0, next(nearest), 0.5, 300, "validation")  # noqa: E731
    schedule = Geometric(1e-3, 1.5, 1)
    state = judged(state, task, judge)
    *_, last = smallest(state, params, lambda state, mu: (dict(state.weights), 0.1), schedule, task, judge)
    assert last.best.progress.step == 1
    with pytest.raises(
        PlanError, match=r"none of \d sizes is within the bound of 1; the nearest point, of [\d,]+ bytes at step 1: "
    ):
        require_met(last)


def test_the_bound_of_the_original_itself_is_nothing_and_a_kl_is_torchs():
    task, params = network()
    other = {name: tensor + 0.1 * torch.randn(tensor.shape) for name, tensor in params.items()}
    assert Bound.of(task, params, Budget(drop=1))(params).value == 0
    assert Bound.of(task, params, Budget(kl=1))(params).value == 0
    p, q = (
        torch.cat([task.outputs(of, batch) for batch in task.batches("validation", 0)]).double().log_softmax(1)
        for of in (params, other)
    )
    reached = Bound.of(task, params, Budget(kl=1))(other)
    assert reached.value == pytest.approx(float(nn.functional.kl_div(q, p, reduction="batchmean", log_target=True)))
    drop = Bound.of(task, params, Budget(drop=1))(other)
    assert drop.value == pytest.approx(float((wrongs(task, other) - wrongs(task, params)).mean()))
    assert drop.samples == reached.samples == 300


def test_what_cannot_be_is_refused():
    task, params = network()
    with pytest.raises(PlanError, match="met by the LC algorithm, not by method 'idc'"):
        laconic.compress(params, task=task, effort="train", drop=1, training=Training(method="idc"))
    with pytest.raises(DataError, match="the task has none"):
        laconic.compress(params, task=replace(task, validation=None), effort="train", drop=1)
    with pytest.raises(PlanError, match="one of logits"):
        laconic.compress(params, task=replace(task, kind="regression"), effort="train", kl=1)
    state = run()[1][3]
    for asked in ({"drop": 2.0}, {"kl": 1.0}, {"size": 500}):
        with pytest.raises(PlanError, match="is of a drop of 20 points: ask for that"):
            laconic.compress(params, task=task, effort="train", training=HOW, resume=state, **asked)
    alone = classifier()
    with pytest.raises(PlanError, match="no tensor that training moves"):
        laconic.compress(
            trained(alone, 1),
            task=alone, effort="train", drop=1, lossless=["*"],
        )  # fmt: skip
