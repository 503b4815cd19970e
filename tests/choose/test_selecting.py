"""The rule of one standard error, folds, and selection by both: linear models come out as scikit-learn has them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LassoCV, LinearRegression
from torch import nn

import laconic
from laconic.choose.selecting import Tried, one_standard_error
from laconic.csteps.l1_penalty import L1Penalty
from laconic.errors import DataError, PlanError
from laconic.lc.l_step import LearningStep
from laconic.lc.schedule import Geometric
from laconic.lc.steps import run, start
from laconic.models.params import params_of
from laconic.plans.plan import Plan
from laconic.selection import select, varied
from laconic.theory.metric import Kronecker
from laconic.training.folds import errors_of, fold_rows, folds
from laconic.training.optimization import Optimization
from laconic.training.task import Task, classification, regression

# --- the rule ----------------------------------------------------------------------------------------

ERRORS = st.lists(st.floats(0, 100), min_size=2, max_size=6)


@given(st.lists(st.tuples(st.integers(1, 50), ERRORS), min_size=1, max_size=6))
def test_what_is_chosen_is_the_cheapest_within_one_standard_error_of_the_least(rows):
    tried = [Tried(at, cost, np.array(errors)) for at, (cost, errors) in enumerate(rows)]
    least, chosen = one_standard_error(tried)
    means = [sum(errors) / len(errors) for _, errors in rows]
    best = rows[least][1]
    spread = math.sqrt(sum((e - means[least]) ** 2 for e in best) / (len(best) - 1) / len(best))
    slack = 1e-9 * (1 + max(means))
    assert means[least] <= min(means) + slack
    assert means[chosen] <= means[least] + spread + slack
    cheaper = [mean for mean, (cost, _) in zip(means, rows, strict=True) if cost < rows[chosen][0]]
    assert all(mean >= means[least] + spread - slack for mean in cheaper)


def test_a_network_that_has_diverged_is_not_chosen_and_what_cannot_be_judged_is_refused():
    nan, fine = Tried(1, 1, np.array([np.nan, 0.0])), Tried(2, 9, np.array([1.0, 2.0]))
    assert one_standard_error([nan, fine]) == (1, 1)
    assert nan.record()["error"] is None
    for tried, message in (([], "nothing"), ([nan], "finite"), ([Tried(3, 1, np.array([1.0]))], "3 has one error")):
        with pytest.raises(PlanError, match=message):
            one_standard_error(tried)


# --- folds -------------------------------------------------------------------------------------------


def linear(samples=48, inputs=6, outputs=5, rank=2, noise=0.3, seed=0, correlated=True):
    """Inputs, targets of a linear map of some rank, and noise; float64."""
    source = torch.Generator().manual_seed(seed)
    x, extra = (torch.randn(samples, n, generator=source, dtype=torch.float64) for n in (inputs, outputs))
    x = x @ torch.randn(inputs, inputs, generator=source, dtype=torch.float64) if correlated else x
    left, right = (torch.randn(n, rank, generator=source, dtype=torch.float64) for n in (outputs, inputs))
    return x, x @ right @ left.T / 3 + noise * extra


def task_on(x, y, seed=0, **splits):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Linear(x.shape[1], y.shape[1], bias=False, dtype=torch.float64)
    return regression(module, {"train": [(x, y)], **splits})


def test_each_fold_trains_without_itself_and_all_are_held_out_once():
    x = torch.arange(23.0)[:, None]
    task = Task(nn.Linear(1, 1), [(part, part) for part in x.split(8)], nn.MSELoss(), validation=[(x, x)])
    held = []
    for part in folds(task, 4, seed=1):
        seen = [torch.cat([inputs for inputs, _ in part.batches("train", seed)]) for seed in (0, 1)]
        inside = torch.cat([inputs for inputs, _ in part.batches("validation", 0)])
        assert not torch.equal(*seen)
        assert torch.equal(seen[0].sort(0).values, seen[1].sort(0).values)
        assert torch.equal(torch.cat([seen[0], inside]).sort(0).values, x)
        held.append(inside)
    assert torch.equal(torch.cat(held).sort(0).values, x)
    for count in (1, 24):
        with pytest.raises(DataError, match="2 to 23 folds"):
            folds(task, count, 0)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_errors_of_samples_have_the_mean_that_the_task_measures(kind):
    x, y = linear()
    if kind == "classification":
        task = classification(nn.Linear(6, 5, dtype=torch.float64), {"validation": [(x, y.argmax(1))]})
    else:
        task = regression(nn.Linear(6, 5, dtype=torch.float64), {"validation": [(x[:30], y[:30]), (x[30:], y[30:])]})
    params = params_of(task.module)
    found = errors_of(task, params, "validation")
    assert found.shape == (48,)
    measured = task.evaluate(params, "validation")
    assert found.mean() == pytest.approx(measured.get("error", measured["loss"]))


# --- linear models, as scikit-learn has them -----------------------------------------------------------


def lasso(task, price):
    """Least squares with a price on sizes, by the LC algorithm at one μ.

    All steps are taken: multipliers end at ± the price, and w meets θ there while both still move.
    """
    first = start(params_of(task.module), Plan({"weight": L1Penalty(price)}))
    descent = Optimization(6, 0.25, optimizer=torch.optim.SGD)
    *_, last = run(first, LearningStep(task, descent, 1.0, 0), Geometric(1.0, 1.0, 20))
    return last.all_codes["weight"].decompress()[0]


@pytest.mark.parametrize("seed", [0, 1])  # from 1 w meets θ on the way, and moves on
def test_a_price_on_sizes_chosen_by_folds_is_the_lasso(seed):
    x, y = linear(samples=60, outputs=1, rank=1, noise=2.0, seed=3, correlated=False)
    x, y = x / x.std(0), y / y.std()
    alphas, task = np.array([0.3, 0.1, 0.03]), task_on(x, y, seed)
    rows = fold_rows(len(x), 2, seed=0)
    cut = [(np.setdiff1d(np.arange(len(x)), held), held) for held in rows]
    theirs = LassoCV(alphas=alphas, cv=cut, fit_intercept=False, tol=1e-10).fit(x.numpy(), y.numpy().ravel())
    parts = folds(task, 2, seed=0)
    errors = [
        [errors_of(part, {"weight": torch.tensor(lasso(part, 2 * alpha))[None]}, "validation").mean() for part in parts]
        for alpha in alphas
    ]
    np.testing.assert_allclose(errors, theirs.mse_path_, atol=1e-3)
    tried = [Tried(alpha, -alpha, np.array(row)) for alpha, row in zip(alphas, errors, strict=True)]
    assert alphas[one_standard_error(tried)[0]] == theirs.alpha_
    found = lasso(task, 2 * theirs.alpha_)  # scikit-learn halves the squared error
    np.testing.assert_allclose(found, theirs.coef_, atol=1e-3)
    assert (np.abs(found) < 1e-9).tolist() == (theirs.coef_ == 0).tolist()


@pytest.mark.parametrize("rank", [1, 2, 3, 5])
def test_low_rank_under_the_moments_of_the_inputs_is_reduced_rank_regression(rank):
    """Izenman 1975: fitted values projected on their first right singular vectors."""
    x, y = linear(noise=1.0)
    whole = LinearRegression(fit_intercept=False).fit(x.numpy(), y.numpy()).coef_
    _, _, v = np.linalg.svd(x.numpy() @ whole.T)
    moments = {"weight": Kronecker(torch.eye(5, dtype=torch.float64), x.T @ x / len(x))}
    result = laconic.compress({"weight": torch.tensor(whole)}, laconic.LowRank(rank), metrics=moments)
    expected = v[:rank].T @ v[:rank] @ whole
    np.testing.assert_allclose(result.params["weight"].numpy(), expected, atol=1e-6)
    if rank == 5:
        np.testing.assert_allclose(result.params["weight"].numpy(), whole, atol=1e-6)


# --- selection -----------------------------------------------------------------------------------------


def solved(x, y):
    """The task with its module at least squares."""
    task = task_on(x, y)
    task.module.weight.data.copy_(torch.linalg.lstsq(x, y).solution.T)
    return task


def newton_fit():
    return Optimization(3, 1.0, optimizer=lambda leaves, lr: torch.optim.LBFGS(leaves, lr, 20))


def test_folds_select_the_rank_of_what_made_the_data():
    task, fresh = (
        solved(*linear(samples=200, rank=2, correlated=False)),
        {"weight": torch.zeros(5, 6, dtype=torch.float64)},
    )
    found = select(task.module, "rank", [1, 2, 3, 5], task, folds=4, fresh=fresh, refit=newton_fit())
    assert found.value == 2
    assert np.linalg.matrix_rank(found.result.params["weight"].numpy()) == 2
    records = found.records()
    assert [row["value"] for row in records] == [1, 2, 3, 5]
    assert sum(row["chosen"] for row in records) == sum(row["least"] for row in records) == 1
    assert [len(one.errors) for one in found.candidates] == [4] * 4


@pytest.mark.parametrize("count", [0, 2])
def test_points_that_are_kept_are_not_computed_again_and_no_test_sample_is_read(count):
    x, y = linear(samples=40)

    def unread():
        raise AssertionError("the test split was read")

    task = task_on(x, y, validation=[(x[:20], y[:20])], test=unread)
    kept, made = {}, []

    def keep(name, compute):
        if name not in kept:
            made.append(name)
            kept[name] = compute()
        return kept[name]

    how = {"folds": count, "fresh": task.module, "refit": newton_fit(), "keep": keep}
    first = select(task.module, "keep", [0.2, 0.5], task, joint=True, **how)
    before = len(made)
    again = select(task.module, "keep", [0.2, 0.5, 0.9], task, joint=True, **how)
    again_alone = [name for name in made[before:] if not name.startswith("all samples")]
    assert len(again_alone) == max(1, count)
    assert all("0.9" in name for name in again_alone)
    assert [vars(one)["cost"] for one in again.candidates[:2]] == [one.cost for one in first.candidates]


def test_a_width_is_selected_by_whole_rows():
    x, y = linear(outputs=6)
    task = task_on(x, y, validation=[(x, y)])
    found = select(task.module, "filters", [0.5], task, tensors="weight")
    assert int((found.result.params["weight"].abs().sum(1) > 0).sum()) == 3


class Deep(nn.Module):
    """Three blocks that add to what goes around them, of which the third does not matter."""

    def __init__(self):
        super().__init__()
        self.first = nn.ModuleList(nn.Linear(4, 6) for _ in range(3))
        self.last = nn.ModuleList(nn.Linear(6, 4, bias=False) for _ in range(3))
        for layer, scale in zip(self.last, (0.5, 2.0, 1e-3), strict=True):
            nn.init.constant_(layer.weight, scale)

    def forward(self, x):
        for first, last in zip(self.first, self.last, strict=True):
            x = x + last(torch.relu(first(x)))
        return x


def test_a_depth_is_selected_by_whole_tensors_and_the_other_blocks_shrink():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, x, noise = Deep(), torch.randn(200, 4), torch.randn(200, 4)
    y = net(x).detach() + noise
    task = Task(net, [(x, y)], nn.MSELoss(), validation=[(x, y)])
    how = {"joint": True, "tensors": "last.*", "row": {"kind": "tensors"}}
    found = select(net, "group_count", [1, 2, 3], task, **how)
    zero = [not bool(found.result.params[f"last.{block}.weight"].any()) for block in range(3)]
    assert (found.value, zero) == (2, [False, False, True])
    before, after = found.result.shrink(net, x[:2]).shrunk.multiply_adds
    assert after < 0.8 * before
    with pytest.raises(PlanError, match="group_count is what is selected"):
        select(net, "group_count", [1], task, row={"group_count": 2})


def test_selection_by_training_goes_by_the_trained_files():
    x, y = linear(samples=40)
    task = task_on(x / 5, y, validation=[(x / 5, y)])
    how = laconic.Training(steps=2, l_step=Optimization(1, 0.01), finetune=Optimization(1, 0.01))
    said = []
    found = select(task.module, laconic.LowRank, [1, 2], task, "train", training=how, say=lambda d, t: said.append(d))
    expected = laconic.compress(task.module, laconic.LowRank(1), task, "train", training=how)
    assert found.candidates[0].mean == pytest.approx(expected.evaluate(task, "validation")["loss"])
    assert said == sorted(said)
    assert 0 <= said[0] <= said[-1] <= 1


def test_what_cannot_be_selected_is_refused():
    x, y = linear()
    task = task_on(x, y)
    for arguments, how, message in (
        (("codebok", [2]), {}, "no technique 'codebok'"),
        (("n_of_m", [2]), {}, "n_of_m takes no number.*codebook"),
        (("rank", []), {}, "different numbers"),
        (("rank", [2, 2]), {}, "different numbers"),
        (("codebook", [2.5]), {}, "codebook = 2.5 should be an integer"),
        (("rank", [2]), {"folds": 3}, "fresh"),
    ):
        with pytest.raises(PlanError, match=message):
            select(task.module, *arguments, task, **how)
    with pytest.raises(DataError, match="validation"):
        select(task.module, "rank", [2], task)
    assert varied("rank", "fc*")(3) == Plan({"fc*": laconic.LowRank(3)})
