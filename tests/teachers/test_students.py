"""Students of a network: what rows are, what policies say of them, and what is searched."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laconic.errors import DataError, PlanError
from laconic.models import nets
from laconic.models.params import params_of
from laconic.teachers.students.architecture import Architecture, Layer, lenet5, perceptron, resnet
from laconic.teachers.students.policy import SHARES, Removal, Shrinkage, Uniform, drawn, initialized, log_probability
from laconic.teachers.students.search import Effort, Search, load_search, reward, save_search, search

SMALL = {"lenet5": lenet5((1, 16, 16)), "resnet": resnet((3, 8, 8), 1), "perceptron": perceptron((1, 4, 4), (9, 5, 3))}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("name", "rows", "shape"), [
    ("lenet5", lenet5((1, 28, 28)), (1, 28, 28)), ("resnet20", resnet((3, 32, 32), 3), (3, 32, 32)),
])  # fmt: skip
def test_all_rows_are_the_network_that_they_describe(name, rows, shape):
    net, student = nets.build(name).eval(), rows.build(seeded(0)).eval()
    assert rows.parameters == sum(parameter.numel() for parameter in net.parameters())
    student.load_state_dict(dict(zip(params_of(student), params_of(net).values(), strict=True)))
    inputs = torch.randn(2, *shape, generator=seeded(1))
    torch.testing.assert_close(student(inputs), net(inputs))


@given(st.sampled_from(sorted(SMALL)), st.data())
@settings(max_examples=25, deadline=None)
def test_whatever_is_removed_and_shrunk_a_network_is_made_that_names_classes_or_none(name, data):
    rows = SMALL[name]
    some = rows.removed(data.draw(st.lists(st.sampled_from((0, 1)), min_size=len(rows.rows), max_size=len(rows.rows))))
    less = some.shrunk(data.draw(st.lists(st.sampled_from(SHARES), min_size=len(some.rows), max_size=len(some.rows))))
    assert [row for row in rows.rows if row.fixed] == [row for row in some.rows if row.fixed]
    if less.parameters is None:
        with pytest.raises(PlanError, match="kernel is larger"):
            less.build(seeded(0))
        return
    student = less.build(seeded(0))
    assert sum(parameter.numel() for parameter in student.parameters()) == less.parameters <= some.parameters
    assert student(torch.zeros(2, *rows.shape)).shape == (2, rows.rows[-1].outputs)
    again = less.build(seeded(0))
    assert all(torch.equal(one, other) for one, other in zip(student.parameters(), again.parameters(), strict=True))


def test_rows_that_are_no_architecture_and_actions_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="images"):
        lenet5((784,))
    with pytest.raises(DataError, match="last row"):
        Architecture((Layer("pooling", kernel=2, stride=2),), (1, 8, 8))
    with pytest.raises(PlanError, match="2 actions for 6 rows"):
        SMALL["lenet5"].removed([1, 0])
    with pytest.raises(PlanError, match="1 actions for 6 rows"):
        SMALL["lenet5"].shrunk([0.5])


def test_probabilities_of_all_actions_that_rows_can_get_sum_to_one():
    rows = SMALL["resnet"].rows[:4]
    for policy, pair in ((Removal(), rows), (Shrinkage(), rows[:2]), (Uniform(2), rows)):
        initialized(policy, 3)
        every = itertools.product(range(policy.actions), repeat=len(pair))
        logs = torch.stack([log_probability(policy, pair, actions) for actions in every])
        torch.testing.assert_close(logs.exp().sum(), torch.tensor(1.0), atol=1e-4, rtol=0)


def test_actions_are_drawn_as_often_as_their_probability_says_and_are_a_function_of_the_seed():
    policy, rows = initialized(Removal(), 5), SMALL["lenet5"].rows[:2]
    with torch.no_grad():
        policy.head.bias += torch.tensor([0.0, 1.0])
    assert drawn(policy, rows, seeded(1)) == drawn(policy, rows, seeded(1))
    source, counts = seeded(2), dict.fromkeys(itertools.product((0, 1), repeat=2), 0)
    for _ in range(200):
        counts[drawn(policy, rows, source)] += 1
    for actions, count in counts.items():
        wanted = float(log_probability(policy, rows, actions).detach().exp())
        assert abs(count / 200 - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / 200)


def test_the_reward_is_the_formula():
    assert reward(250, 0.8, 1000, 0.9) == pytest.approx(0.75 * 1.25 * 0.8 / 0.9)
    assert reward(1000, 0.8, 1000, 0.9) == reward(None, None, 1000, 0.9) == -1


def made_up_accuracy(trained: list[str] | None = None):
    """Students are right the more often the more parameters they have, and their weights say which they are."""

    def judge(student):
        if trained is not None:
            trained.append(student.described())
        return min(1.0, math.log(student.parameters) / 12), {"w": torch.full((1,), float(student.parameters))}

    return judge


def last(states):
    *_, state = states
    return state


def test_a_policy_comes_to_say_what_is_rewarded_and_random_search_does_not():
    rows, how = resnet((3, 8, 8), 2), Effort(150, 0, removal_lr=0.03)
    late = {}
    for method in ("policy", "random"):
        rewards = [one.reward for one in last(search(rows, 1.0, made_up_accuracy(), method, how, 0)).tried]
        late[method] = sum(rewards[-50:]) / 50
        assert method == "policy" or abs(late[method] - sum(rewards[:50]) / 50) < 0.05
    assert late["policy"] > late["random"] + 0.03


def test_where_all_rewards_are_equal_a_policy_learns_nothing(monkeypatch):
    monkeypatch.setattr("laconic.teachers.students.search.reward", lambda *_: 0.5)
    rows = SMALL["resnet"]
    often, never = (
        last(search(rows, 1.0, made_up_accuracy(), "policy", Effort(12, 12, rollouts), 4)) for rollouts in (2, 100)
    )
    assert [one.actions for one in often.tried] == [one.actions for one in never.tried]


def test_each_student_is_trained_once_and_none_that_is_no_smaller_network():
    rows, trained = lenet5((1, 28, 28)), []
    found = last(search(rows, 0.99, made_up_accuracy(trained), "random", Effort(30, 10), 1))
    assert len(found.tried) == 40
    assert len(trained) == len(set(trained))
    for one in found.tried:
        smaller = one.parameters is not None and one.parameters < rows.parameters
        assert (one.architecture in trained) == smaller == (one.accuracy is not None) == (one.reward > -1)
    best = max(found.tried, key=lambda one: one.reward)
    assert found.best.described() == best.architecture
    assert float(found.weights["w"]) == best.parameters
    assert found.curve == sorted(found.curve)
    first = max((one for one in found.tried[:30]), key=lambda one: one.reward)
    assert all(len(one.actions) == len(first.architecture.split(", ")) for one in found.tried[30:])


@pytest.mark.parametrize("stop", [3, 12])
def test_a_search_that_goes_on_from_its_file_ends_as_one_that_was_not_interrupted(tmp_path, stop):
    rows, how, job = SMALL["resnet"], Effort(9, 9, 3, 0.05, 0.05), {"seed": "2"}
    whole = last(search(rows, 0.9, made_up_accuracy(), "policy", how, 2))
    part = last(itertools.islice(search(rows, 0.9, made_up_accuracy(), "policy", how, 2), stop))
    save_search(tmp_path / "state", part, job)
    again = load_search(tmp_path / "state", rows, how, job)
    assert again.tried == part.tried
    assert again.best == part.best
    trained = []
    ended = last(search(rows, 0.9, made_up_accuracy(trained), "policy", how, 2, again))
    assert ended.tried == whole.tried
    assert ended.best == whole.best
    assert not set(trained) & {one.architecture for one in part.tried}
    with pytest.raises(DataError, match="seed was 2, is 3"):
        load_search(tmp_path / "state", rows, how, {"seed": "3"})
    damaged = bytearray((tmp_path / "state").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "state").write_bytes(damaged)
    with pytest.raises(DataError, match="damaged"):
        load_search(tmp_path / "state", rows, how, job)


def test_searches_of_nothing_are_refused():
    rows, judge = SMALL["lenet5"], made_up_accuracy()
    for bad in ({"removal": 0, "shrinkage": 0}, {"removal": -1}, {"rollouts": 0}, {"removal_lr": 0.0}):
        with pytest.raises(PlanError):
            Effort(**bad)
    with pytest.raises(PlanError, match="'policy' or 'random'"):
        next(search(rows, 1.0, judge, "greedy", Effort(), 0))
    for accuracy in (0.0, math.nan, 1.5):
        with pytest.raises(DataError, match="accuracy"):
            next(search(rows, accuracy, judge, "random", Effort(), 0))
    with pytest.raises(DataError, match="5 students, of 2"):
        next(search(rows, 1.0, judge, "random", Effort(1, 1), 0, Search((None,) * 5)))  # type: ignore[arg-type]
