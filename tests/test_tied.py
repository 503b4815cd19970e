"""Tied tensors, from a module to a file and back: one variable, stored and counted once, under all names."""

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import laconic
from laconic import AdaptiveCodebook, Budget, Diagonal, Joint, KeepLargest, Lossless, Plan
from laconic.cli import run
from laconic.errors import PlanError, WeightsError
from laconic.insight import bound
from laconic.models.checkpoints import open_checkpoint
from laconic.models.params import Arrays, all_params_of, apply_to, params_of
from laconic.models.ties import untied
from laconic.training.judges import cross_entropy
from laconic.training.task import Task

TOKENS = torch.randint(0, 60, (32, 2), generator=torch.Generator().manual_seed(0))


class Words(nn.Module):
    """A model of the next word: its embedding is its output layer; two norms begin alike."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.head = nn.Embedding(60, 24), nn.Linear(24, 60)
        self.one, self.two = nn.LayerNorm(24), nn.LayerNorm(24)
        self.head.weight = self.emb.weight

    def forward(self, tokens):
        return self.head(self.two(self.one(self.emb(tokens))))


def words(seed=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Words()


def make():
    """The task that the command line names."""
    batches = [(TOKENS[:, 0], TOKENS[:, 1])]
    return Task.of(words(), lambda split, seed: batches, cross_entropy, metadata={"net": "words"})


def sources(module):
    """The ways a tied network comes: a module, one storage, a storage for each name."""
    weights = module.state_dict()
    return [module, weights, {name: tensor.clone() for name, tensor in weights.items()}]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


PLANS = {
    "bits": Budget(bits=6),
    "snr": Budget(snr=25),
    "codebook": AdaptiveCodebook(4),
    "joint": Joint(KeepLargest(count=500)),
    "lossless": Plan({}, rest=Lossless()),
    "by the other name": Plan({"head.weight": AdaptiveCodebook(3)}, rest=Lossless()),
}


@pytest.mark.parametrize("plan", PLANS)
def test_once_in_the_file_and_back_under_all_names(plan, tmp_path):
    module, beside = words(), {"reference_bytes": "9"}
    several = sources(module)[: 2 if plan == "by the other name" else 3]
    results = [laconic.compress(network, PLANS[plan], metadata=beside) for network in several]
    assert len({result.file_bytes for result in results}) == 1
    for result in results:
        assert result.codes["head.weight"] is result.codes["emb.weight"]
        with laconic.open(result.save(tmp_path / "a.lac", force=True)) as file:
            assert file.ties["head.weight"] == "emb.weight"
            assert file["head.weight"].tobytes() == file["emb.weight"].tobytes()
        weights = laconic.load(tmp_path / "a.lac")
        assert same(weights, result.params)
        assert weights.keys() == module.state_dict().keys()
        other = words(2)
        other.load_state_dict(weights)
        assert other.head.weight is other.emb.weight
        assert same(all_params_of(result.apply_to(words(3))), other.state_dict())


def test_budgets_count_once():
    module = words()
    curves = bound.of_weights(dict(Arrays(module.state_dict())))
    assert (curves.elements, list(curves.tensors)) == (module.emb.weight.numel(), ["emb.weight"])
    for network in sources(module)[1:]:
        result = laconic.compress(network, Budget(bits=6))
        account, elements = result.ledger(), module.emb.weight.numel()
        assert account.bits_per_weight == pytest.approx(8 * result.file_bytes / elements)
        assert 0.98 * 6 < account.bits_per_weight <= 6
        assert result.fitted.file_bytes == result.file_bytes
        assert sum(entry.bytes for entry in account.entries) == result.file_bytes
        (tied,) = [entry for entry in account.entries if entry.name == "head.weight"]
        assert (tied.bytes, tied.dense_bits, tied.published_bits, tied.tied) == (0, 0, 0, "emb.weight")
    size = [laconic.compress(network, Budget(ratio=4)).file_bytes for network in sources(module)[:2]]
    assert size[0] == size[1]


@pytest.mark.parametrize("count", [2, 40])
def test_further_names_never_overshoot(count):
    weights = torch.randn(40, 30, generator=torch.Generator().manual_seed(3))
    network = {f"block.{k}.{'w' * (k % 5)}": weights for k in range(count)}
    result = laconic.compress(network, Budget(size=2500))
    assert 0.98 * 2500 < result.file_bytes <= 2500


def test_one_variable_in_the_lc_algorithm(tmp_path):
    how = laconic.Training(steps=2, finetune=replace(laconic.Training().finetune, epochs=1))
    files, states = [], []
    for network in [*sources(words())[1:], params_of(words())]:
        result = laconic.compress(network, AdaptiveCodebook(2), make(), "train", training=how, watch=states.append)
        assert result.codes["head.weight"] is result.codes["emb.weight"]
        assert result.codes["two.weight"] is not result.codes["one.weight"], "equal bytes are no tie where one trains"
        files.append({name: code.decompress().tobytes() for name, code in result.codes.items()})
        words(2).load_state_dict(laconic.load(result.save(tmp_path / "a.lac", force=True)))
    assert all(state.codes.keys() == {"emb.weight"} and "head.weight" not in state.weights for state in states)
    assert all(file == files[0] for file in files)


def save_model(module, path):
    safetensors.torch.save_model(module, path)


def save_each(module, path):
    safetensors.torch.save_file({name: tensor.clone() for name, tensor in module.state_dict().items()}, path)


def save_torch(module, path):
    torch.save(module.state_dict(), path)


@pytest.mark.parametrize(("save", "end"), [(save_torch, "pt"), (save_each, "safetensors"), (save_model, "safetensors")])
def test_the_command_line(save, end, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = words()
    save(module, tmp_path / f"a.{end}")
    assert same(dict(open_checkpoint(tmp_path / f"a.{end}").params), module.state_dict())

    def call(*arguments):
        assert run([*arguments, "--quiet", "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    task = ("--task", "test_tied:make")
    call("compress", f"a.{end}", "-o", "free.lac", "--bits", "6")
    found = call("compress", f"a.{end}", "-o", "a.lac", "--codebook", "4", *task)
    trained = ("--effort", "train", "--steps", "1", "--finetune", "0")
    call("compress", f"a.{end}", "-o", "trained.lac", "--codebook", "4", *trained, *task)
    for name in ("free.lac", "a.lac", "trained.lac"):
        words(2).load_state_dict(laconic.load(name))
    (tensor,) = call("inspect", "a.lac", "--against", f"a.{end}")["golden"]["tensors"]
    assert tensor["name"] in ("emb.weight", "head.weight")
    assert call("inspect", "a.lac", "--against", f"a.{end}", *task)["golden"]["true"] > 0
    assert call("evaluate", "a.lac", *task, "--split", "test")["loss"] == found["test"]["loss"]
    call("decompress", "a.lac", "-o", "b.safetensors")
    assert same(safetensors.torch.load_file("b.safetensors"), laconic.load("a.lac"))
    assert call("evaluate", "b.safetensors", *task, "--split", "test")["loss"] == found["test"]["loss"]


def test_what_is_given_for_two_names_must_agree():
    task, weights = make(), words().state_dict()
    apart = {**weights, "head.weight": weights["emb.weight"] + 1}
    module = words(2)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for attempt in (
        lambda: apply_to(module, apart),
        lambda: task.evaluate(apart, "test"),
        lambda: laconic.compress(apart, AdaptiveCodebook(2), task, "train"),
    ):
        with pytest.raises(WeightsError, match=r"emb\.weight and head\.weight are one tensor of the module"):
            attempt()
    assert same(module.state_dict(), before)
    with pytest.raises(PlanError, match=r"emb\.weight \(also head\.weight\) is on the rows"):
        laconic.compress(weights, Plan({"emb*": Lossless(), "head.w*": AdaptiveCodebook(2)}, rest=Lossless()))


def test_equal_bytes_are_two_tensors_where_a_plan_or_a_metric_tells_them_apart():
    base = torch.randn(9, 8, generator=torch.Generator().manual_seed(0))
    weights = {"a": base, "b": base.clone(), "c": base.clone()}
    codes = laconic.compress(weights, Plan({"a": AdaptiveCodebook(2), "b, c": AdaptiveCodebook(3)})).codes
    assert codes["a"] is not codes["b"] is codes["c"]
    metrics = {"a": Diagonal(base.abs() + 1), "b": Diagonal(base.abs().flip(0) + 1)}
    codes = laconic.compress(weights, AdaptiveCodebook(2), metrics=metrics).codes
    assert len({id(code) for code in codes.values()}) == 3
    labels = {name: np.arange(72).reshape(9, 8) % k for name, k in {"a": 2, "b": 3, "c": 4}.items()}
    codes = laconic.compress(weights, laconic.FixedAssignments(labels)).codes
    assert [len(np.unique(code.decompress())) for code in codes.values()] == [2, 3, 4]


def test_what_is_tied():
    base = torch.arange(12.0).view(3, 4)
    weights = {"a": base, "b": base.T, "c": base[:2], "d": base.detach(), "e": base.clone(), "none": base[:0]}
    assert untied(weights).ties == {"d": "a"}
    nothing = {**weights, "none too": base[:0], "half": base.half(), "-0": torch.tensor([-0.0]), "0": torch.zeros(1)}
    assert untied(nothing).alike().ties == {"d": "a", "e": "a"}
