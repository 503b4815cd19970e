"""What the LC algorithm is measured against: rounds of pruning, gradual pruning, surgery, movement, rounding."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import nn
from toys import classifier, normal, same_state, trained

import laconic
from laconic import AdaptiveCodebook, FixedCodebook, Groups, Joint, KeepGroups, KeepLargest, Plan, Task, Training
from laconic.csteps.fixed_codebook import BINARY
from laconic.errors import PlanError
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.l_step import LearningStep
from laconic.lc.rivals.catalogue import RIVALS
from laconic.lc.rivals.movement import movement
from laconic.lc.rivals.shares import cubic, geometric
from laconic.lc.rivals.straight_through import straight
from laconic.lc.rivals.surgery import surgery
from laconic.lc.steps import start
from laconic.training.optimization import Optimization, adam, plain
from laconic.training.task import Task as AnyTask

JOB = {"seed": "0"}
STEPS = 4
FEW = Joint(KeepLargest(0.1))
ROWS = {"ste": FixedCodebook((-3.0, -1.0, 1.0, 3.0)), "rounds": KeepGroups(Groups("neurons"), keep=0.25)}
"""By method what it makes of the matrices; single weights by the others."""


@cache
def network() -> tuple[AnyTask, dict[str, torch.Tensor]]:
    """Two layers on digits, the first with 24 neurons."""
    task = classifier(hidden=24)
    return task, trained(task, 12)


@cache
def path(method: str) -> list:
    """All states of a method, and its L step."""
    task, params = network()
    l_step = LearningStep(task, Optimization(1, 0.05), 0.9, seed=3)
    plan = Plan({"0.weight" if method == "rounds" else "0.weight, 4.weight": ROWS.get(method, FEW)})
    return [l_step, *RIVALS[method](start(params, plan), l_step, STEPS)]


@pytest.mark.parametrize("method", RIVALS)
def test_a_path_resumed_from_disk_ends_with_the_same_bits(method, tmp_path):
    l_step, first, *rest = path(method)
    save_state(tmp_path / "state", rest[1], JOB, [state.progress for state in (first, *rest[:2])])
    loaded, _ = load_state(tmp_path / "state", first, JOB)
    assert same_state(loaded, rest[1])
    again = list(RIVALS[method](loaded, l_step, STEPS))
    assert len(rest) == STEPS
    assert all(same_state(a, b) for a, b in zip(again, rest[1:], strict=True))


@pytest.mark.parametrize("method", RIVALS)
def test_the_last_network_is_what_is_asked_and_has_learned(method):
    task = network()[0]
    _, first, *rest = path(method)
    row = ROWS.get(method, FEW)
    last = rest[-1].codes
    if method == "ste":
        assert all(len(code.scales) == 1 for code in last.values())
    elif method == "rounds":
        assert last["0.weight"].mask.array.sum() == 6
    else:
        kept, total = (sum(count) for count in zip(*((c.values.size, c.size) for c in last.values()), strict=True))
        assert kept == round(row.of.keep * total)
    before, after = (task.evaluate(state.params, "train")["loss"] for state in (first, rest[-1]))
    assert after < before


def test_a_round_takes_the_same_share_of_what_is_left_and_gives_nothing_back():
    _, _, *rest = path("rounds")
    alive = [set(state.codes["0.weight"].mask.array.nonzero()[0].tolist()) for state in rest]
    assert [len(one) for one in alive] == [round(24 * geometric(t / STEPS)(0.25)) for t in range(1, STEPS + 1)]
    assert all(after < before for before, after in pairwise(alive))
    for state, one in zip(rest, alive, strict=True):
        rows = state.weights["0.weight"].ne(0).any(1).nonzero()[:, 0].tolist()
        assert set(rows) == one, "weights of the others are 0, not hidden"


def test_gradual_pruning_follows_the_cubic_path_and_keeps_what_it_hides():
    _, first, *rest = path("gradual")
    total = sum(code.size for code in first.codes.values())
    shares = [cubic(t / (0.75 * STEPS))(0.1) for t in range(1, STEPS + 1)]
    kept = [sum(code.values.size for code in state.codes.values()) for state in rest]
    assert kept == [round(share * total) for share in shares]
    hidden = rest[-1].compressed["0.weight"] == 0
    assert rest[-1].weights["0.weight"][hidden].ne(0).any()


def one_step(method, row, weights: torch.Tensor, inputs: torch.Tensor, **how):
    """One batch of plain SGD at rate 0.1 on ½‖w x‖², from ``weights``."""
    net = nn.Linear(weights.shape[1], weights.shape[0], bias=False)
    task = Task(net, [(inputs, torch.zeros(len(inputs), len(weights)))], Squares())
    first = start({"weight": weights}, Plan({"weight": row}))
    l_step = LearningStep(task, Optimization(1, 0.1, optimizer=plain), seed=0)
    *_, last = method(replace(first, **how), l_step, 1)
    return first, last


class Squares(nn.Module):
    def forward(self, outputs, targets):
        return 0.5 * (outputs - targets).square().sum()


def test_scores_of_movement_grow_where_a_step_makes_weights_larger():
    w, x = normal(3, 4, seed=1).float(), normal(5, 4, seed=2).float()
    first, last = one_step(movement, KeepLargest(0.5), w, x)
    mask = first.compressed["weight"] != 0
    gradient = (x @ (w * mask).T).T @ x
    assert torch.allclose(last.multipliers["weight"], -0.1 * gradient * w, atol=1e-6)
    assert torch.allclose(last.weights["weight"], w - 0.1 * gradient * mask, atol=1e-6)


def test_surgery_moves_weights_that_are_pruned_by_the_gradient_of_the_pruned_network():
    w, x = normal(3, 4, seed=1).float(), normal(5, 4, seed=2).float()
    first, last = one_step(surgery, KeepLargest(0.5), w, x)
    size, middle = w.abs(), w.abs().flatten().sort(descending=True).values[5]
    mask = torch.where(
        size < 0.9 * middle, 0.0, torch.where(size >= 1.1 * middle, 1.0, first.compressed["weight"].ne(0))
    )
    gradient = (x @ (w * mask).T).T @ x
    assert torch.allclose(last.weights["weight"], w - 0.1 * gradient, atol=1e-6)


@pytest.mark.parametrize(
    "row", [FixedCodebook(BINARY), FixedCodebook((-3.0, -1.0, 1.0, 3.0)), FixedCodebook(BINARY, "none")]
)
def test_gradients_go_straight_through_the_rounding(row):
    w, x = normal(3, 4, seed=1).float(), normal(5, 4, seed=2).float()
    first, last = one_step(straight, row, w, x)
    entries = torch.tensor(row.entries)
    scale = float(first.codes["weight"].scales.array[0]) if row.scale == "learned" else 1.0
    nearest = entries[(w[..., None] / scale - entries).abs().argmin(-1)]
    gradient = (x @ (scale * nearest).T).T @ x
    assert torch.allclose(last.weights["weight"], w - 0.1 * gradient, atol=1e-5)
    if row.scale == "learned":
        between = float(entries[-1] - entries[0]) / (len(entries) - 1)
        width = (
            scale * between
            - 0.1 * float((gradient * nearest / between).sum()) / (w.numel() * max(1, (len(entries) - 1) / 2)) ** 0.5
        )
        rounded = (last.compressed["weight"] / (width / between))[..., None]
        assert float((rounded - entries).abs().amin(-1).max()) < 1e-3


@pytest.mark.parametrize("method", ["gradual", "surgery", "movement", "ste"])
def test_rows_that_a_method_does_not_know_are_refused_by_name(method):
    task, params = network()
    how = Training(method=method, steps=1)
    with pytest.raises(PlanError, match=rf"0\.weight: method '{method}' .* AdaptiveCodebook"):
        laconic.compress(params, Plan({"0.weight": AdaptiveCodebook(2)}), task, training=how)


HOW = Training(method="rounds", steps=5, l_step=Optimization(1, 0.05), finetune=Optimization(1, 1e-3, optimizer=adam))


def test_rounds_end_at_a_size_and_before_a_drop():
    task, params = network()
    task = replace(task, validation=task.train)
    plan = Plan({"0.weight": KeepGroups(Groups("neurons"), keep=0.05)})
    small = laconic.compress(params, plan, task, size=4_000, training=HOW, effort="train")
    sizes = [one.file_bytes for one in small.history]
    assert small.file_bytes <= 4_000
    assert min(sizes[1:-1]) > 4_000 >= sizes[-1]
    kept = laconic.compress(params, plan, task, drop=30, training=HOW, effort="train")
    met = [one.met for one in kept.history]
    assert met[0] is None
    assert met[1:] == [True] * (len(met) - 2) + [False]
    assert kept.quality.is_met
    with pytest.raises(PlanError, match="do not come to 100 bytes: round 5 has"):
        laconic.compress(params, plan, task, size=100, training=HOW, effort="train")


def test_activity_is_counted_anew_in_each_round_and_what_is_empty_can_be_cut_out():
    task, params = network()
    module = classifier(hidden=24).module
    module.load_state_dict(params)
    pixels = torch.zeros(1, 64)
    row = KeepGroups(Groups("neurons"), keep=0.25, score="activity")
    with pytest.raises(PlanError, match=r"0\.weight: score 'activity' is how often .* give laconic.compress a task"):
        laconic.compress(params, Plan({"0.weight": row}))
    plan = laconic.coupled(laconic.measured(Plan({"0.weight": row}), task, params), module, pixels)
    result = laconic.compress(module, plan, task, training=HOW, effort="train")
    smaller = result.shrink(module, pixels)
    assert smaller.params["0.weight"].shape == (6, 64)
    assert smaller.shrunk.multiply_adds[1] == 6 * 64 + 10 * 6
