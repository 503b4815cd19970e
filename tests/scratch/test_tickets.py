"""Lottery tickets: what goes, what stays, what it goes back to, and runs that are killed."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import laconic
from laconic.errors import DataError, PlanError
from laconic.models.params import params_of
from laconic.scratch.drawing import drawn
from laconic.scratch.masks import Pruning, density, scattered, shuffled
from laconic.scratch.tickets import tickets, trained_masked
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task

HOW = Optimization(4, 0.02, optimizer=adam)
HALF = Pruning(0.5)


def task(seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 10, 6, generator=draw)
    batches = [(part, part[:, :3].prod(1, keepdim=True)) for part in x]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    return Task(module, batches[:3], nn.MSELoss(), validation=batches[3:])


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def twin(of, first, masks, how, seed):
    """What masked training should do, written out: the gradient and the weight are multiplied by the mask."""
    weights = {name: tensor.clone() for name, tensor in first.items()}
    whole = {name: torch.from_numpy(mask).view(first[name].shape) for name, mask in masks.items()}
    leaves = {name: weights[name].requires_grad_() for name, _ in of.module.named_parameters()}
    with torch.no_grad():
        for name, mask in whole.items():
            leaves[name].mul_(mask)
    optimizer = torch.optim.Adam(leaves.values(), how.lr)
    of.module.train()
    for _ in range(how.epochs):
        for x, y in of.batches("train", seed):  # a list: the same order in every pass
            optimizer.zero_grad()
            of.loss(torch.func.functional_call(of.module, weights, (x,)), (x, y)).backward()
            for name, mask in whole.items():
                leaves[name].grad.mul_(mask)
            optimizer.step()
    return {name: tensor.detach() for name, tensor in weights.items()}


@given(st.integers(0, 2**31), st.floats(0, 0.9), st.booleans())
def test_of_each_tensor_or_of_all_the_smallest_of_what_is_left_go(seed, rate, joint):
    source = np.random.default_rng(seed)
    weights = {name: source.normal(size=size).astype(np.float32) for name, size in (("a", 30), ("b", 12))}
    masks = {name: source.random(len(values)) < 0.7 for name, values in weights.items()}
    after = Pruning(rate, last=rate, joint=joint).pruned(weights, masks)
    assert all(not (after[name] & ~masks[name]).any() for name in masks), "what is gone stays gone"
    for names in (["a", "b"],) if joint else (["a"], ["b"]):
        size = np.concatenate([abs(weights[name]) for name in names])
        left, now = (np.concatenate([one[name] for name in names]) for one in (masks, after))
        count = round((1 - rate) * int(left.sum()))
        assert np.array_equal(now, left & (size >= np.sort(size[left])[::-1][:count].min(initial=np.inf)))


def test_the_last_weight_goes_at_half_the_rate_and_patterns_have_their_own():
    names = ["conv1", "conv2", "fc1", "out"]
    rates = {"conv1": 0.1, "conv2": 0.1, "fc1": 0.2, "out": 0.1}
    assert Pruning(rates={"conv*": 0.1}).of(names) == rates
    assert Pruning(joint=True, rates={"out": 0}).of(names) == dict.fromkeys(names, 0.2) | {"out": 0}
    with pytest.raises(PlanError, match=r"no weight is named 'fc9'.*conv1"):
        Pruning(rates={"fc9": 0}).of(names)
    for wrong in ({"rate": 1.0}, {"rate": float("nan")}, {"joint": True, "rates": {"a": 0.3}}):
        with pytest.raises(PlanError):
            Pruning(**wrong)


def test_training_with_a_mask_is_training_with_weights_and_gradients_times_the_mask():
    of, source = task(), np.random.default_rng(0)
    first = params_of(of.module)
    masks = {name: source.random(first[name].numel()) < 0.6 for name in ("0.weight", "3.weight")}
    ticket = trained_masked(of, first, masks, HOW)
    expected = twin(of, first, masks, HOW, 0)
    for name, tensor in ticket.weights.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)
    for name, mask in masks.items():
        assert not ticket.weights[name].reshape(-1)[torch.from_numpy(~mask)].any()
    assert len(ticket.losses) == HOW.epochs + 1
    assert ticket.at == int(np.argmin(ticket.losses))
    assert of.evaluate(ticket.best, "validation")["loss"] == min(ticket.losses)
    assert of.evaluate(ticket.weights, "validation")["loss"] == ticket.losses[-1]


def test_what_stays_goes_back_to_the_first_weights_or_to_those_of_a_later_epoch():
    of = task()
    for rewind, epochs in ((0, 0), (4, 4)):  # nothing is trained after that
        dense, *others = tickets(of, 2, Optimization(epochs, 0.02, optimizer=adam), pruning=HALF, rewind=rewind)
        assert same(dense.weights, params_of(of.module)) == (epochs == 0)
        for ticket in others:
            for name, tensor in ticket.weights.items():
                mask = torch.from_numpy(ticket.masks[name]).view(tensor.shape) if name in ticket.masks else 1
                assert torch.equal(tensor, dense.weights[name] * mask)
    middle = trained_masked(of, params_of(of.module), dense.masks, Optimization(2, 0.02, optimizer=adam))
    _, ticket = tickets(of, 1, HOW, pruning=HALF, rewind=2)
    again = trained_masked(of, middle.weights, ticket.masks, HOW, begun=2)
    assert same(again.weights, ticket.weights)
    assert (ticket.begun, len(ticket.losses)) == (2, 3)


def test_each_level_prunes_the_last_or_at_once_the_dense_network():
    of = task()
    ran = list(tickets(of, 3, HOW, pruning=HALF))
    once = list(tickets(of, (1, 3), HOW, pruning=HALF, at_once=True))
    assert [one.level for one in ran + once] == [0, 1, 2, 3, 0, 1, 3]
    for before, after in pairwise(ran):
        expected = HALF.pruned({name: before.weights[name].reshape(-1).numpy() for name in before.masks}, before.masks)
        assert all(np.array_equal(after.masks[name], expected[name]) for name in expected)
    assert same(once[1].weights, ran[1].weights)
    assert abs(once[2].density - ran[3].density) < 2 / 56
    for wrong in ({"levels": (1, 3)}, {"levels": (0,), "at_once": True}, {"rewind": 5}, {"rewind": -1}):
        with pytest.raises(PlanError):
            tickets(of, how=HOW, **{"levels": 1, **wrong})
    with pytest.raises(PlanError, match="optimizer"):
        list(tickets(of, 1, Optimization(1, 0.1, weight_decay=1e-4)))
    with pytest.raises(DataError, match="validation"):
        list(tickets(Task(of.module, of.train, nn.MSELoss()), 1, HOW))


def test_a_killed_run_goes_on_to_the_same_bytes_and_no_other_run_is_taken_for_it(tmp_path):
    of, told = task(), []

    def killed(done, text):
        if text.startswith("level 2: epoch 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(tickets(of, 3, HOW, pruning=HALF, rewind=1, resume=tmp_path / "run", say=killed))
    ran = list(tickets(of, 3, HOW, pruning=HALF, rewind=1, resume=tmp_path / "run", say=lambda _, t: told.append(t)))
    assert not [text for text in told if text.startswith(("dense", "level 1"))]
    for one, other in zip(ran, tickets(of, 3, HOW, pruning=HALF, rewind=1), strict=True):
        assert one.losses == other.losses
        files = [ticket.result({}).save(tmp_path / f"{at}.lac", force=True) for at, ticket in enumerate((one, other))]
        assert files[0].read_bytes() == files[1].read_bytes()
    with pytest.raises(DataError, match="lr was"):
        list(tickets(of, 3, Optimization(4, 0.03, optimizer=adam), rewind=1, resume=tmp_path / "run"))
    path = tmp_path / "run" / "level-1.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(DataError, match="damaged"):
        list(tickets(of, 3, HOW, pruning=HALF, rewind=1, resume=tmp_path / "run"))


def test_a_file_holds_the_weights_bit_by_bit(tmp_path):
    of = task()
    *_, ticket = tickets(of, 2, HOW, pruning=HALF)
    for early, weights in ((False, ticket.weights), (True, ticket.best)):
        path = ticket.result(early=early).save(tmp_path / "ticket.lac", force=True)
        assert same(laconic.load(path), weights)
        assert of.evaluate(laconic.load(path), "validation") == of.evaluate(weights, "validation")


@given(st.integers(0, 2**31))
def test_controls_keep_counts_of_each_tensor_or_of_all(seed):
    source = np.random.default_rng(seed)
    masks = {name: source.random(size) < share for name, size, share in (("a", 50, 0.1), ("b", 9, 0.9))}
    for control, by_tensor in ((shuffled, True), (scattered, False)):
        others = control(masks, seed)
        assert density(others) == density(masks)
        assert [len(mask) for mask in others.values()] == [50, 9]
        assert not by_tensor or all(others[name].sum() == masks[name].sum() for name in masks)
        assert all(np.array_equal(mask, control(masks, seed)[name]) for name, mask in others.items())


def test_layers_draw_their_own_first_weights():
    module = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.MultiheadAttention(6, 2), nn.Embedding(3, 6))
    before, state = {k: t.clone() for k, t in params_of(module).items()}, torch.get_rng_state()
    one, other = drawn(module, 1), drawn(module, 2)
    assert same(params_of(module), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(one, drawn(module, 1))
    assert one.keys() == before.keys()
    alike = {name for name in one if torch.equal(one[name], other[name])}
    assert alike == {name for name in one if name.startswith("1.") or name in ("2.in_proj_bias", "2.out_proj.bias")}
    module.own = nn.Parameter(torch.ones(2))
    with pytest.raises(DataError, match="own: the module"):
        drawn(module, 1)


def test_a_run_of_other_samples_or_with_another_lambda_is_none_that_goes_on(tmp_path):
    own = task()
    deep = Optimization(1, 0.02, optimizer=lambda leaves, lr: torch.optim.SGD(leaves, lr))
    list(tickets(own, 1, deep, pruning=HALF, resume=tmp_path))
    other = Optimization(1, 0.02, optimizer=lambda leaves, lr: torch.optim.SGD(leaves, lr, momentum=0.5))
    flipped = Task(own.module, [(x, -y) for x, y in own.batches("train", 0)], nn.MSELoss(), validation=own.validation)
    for of, how in ((own, other), (flipped, deep)):
        with pytest.raises(DataError, match=r"optimizer|samples"):
            list(tickets(of, 1, how, pruning=HALF, resume=tmp_path))


def test_what_is_no_mask_or_number_and_a_validation_that_says_nothing_are_refused(caplog):
    own, first = task(), params_of(task().module)
    for masks, message in (
        ({"nope": np.ones(48, bool)}, "no weight has this name"),
        ({"0.weight": np.ones(3, bool)}, r"bool array of shape \(48,\), not bool"),
        ({"0.weight": np.ones(48, int)}, "not int64"),
        ({"0.weight": torch.ones(48, dtype=torch.bool)}, "not torch.bool"),
    ):
        with pytest.raises(PlanError, match=message):
            trained_masked(own, first, masks, HOW)
    for how, message in (
        ({"levels": -1}, "0 times or more"), ({"levels": 2.5}, "whole numbers"), ({"rewind": 1.5}, "whole numbers"),
    ):  # fmt: skip
        with pytest.raises(PlanError, match=message):
            tickets(own, how=HOW, **how)
    vector = Task(nn.BatchNorm1d(6), [(torch.ones(4, 6), torch.ones(4, 6))], nn.MSELoss())
    with pytest.raises(PlanError, match="no weight to prune"):
        list(tickets(vector, 1, HOW))
    held_out = [*own.batches("validation", 0), (torch.full((4, 6), torch.nan), torch.ones(4, 1))]
    nan = Task(own.module, own.train, own.loss, validation=held_out)
    with pytest.raises(DataError, match="validation loss after epoch 0 is nan"):
        trained_masked(nan, first, {}, HOW)
    list(tickets(own, 1, Optimization(1, 0.02), pruning=Pruning(0.99)))
    assert "leaves nothing of 0.weight" in caplog.text
