"""A choice of compressions: never worse than a single one, within its budgets, and true to what it says."""

import tomllib
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from trained import learned

import laconic
from laconic import Limit, Menu, costs
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.choose.chosen import sentences
from laconic.choose.search import settled
from laconic.errors import PlanError
from laconic.models.params import all_params_of, params_of
from laconic.models.ties import untied
from laconic.plans.toml import parse_plan, to_toml

SMALL = Menu(
    techniques=("grid", "codebook", "pruning", "low rank"), rates=(1.0,), values=(4, 16), shares=(0.3,),
    ranks=(0.3,), files=2,
)  # fmt: skip
SIZE = 1_500
HOW = {"size": SIZE, "choose": SMALL, "quality": "fast"}


@cache
def calibrated() -> laconic.Result:
    return laconic.compress(learned().module, task=learned(), effort="calibrate", samples=300, **HOW)


@cache
def direct() -> laconic.Result:
    return laconic.compress(learned().module, **HOW)


BOTH = pytest.mark.parametrize("of", [calibrated, direct])


def singles_of(choice):
    return {one.label: one for one in choice.files if one.label.endswith(" alone")}


@BOTH
def test_it_is_never_worse_than_any_single_technique(of):
    choice = of().choice
    singles = [one for one in choice.files if one.label.endswith(" alone")]
    assert len(singles) >= 4
    assert all(choice.best.file.distance <= one.file.distance for one in singles)


@pytest.mark.parametrize(("gain", "chosen"), [(0.01, "grid alone"), (0.1, "choice")])
def test_several_techniques_have_to_be_nearer_by_more_than_twice_the_standard_error(gain, chosen):
    """Sample by sample the difference is known to 0.2 / 10."""
    single = np.random.default_rng(0).exponential(1.0, 100)
    mixed = single - gain + 0.2 * np.tile([-1, 1], 50)
    choice = calibrated().choice
    both = {**choice.best.picks, "1.weight": next(p for p in singles_of(choice)["low rank alone"].picks.values()),
            "3.weight": next(p for p in singles_of(choice)["codebook alone"].picks.values())}  # fmt: skip

    def file(label, picks, apart):
        made = replace(choice.best.file, distance=float(apart.mean()), apart=apart)
        return replace(choice.best, label=label, picks=picks, file=made)

    files = [file("grid alone", {}, single), file("choice", both, mixed)]
    best, nearest = settled(files)
    assert best.label == chosen
    assert (nearest is None) == (chosen == "choice")
    assert settled(files[::-1])[0].label == chosen
    quick = replace(file(chosen, best.picks, best.file.apart - 0.01 + 0.2 * np.tile([-1, 1], 50)), thorough=False)
    assert settled([*(replace(one, thorough=True) for one in files), quick])[0].thorough
    assert "by less than two standard errors" in sentences({**choice.record(), "nearest": "choice"})[0]


def test_the_distances_of_the_samples_have_the_distance_of_the_file_for_mean():
    for one in calibrated().choice.files:
        assert one.file.apart.mean() == pytest.approx(one.file.distance, rel=1e-4)


@BOTH
def test_every_file_that_is_measured_is_within_the_size_and_the_one_chosen_near_it(of):
    result = of()
    assert all(one.file.file_bytes <= SIZE for one in result.choice.files)
    assert 0.97 * SIZE <= result.file_bytes <= SIZE
    assert result.file_bytes == result.choice.best.file.file_bytes


def test_the_damage_that_is_told_is_that_of_the_file():
    result, task = calibrated(), learned()
    source = Calibration.of(task, samples=300)
    judge = Ready.of(untied(all_params_of(task.module), task.module), source)
    assert judge.outputs.distance(result.params) == pytest.approx(result.choice.best.file.distance, rel=1e-4)
    assert result.calibration.distance == result.choice.best.file.distance > 0


def test_by_weights_the_damage_is_the_share_of_their_energy_that_is_lost():
    result = direct()
    before, after = params_of(learned().module), result.params
    weights = [name for name, tensor in before.items() if tensor.ndim > 1]
    lost = sum(float((before[name] - after[name]).double().square().sum()) for name in weights)
    energy = sum(float(before[name].double().square().sum()) for name in weights)
    assert result.choice.best.file.distance == pytest.approx(lost / energy, rel=1e-6)


@pytest.mark.parametrize("size", [None, 2_000])
def test_a_limit_holds_in_the_file_alone_and_beside_bytes(size):
    most, how = 1_800, {**HOW, "size": size}
    result = laconic.compress(learned().module, limits=[Limit(costs.Parameters(), most)], **how)
    assert sum(costs.Parameters()(name, code) for name, code in result.codes.items()) <= most
    assert size is None or result.file_bytes <= size


def test_bytes_that_a_limit_leaves_go_into_finer_numbers():
    """Parameters stop the share that pruning keeps at half of the bytes."""
    most, size = 900, 1_500
    menu, limits = replace(SMALL, techniques=("pruning",), files=0), [Limit(costs.Parameters(), most)]
    result = laconic.compress(learned().module, size=size, limits=limits, choose=menu, quality="fast")
    assert sum(costs.Parameters()(name, code) for name, code in result.codes.items()) <= most
    assert 0.98 * size <= result.file_bytes <= size


def test_a_low_rank_network_is_told_from_others():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 48))
    with torch.no_grad():
        net[0].weight.copy_(torch.randn(48, 3) @ torch.randn(3, 64))
    menu = Menu(("grid", "codebook", "low rank"), rates=(0.7, 1.4), ranks=(3 / 48, 0.2), values=(4,), files=2)
    (pick,) = laconic.compress(net, size=1_000, choose=menu, quality="fast").choice.picks
    assert pick.candidate.technique == "low rank" != pick.second.technique


@BOTH
def test_the_plan_names_what_is_not_on_the_grid_and_is_toml(of):
    choice = of().choice
    plan = choice.plan()
    assert set(plan.tensors) == {pick.name for pick in choice.picks if pick.candidate.technique != "grid"}
    assert parse_plan(tomllib.loads(to_toml(plan))) == plan


def test_tensors_on_the_rows_of_a_plan_stay_as_they_say():
    plan = laconic.Plan({"3.weight": laconic.AdaptiveCodebook(8)})
    for effort, task in (("direct", None), ("calibrate", learned())):
        menu = Menu(("grid", "codebook"), rates=(1.0,), values=(8,), files=1)
        how = {**HOW, "choose": menu, "lossless": ["1.bias"]}
        result = laconic.compress(learned().module, plan, task, effort, **how, **({"samples": 300} if task else {}))
        assert [pick.name for pick in result.choice.picks] == ["1.weight"]
        assert len(result.params["3.weight"].unique()) <= 8
        assert torch.equal(result.params["1.bias"], learned().module[1].bias)
        assert result.file_bytes <= SIZE


def test_what_nothing_meets_names_the_least_that_can_be():
    for asked, words in (
        ({"size": 300}, r"300 bytes are too few: .* ask for \d+ bytes or more"),
        ({"limits": [Limit(costs.Parameters(), 50)]}, r"50 parameters are not met: what is not chosen .* takes \d"),
    ):
        with pytest.raises(PlanError, match=words):
            laconic.compress(learned().module, choose=SMALL, quality="fast", **asked)


def test_a_size_that_leaves_nothing_to_lose_loses_nothing():
    result = laconic.compress(learned().module, size=60_000, choose=SMALL, quality="fast")
    assert result.choice.best.file.distance < 1e-9


def test_the_rows_of_a_plan_are_those_of_its_file():
    """Strengths are scaled until a file is within its budgets: the plan says what they have become."""
    menu, most = replace(SMALL, techniques=("low rank", "pruning")), 1_111
    result = laconic.compress(learned().module, limits=[Limit(costs.Parameters(), most)], choose=menu, quality="fast")
    again = laconic.compress(learned().module, result.choice.plan())
    for name, code in result.codes.items():
        np.testing.assert_array_equal(code.decompress(), again.codes[name].decompress())


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"choose": "grid", "size": 99}, "choose is a laconic.Menu"),
        ({"limits": [Limit(costs.Parameters(), 9)]}, "limits are met by a choice"),
        ({"choose": SMALL, "limits": ["9"]}, "limits are a list"),
        ({"choose": SMALL, "snr": 20.0}, "within bytes"),
        ({"choose": SMALL, "size": 999, "recalibrate": 9}, "recalibrates nothing"),
        ({"choose": SMALL, "size": 999, "limits": [Limit(costs.Parameters(), 9)] * 2}, "one budget or two"),
    ],
)
def test_what_cannot_be_asked_is_refused(asked, what):
    with pytest.raises(PlanError, match=what):
        laconic.compress(learned().module, **asked)


def test_menus_and_limits_are_checked():
    for wrong in ({"techniques": ("magic",)}, {"shares": (1.5,)}, {"rates": ()}, {"files": -1}, {"ranks": (np.nan,)}):
        with pytest.raises(PlanError):
            Menu(**wrong)
    for cost, most in ((costs.Parameters(), 0), (costs.Parameters(), np.inf), ("parameters", 3)):
        with pytest.raises(PlanError):
            Limit(cost, most)
