"""What every recipe stands on: points are computed once, differences have intervals, claims get honest answers."""

import json

import numpy as np
import pytest
import torch

from laconic.errors import DataError, OutputExists
from laconic.experiments.recipes import RECIPES, Cache, Context, Outcome, Recipe, recipe, reproduce
from laconic.experiments.recipes.bootstrap import along, interval, resampled_means
from laconic.experiments.recipes.verdict import Curve, judge

RNG = np.random.default_rng(0)


# --- the cache ---------------------------------------------------------------------------------------


def test_a_point_is_computed_once_in_the_life_of_a_folder(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"loss": 0.1 + 0.2, "values": (1, 2)}, {"x": torch.tensor([1.5, float("nan")])}

    for _ in range(2):
        cache = Cache(tmp_path / "run", {"seed": 0})
        for _ in range(2):
            figures, tensors = cache.point("a/b ü", compute)
            assert figures == {"loss": 0.1 + 0.2, "values": [1, 2]}, "the same before and after JSON"
            assert tensors["x"][0] == 1.5
            assert tensors["x"].isnan()[1]
    assert len(calls) == 1
    assert cache.point("other", lambda: ({}, {})) == ({}, {})


def test_a_line_that_was_cut_off_counts_for_nothing(tmp_path):
    Cache(tmp_path, {}).point("a", lambda: ({"n": 1}, {}))
    lines = tmp_path / "points.jsonl"
    with lines.open("a") as file:
        file.write('{"key": "b", "fig')
    cache = Cache(tmp_path, {})
    assert cache.point("a", lambda: pytest.fail("it is there"))[0] == {"n": 1}
    assert cache.point("b", lambda: ({"n": 2}, {}))[0] == {"n": 2}
    assert [json.loads(line)["key"] for line in lines.read_text().splitlines()] == ["a", "b"]


def test_a_point_whose_tensors_are_lost_is_computed_again(tmp_path):
    cache = Cache(tmp_path, {})
    cache.point("a", lambda: ({"n": 1}, {"x": torch.zeros(1)}))
    cache.path("a").unlink()
    figures, tensors = Cache(tmp_path, {}).point("a", lambda: ({"n": 2}, {"x": torch.ones(1)}))
    assert (figures["n"], float(tensors["x"])) == (2, 1.0)


def test_an_error_leaves_no_point(tmp_path):
    cache = Cache(tmp_path, {})
    with pytest.raises(ZeroDivisionError):
        cache.point("a", lambda: 1 // 0)
    assert cache.point("a", lambda: ({"n": 1}, {}))[0] == {"n": 1}


def test_a_folder_belongs_to_one_job(tmp_path):
    job = {"recipe": "r", "seed": 0}
    Cache(tmp_path, job).point("a", lambda: ({"n": 1}, {"x": torch.zeros(1)}))
    with pytest.raises(OutputExists, match=r"another run \(seed was 0, is 1\).*--force"):
        Cache(tmp_path, {**job, "seed": 1})
    assert Cache(tmp_path, {**job, "seed": 1}, force=True).point("a", lambda: ({"n": 3}, {}))[0] == {"n": 3}
    assert Cache(tmp_path, {**job, "seed": 1}, force=True).point("a", lambda: ({"n": 4}, {}))[0] == {"n": 4}


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"not empty.*--force"):
        Cache(tmp_path, {})
    Cache(tmp_path, {}, force=True)
    assert (tmp_path / "kept" / "thesis.txt").read_text() == "mine"
    with pytest.raises(OutputExists, match="is a file"):
        Cache(tmp_path / "kept" / "thesis.txt", {})


# --- the bootstrap -----------------------------------------------------------------------------------


def test_resamples_by_their_definition():
    """The same rows, drawn one by one."""
    values = RNG.standard_normal((7, 3))
    means = resampled_means(values, 150, np.random.default_rng(5))
    drawn = np.random.default_rng(5)
    rows = np.concatenate([drawn.integers(0, 7, (100, 7)), drawn.integers(0, 7, (50, 7))])
    assert means == pytest.approx(values[rows].mean(1))


def test_resamples_are_paired():
    values = RNG.standard_normal((50, 1))
    means = resampled_means(np.hstack([values, values + 3]), 200, np.random.default_rng(0))
    assert means[:, 1] - means[:, 0] == pytest.approx(3)
    assert means[:, 0].std() > 0.05


def test_the_interval_of_a_mean_is_the_normal_one():
    values = RNG.standard_normal((2000, 1))
    low, high = interval(resampled_means(values, 4000, np.random.default_rng(1)), 0.95)
    half = 1.96 * values.std() / 2000**0.5
    assert low[0] == pytest.approx(values.mean() - half, abs=half / 10)
    assert high[0] == pytest.approx(values.mean() + half, abs=half / 10)


def test_along_a_curve():
    shares, costs = np.array([0.1, 0.2, 0.4]), RNG.standard_normal((3, 5))
    assert along(shares, shares, costs) == pytest.approx(costs)
    found = along(np.array([0.15, 0.25]), shares, costs)
    assert found == pytest.approx(np.stack([np.interp([0.15, 0.25], shares, column) for column in costs.T], 1))
    assert along(np.array([0.3]), np.array([0.3]), costs[:1]) == pytest.approx(costs[:1]), "a single point"
    twice = along(np.array([0.2]), np.array([0.2, 0.2, 0.4]), costs)
    assert any(twice[0] == pytest.approx(row) for row in costs), "two points of one share"


# --- verdicts ----------------------------------------------------------------------------------------


def curve(gaps, shares=(0.1, 0.2, 0.3), samples=400, noise=0.1):
    source = np.random.default_rng(3)
    return Curve(np.array(shares), np.array(gaps)[:, None] + noise * source.standard_normal((len(gaps), samples)))


BASE = Curve(np.array([0.1, 0.2, 0.3]), np.ones((3, 400)))


@pytest.mark.parametrize(
    ("gaps", "every", "mostly"),
    [
        ((0.5, 0.5, 0.5), "holds", "holds"),
        ((0.5, 0.5, 1.5), "does not hold", "holds"),
        ((0.5, 1.5, 1.5), "does not hold", "does not hold"),
        ((0.5, 1.0, 1.0), "undecided", "holds"),
        ((0.5, 1.0, 1.5), "does not hold", "undecided"),
        ((1.0, 1.0, 1.0), "undecided", "undecided"),
        ((1.0, 1.0, 1.5), "does not hold", "does not hold"),
        ((1.5, 1.5, 1.5), "does not hold", "does not hold"),
    ],
)
def test_answers(gaps, every, mostly):
    for order in (slice(None), slice(None, None, -1)):
        made = curve(gaps)
        turned = Curve(made.shares[order], made.costs[order])
        assert judge(turned, BASE, "every", 0).answer == every
        assert judge(turned, BASE, "mostly", 0).answer == mostly


def test_a_verdict_tells_what_it_saw():
    verdict = judge(curve((0.5, 0.5, 1.5), noise=0.0), BASE, "mostly", 0)
    assert verdict.shares == (0.1, 0.2, 0.3)
    assert verdict.gaps == verdict.low == verdict.high == (-0.5, -0.5, 0.5)
    assert (verdict.below, verdict.above) == (2, 1)


def test_curves_are_compared_where_both_are():
    verdict = judge(curve((0.0, 2.0), (0.15, 0.25), noise=0.0), BASE, "every", 0)
    assert (verdict.shares, verdict.gaps) == ((0.2,), (0.0,)), "read off half way between its points"
    assert judge(curve((0.0, 0.0), (0.5, 0.6)), BASE, "every", 0).answer == "not measured"


def test_a_tie_is_neither_below_nor_above():
    same = Curve(BASE.shares, BASE.costs.copy())
    for quantifier in ("every", "mostly"):
        verdict = judge(same, BASE, quantifier, 0)
        assert (verdict.answer, verdict.below, verdict.above) == ("undecided", 0, 0)


def test_chance_alone_is_rarely_taken_for_a_difference():
    """Under no difference, the three intervals miss 0 together in about 5 % of the trials."""
    source, missed = np.random.default_rng(7), 0
    for seed in range(30):
        verdict = judge(Curve(BASE.shares, 1 + source.standard_normal((3, 400))), BASE, "mostly", seed)
        missed += verdict.below + verdict.above > 0
    assert missed <= 5


# --- the table ---------------------------------------------------------------------------------------


def test_recipes_say_what_they_are():
    for name, made in RECIPES.items():
        assert made.name == name
        assert all((made.summary, made.source, made.needs, made.time))
    with pytest.raises(DataError, match="did you mean 'gao2019-mnist'"):
        recipe("gao2019-mnits")
    with pytest.raises(DataError, match=r"no recipe 'x'; Known are gao2019-mnist"):
        recipe("x")


def test_what_a_recipe_returns_is_written(tmp_path):
    def run(context):
        context.part(0.5, 1.0).say(0.5, "half of the second half")
        return Outcome({"seed": context.seed, "text": "ü"}, "# page\n", {})

    said = []
    made = Recipe("toy", "a toy", "nobody", "nothing", "no time", run)
    reproduce(made, tmp_path / "deep" / "toy", lambda done, text: said.append((done, text)), seed=3)
    assert said == [(0.75, "half of the second half")]
    assert json.loads((tmp_path / "deep" / "toy" / "result.json").read_text()) == {"seed": 3, "text": "ü"}
    assert (tmp_path / "deep" / "toy" / "report.md").read_text() == "# page\n"
    assert Context(Cache(tmp_path / "other", {})).part(0, 1).seed == 0
