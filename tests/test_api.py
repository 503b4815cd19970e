"""The front door: a network, a plan, a task and an effort go in; a result that is a file comes out."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import laconic
from laconic import AdaptiveCodebook, Joint, KeepLargest, Lossless, LowRank
from laconic.errors import OutputExists, WeightsError
from laconic.models import data, nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import params_of, unwrapped
from laconic.plans.plan import Plan
from laconic.theory.metric import Diagonal
from laconic.training.judges import least_squares
from laconic.training.optimization import Optimization
from laconic.training.task import Task, classification

INPUTS = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))


BRIEF = laconic.Training(
    steps=3, l_step=Optimization(epochs=2, lr=0.05), finetune=replace(laconic.Training().finetune, epochs=2)
)


class Tied(nn.Module):
    """Embedding and output share a weight; BatchNorm has buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6, bias=False)
        self.norm = nn.BatchNorm1d(6)
        self.last = nn.Linear(6, 6)
        self.last.weight = self.first.weight

    def forward(self, inputs):
        return self.last(torch.relu(self.norm(self.first(inputs))))


def tied_task(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = Tied()

    def batches(split, seed):
        order = torch.arange(48)
        if split == "train":
            order = torch.randperm(48, generator=torch.Generator().manual_seed(seed % 2**31))
        return [(INPUTS[part], INPUTS[part]) for part in order.split(16)]

    return Task.of(module, batches, least_squares, metadata={"net": "tied"})


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    ready = data.load("digits", None, "pixels/16")
    return classification(nets.build("lenet300", ready.shape), ready, nets.identity("lenet300", "digits", "pixels/16"))


def copied(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a, b):
    bits = {name: (tensor.dtype, tensor.numpy().tobytes()) for name, tensor in a.items()}
    return bits == {name: (tensor.dtype, tensor.numpy().tobytes()) for name, tensor in b.items()}


def test_a_module_or_its_params_and_a_plan_or_a_compression(digits):
    module = digits.module
    names = ("fc1.weight", "fc2.weight", "fc3.weight")
    plan = Plan(dict.fromkeys(names, AdaptiveCodebook(4)), rest=Lossless())
    results = [
        laconic.compress(network, how)
        for network in (module, params_of(module), module.state_dict())
        for how in (AdaptiveCodebook(4), plan)
    ]
    assert all(same(result.params, results[0].params) for result in results)
    assert all(len(results[0].params[name].unique()) == 4 for name in names)
    assert results[0].params["fc1.bias"].equal(module.fc1.bias)
    assert results[0].history == ()


@pytest.mark.parametrize("method", ["lc", "idc", "retrain"])
def test_the_network_given_stays_as_it_is(method):
    task = tied_task()
    other = Tied()
    before, own = copied(other), copied(task.module)
    modes = [part.training for part in other.eval().modules()]
    how = replace(BRIEF, method=method)
    for network in (other, params_of(other), task.module):
        result = laconic.compress(network, AdaptiveCodebook(2), task, "train", training=how)
        assert len(result.params["first.weight"].unique()) <= 2
        assert not result.params["norm.running_mean"].equal(before["norm.running_mean"])
    assert same(copied(other), before)
    assert same(copied(task.module), own)
    assert [part.training for part in other.modules()] == modes
    assert all(parameter.grad is None and parameter.requires_grad for parameter in other.parameters())


def test_what_is_given_back_is_a_copy(digits):
    result = laconic.compress(digits.module, Plan({}, rest=Lossless()))
    before = copied(digits.module)
    for tensor in result.params.values():
        tensor.zero_()
    assert same(copied(digits.module), before)
    assert same(result.params, before)


@pytest.mark.parametrize(
    "compression",
    [AdaptiveCodebook(4), Joint(KeepLargest(0.1, values=AdaptiveCodebook(4))), LowRank(3), Lossless()],
    ids=lambda compression: type(compression).__name__,
)
@pytest.mark.parametrize("effort", ["direct", "train"])
def test_the_file_is_what_was_evaluated(digits, tmp_path, compression, effort):
    how = replace(BRIEF, steps=1, l_step=Optimization(1, 0.05))
    result = laconic.compress(digits.module, compression, digits, effort, training=how)
    path = result.save(tmp_path / "net.lac")
    assert result.file_bytes == path.stat().st_size == result.ledger().file_bytes
    assert sum(record["bytes"] for record in result.table()) == result.file_bytes
    assert same(laconic.load(path), result.params)
    assert same(laconic.load(str(path)), result.params)
    with laconic.open(path) as file:
        assert list(file) == list(params_of(digits.module))
        assert all(file[name].tobytes() == tensor.numpy().tobytes() for name, tensor in result.params.items())
        assert {key: file.metadata[key] for key in digits.metadata} == dict(digits.metadata)
    fresh = nets.build("lenet300", (1, 8, 8), seed=9)
    assert result.apply_to(fresh) is fresh
    assert same(params_of(fresh), result.params)
    assert digits.evaluate(params_of(fresh), "test") == digits.evaluate(laconic.load(path), "test")


def test_saving_overwrites_only_by_force(tmp_path):
    result = laconic.compress(nn.Linear(3, 2), AdaptiveCodebook(2))
    path = tmp_path / "a.lac"
    path.write_text("precious")
    with pytest.raises(OutputExists):
        result.save(path)
    assert path.read_text() == "precious"
    assert result.save(str(path), force=True) == path
    assert path.stat().st_size == result.file_bytes


def test_the_reference_is_the_safetensors_file(tmp_path):
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    save_checkpoint(tmp_path / "a.safetensors", params_of(module), {})
    result = laconic.compress(module, AdaptiveCodebook(2))
    assert result.metadata == {"reference_bytes": str((tmp_path / "a.safetensors").stat().st_size)}


def test_metadata_are_the_tasks_and_ones_own(digits):
    result = laconic.compress(
        digits.module, AdaptiveCodebook(2), digits, "direct", metadata={"author": "me", "data": "mine"}
    )
    assert result.metadata["net"] == "lenet300"
    assert result.metadata["author"] == "me"
    assert result.metadata["data"] == "mine"


def test_same_seed_same_bytes(tmp_path):
    files = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(number)  # the global generator is not ours
        result = laconic.compress(
            tied_task().module, AdaptiveCodebook(2), tied_task(), "train", training=BRIEF, seed=seed
        )
        files.append(result.save(tmp_path / f"{number}.lac").read_bytes())
    assert files[0] == files[1] != files[2]


def test_watching_and_resuming(tmp_path):
    states = []
    arguments = (tied_task().module, AdaptiveCodebook(2), tied_task(), "train")
    whole = laconic.compress(*arguments, training=BRIEF, watch=states.append)
    tuned = [state.tuning.epoch for state in states if state.tuning]
    assert tuned == list(range(BRIEF.finetune.epochs + 1))
    assert [state.progress.step for state in states] == [0, 1, 2, 3] + [3] * len(tuned)
    assert [state.progress for state in states[:4]] == list(whole.history)
    for state in states:
        seen = []
        again = laconic.compress(*arguments, training=BRIEF, resume=state, watch=seen.append)
        assert (
            again.save(tmp_path / "a.lac", force=True).read_bytes()
            == whole.save(tmp_path / "b.lac", force=True).read_bytes()
        )
        left = states[states.index(state) :]
        assert [(s.progress.step, s.tuning and s.tuning.epoch) for s in seen] == [
            (s.progress.step, s.tuning and s.tuning.epoch) for s in left
        ]
        assert [progress.step for progress in again.history] == list(range(state.progress.step, 4))


def test_training_does_better_than_direct():
    task = tied_task()
    trained = laconic.compress(
        task.module, Lossless(), task, "train", training=replace(BRIEF, finetune=Optimization(200, 0.02))
    )
    direct = laconic.compress(trained.params, AdaptiveCodebook(2), task, "direct")
    lc = laconic.compress(trained.params, AdaptiveCodebook(2), task, "train", training=replace(BRIEF, steps=15))
    assert task.evaluate(lc.params, "test")["loss"] < task.evaluate(direct.params, "test")["loss"]


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path):
    task = tied_task()
    result = laconic.compress(task.module, AdaptiveCodebook(2), task, "train", training=BRIEF)
    assert result.codes["last.weight"] is result.codes["first.weight"]
    result.save(tmp_path / "a.lac")
    other = Tied()
    result.apply_to(other)
    assert other.last.weight is other.first.weight
    assert len(other.last.weight.unique()) <= 2
    assert task.evaluate(params_of(other), "test") == task.evaluate(laconic.load(tmp_path / "a.lac"), "test")


def test_tensors_that_share_memory():
    """A state_dict names tied weights twice; parts and transposes of a tensor are others."""
    weights = Tied().state_dict()
    result = laconic.compress(weights, AdaptiveCodebook(2))
    assert result.codes["first.weight"] is result.codes["last.weight"]
    base = torch.randn(6, 6)
    result = laconic.compress({"a": base, "b": base.T, "c": base[::2]}, Plan({}, rest=Lossless()))
    assert result.params["b"].equal(base.T)
    assert result.params["c"].equal(base[::2])


def test_buffers_survive_exactly():
    module = Tied()
    module.norm.running_var.fill_(1 / 3)
    module.norm.num_batches_tracked.fill_(2**40)
    params = laconic.compress(module, AdaptiveCodebook(2)).params
    assert params["norm.running_var"].equal(module.norm.running_var)
    assert params["norm.num_batches_tracked"].equal(torch.tensor(2**40))


def test_importances_matter():
    weights = {"w": torch.tensor([[0.0, 1.0, 10.0]])}
    metrics = {"w": Diagonal(torch.tensor([[1.0, 1000.0, 1.0]]))}
    kept = laconic.compress(weights, KeepLargest(count=1), metrics=metrics).params["w"]
    assert kept.tolist() == [[0, 1, 0]]
    assert laconic.compress(weights, KeepLargest(count=1)).params["w"].tolist() == [[0, 0, 10]]


def test_open_reads_what_it_is_asked_for(tmp_path):
    """A damaged tensor does not keep the others from being read, but for small ones that share its stream."""
    weights = {"a": torch.randn(900, 50), "b": torch.randn(900, 50), "c": torch.tensor(2)}
    path = laconic.compress(weights, Plan({}, rest=Lossless())).save(tmp_path / "a.lac")
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    with laconic.open(path) as file:
        assert len(file) == 3
        assert "a" in file
        assert "z" not in file
        assert file["b"].tobytes() == weights["b"].numpy().tobytes()
        assert file["c"].dtype == np.int64
        with pytest.raises(laconic.LaconicError, match="tensor 'a'"):
            file["a"]
        with pytest.raises(KeyError):
            file["z"]
        with pytest.raises(TypeError):
            file["b"] = 1
    with pytest.raises(laconic.LaconicError, match="tensor 'a'"):
        laconic.load(path)


def test_what_a_plan_leaves_as_it_is_takes_what_it_is_worth():
    weights = {"w": INPUTS[:40, :6].clone(), "mask": torch.full((256, 256), float("-inf")).triu(1)}
    weights |= {"same": torch.full((64, 64), 0.3), "bias": torch.zeros(64)}
    result = laconic.compress(weights, Plan({"w": AdaptiveCodebook(4)}, rest=Lossless()))
    size = {row["name"]: row["bytes"] for row in result.table()}
    assert size["mask"] < weights["mask"].nbytes / 100
    assert max(size["same"], size["bias"]) < 40
    assert all(torch.equal(result.params[name], weights[name]) for name in ("mask", "same", "bias"))


def test_wrapped_modules_have_the_names_within(tmp_path):
    plain, task, compiled = nn.Sequential(nn.Linear(6, 6)), tied_task(), partial(torch.compile, backend="eager")
    wrapped = [nn.DataParallel(plain), compiled(plain), nn.DataParallel(compiled(plain))]
    for module in wrapped:
        result = laconic.compress(module, AdaptiveCodebook(2))
        assert list(result.codes) == ["0.weight", "0.bias"]
        path = result.save(tmp_path / "a.lac", force=True)
        for other in (nn.Sequential(nn.Linear(6, 6)), compiled(nn.Sequential(nn.Linear(6, 6)))):
            assert laconic.load(path, other) is other
            assert same(params_of(result.apply_to(nn.Sequential(nn.Linear(6, 6)))), params_of(unwrapped(other)))
    assert Task(nn.DataParallel(task.module), [(INPUTS, INPUTS)], least_squares).module is task.module
    with pytest.raises(OutputExists, match=r"force=True \(--force on the command line\)"):
        result.save(path)
    with pytest.raises(WeightsError, match="lacks"):
        laconic.load(path, nn.Linear(6, 6))


def test_a_buffer_is_no_weight_for_a_compression_either():
    net = nn.Linear(8, 8)
    net.register_buffer("table", torch.randn(8, 8))
    result = laconic.compress(net, AdaptiveCodebook(2))
    assert len(result.params["weight"].unique()) == 2
    assert torch.equal(result.params["table"], net.table)


def test_a_part_at_two_places_stays_as_it_is_and_is_trained():
    """A module's own tensors come back into a part that it has under several names."""
    one = nn.Linear(6, 6)
    net = nn.Sequential(one, nn.ReLU(), one, nn.BatchNorm1d(6), nn.Linear(6, 2))
    inputs = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    task = Task(net, [(inputs, (inputs[:, 0] > 0).long())] * 3, nn.CrossEntropyLoss())
    training = laconic.Training(steps=2, l_step=laconic.Optimization(lr=0.05))
    result = laconic.compress(net, Plan({"0.weight": AdaptiveCodebook(2)}), task, training=training)
    assert isinstance(one.weight, nn.Parameter)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not result.fixed
    assert len(result.params["2.weight"].unique()) == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_weights_of_another_type_run_in_that_of_the_module(dtype):
    net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
    inputs = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    task = Task(net, [(inputs, (inputs[:, 0] > 0).long())] * 3, nn.CrossEntropyLoss())
    weights = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in params_of(net).items()
    }
    result = laconic.compress(weights, AdaptiveCodebook(2), task, "direct", recalibrate=20)
    assert result.params["0.weight"].dtype == dtype
    assert result.evaluate(task, "validation" if task.validation else "train").keys() == {"loss", "error"}
    trained = laconic.compress(weights, AdaptiveCodebook(2), task, training=laconic.Training(steps=1))
    assert trained.params["0.weight"].dtype == torch.float32
