"""Tasks made of what people have: loaders, lists, functions, and losses as torch has them."""

from functools import partial
from itertools import count

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, WeightedRandomSampler
from toys import seeded_module

import laconic
from laconic.errors import DataError
from laconic.models.params import params_of
from laconic.theory.importance.directions import kind_of
from laconic.training.batches import Batches, rows_of, size_of
from laconic.training.task import Task

INPUTS = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] > 0).long()
PAIRS = TensorDataset(INPUTS, LABELS)
BATCHES = [(INPUTS[rows], LABELS[rows]) for rows in torch.arange(60).split(5)]


def network():
    return seeded_module(lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 2)))


def shuffled():
    for rows in torch.randperm(60).split(20):
        yield INPUTS[rows] + float(np.random.rand()), LABELS[rows]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(PAIRS)


SOURCES = {
    "a loader that shuffles": lambda: DataLoader(PAIRS, 8, shuffle=True),
    "a loader with a generator": lambda: DataLoader(PAIRS, 8, shuffle=True, generator=torch.Generator()),
    "a sampler with a generator": lambda: DataLoader(
        PAIRS, 8, sampler=WeightedRandomSampler(torch.ones(60), 60, generator=torch.Generator())
    ),
    "a loader without a length": lambda: DataLoader(Stream(), 8),
    "a list": lambda: BATCHES,
    "a generator function": lambda: shuffled,
    "a function that returns a loader": lambda: lambda: DataLoader(PAIRS, 8, shuffle=True),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_pass_is_a_function_of_its_seed_whatever_the_batches_come_from(source):
    task = Task(network(), SOURCES[source](), nn.CrossEntropyLoss(), test=BATCHES)
    before = torch.get_rng_state()
    first = [batch[0].clone() for batch in task.batches("train", 7)]
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    for again, batch in zip(task.batches("train", 7), first, strict=True):
        torch.rand(1)
        assert torch.equal(again[0], batch)
    if source not in ("a list", "a loader without a length"):
        assert not torch.equal(next(task.batches("train", 8))[0], first[0])
    assert task.count("train") == len(first)


def test_a_tenth_is_held_out_by_samples_or_batches_and_said():
    task = Task(network(), train=DataLoader(PAIRS, 8, shuffle=True), loss=F.cross_entropy)
    parts = [torch.cat([batch[0] for batch in task.batches(split, 1)]) for split in ("train", "validation")]
    assert [len(part) for part in parts] == [54, 6]
    assert len(torch.cat(parts).unique(dim=0)) == 60
    assert "6 of 60 samples" in task.notes[0]
    by_batches = Task(network(), BATCHES, F.cross_entropy)
    assert (by_batches.count("train"), by_batches.count("validation")) == (11, 1)
    none = Task(network(), shuffled, F.cross_entropy)
    with pytest.raises(DataError, match=r"no split 'validation'.*no validation: none was given"):
        none.evaluate(params_of(none.module), "validation")
    assert not Task(network(), BATCHES, F.cross_entropy, validation=BATCHES).notes


def test_passes_are_counted_once_at_most():
    passes = count()

    def batches():
        next(passes)
        return BATCHES

    task = Task(network(), batches, nn.CrossEntropyLoss())
    assert next(passes) == 2  # the trial: a first batch, and whether it comes again
    assert sum(1 for _ in task.batches("train", 0)) == task.count("train") == 12
    assert next(passes) == 4
    assert Batches.of(DataLoader(PAIRS, 7), "train").known == 9


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x, scale=1.0):
        return self.layer(x) * scale


FORMS = {
    "inputs and targets": (lambda x, y: (x, y), {}),
    "several inputs": (lambda x, y: [[x, torch.ones(len(x), 1)], y], {}),
    "inputs by name": (lambda x, y: ({"x": x}, y), {}),
    "a dict": (lambda x, y: {"x": x, "labels": y}, {}),
    "a forward": (lambda x, y: {"a": x, "b": y}, {"forward": lambda module, batch: module(batch["a"])}),
}


@pytest.mark.parametrize("form", FORMS)
def test_batches_of_every_form_give_the_same_loss(form):
    make, options = FORMS[form]
    module, (x, y) = seeded_module(Named), BATCHES[0]
    loss = nn.CrossEntropyLoss()
    if form == "a forward":
        loss = lambda outputs, batch: F.cross_entropy(outputs, batch["b"])  # noqa: E731
    task = Task(module, [make(x, y)], loss, test=[make(x, y)], **options)
    halved = {name: tensor / 2 for name, tensor in params_of(module).items()}
    expected = F.cross_entropy(module(x) / 2, y)
    assert task.evaluate(halved, "test")["loss"] == pytest.approx(expected.item())


def test_a_tensor_is_its_own_target():
    task = Task(nn.Linear(4, 4), [INPUTS], F.mse_loss, test=[INPUTS])
    zero = {"weight": torch.zeros(4, 4), "bias": torch.zeros(4)}
    assert task.evaluate(zero, "test")["loss"] == pytest.approx(float(INPUTS.square().mean()))


def test_the_loss_tells_the_kind_and_classification_has_its_error():
    smooth = partial(F.cross_entropy, label_smoothing=0.1)
    for loss in (nn.CrossEntropyLoss(), F.cross_entropy, smooth, laconic.task.cross_entropy):
        task = Task(network(), BATCHES, loss, test=BATCHES)
        assert kind_of(task) == "classification"
        assert task.evaluate(params_of(task.module), "test").keys() == {"loss", "error"}
    own = {"loss": lambda outputs, targets: F.cross_entropy(outputs, targets)}
    assert Task(network(), BATCHES, **own).kind is None
    assert list(Task(network(), BATCHES, **own, kind="classification").measures) == ["error"]
    assert Task(nn.Linear(4, 4), [INPUTS], nn.MSELoss()).kind == "regression"


REFUSED = {
    "a generator": ({"train": shuffled(), "loss": F.cross_entropy}, "exhausted after one pass"),
    "split and seed": ({"train": lambda split, seed: BATCHES, "loss": F.cross_entropy}, "needs split, seed; Task.of"),
    "samples": ({"train": PAIRS, "loss": F.cross_entropy}, "TensorDataset has samples.*DataLoader"),
    "one batch": ({"train": (INPUTS, LABELS), "loss": F.cross_entropy}, "this is one batch"),
    "nothing": ({"train": [], "loss": F.cross_entropy}, "train has no batches"),
    "no loss": ({"train": BATCHES}, "loss is a function .*missing"),
    "a class": ({"train": BATCHES, "loss": nn.CrossEntropyLoss}, "not the class CrossEntropyLoss"),
    "each sample": ({"train": BATCHES, "loss": nn.CrossEntropyLoss(reduction="none")}, r"without axes.*float32 \(5,\)"),
    "targets": ({"train": BATCHES, "loss": F.mse_loss}, r"one shape.*\(5, 2\).*\(5,\)"),
    "inputs": ({"train": [(INPUTS[:, :3], LABELS)], "loss": F.cross_entropy}, r"the module fails.*\(60, 3\)"),
    "not finite": ({"train": [(INPUTS * torch.nan, LABELS)], "loss": F.cross_entropy}, "is nan"),
    "no targets": ({"train": [{"input": INPUTS}], "loss": F.cross_entropy}, "none of labels, targets, target"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_task_is_refused_when_it_is_made(case):
    options, words = REFUSED[case]
    with pytest.raises(DataError, match=words):
        Task(network(), **options)


def test_a_function_that_gives_one_iterator_again_fails_in_its_second_pass():
    batches = iter(BATCHES)
    task = Task(network(), lambda: batches, F.cross_entropy)
    assert len(list(task.batches("train", 0))) == len(BATCHES) - 2
    with pytest.raises(DataError, match="must make them anew"):
        list(task.batches("train", 1))


def test_an_order_that_is_no_function_of_the_seed_is_noted():
    numbers = count()
    task = Task(network(), lambda: [(INPUTS + next(numbers), LABELS)], F.cross_entropy)
    assert any("no function of the seed" in note for note in task.notes)


def test_classification_takes_loaders_too():
    loader = DataLoader(PAIRS, 20)
    both = laconic.task.classification(network(), {"train": loader, "test": loader})
    assert (both.count("train"), both.count("test")) == (3, 3)
    assert laconic.task.classification(network(), loader).count("validation") == 1
    with pytest.raises(DataError, match="valid: splits are train, validation, test"):
        laconic.task.classification(network(), {"valid": loader})


def test_samples_are_those_of_the_targets_whatever_comes_first():
    ids = [*["a-long-name"] * 40, *"b" * 20]
    rows = [{"id": ids[i], "step": 3, "x": INPUTS[i], "labels": LABELS[i]} for i in range(60)]
    forward = lambda module, batch: module(batch["x"])  # noqa: E731
    for size in (50, 60):
        task = Task(network(), test=DataLoader(rows, size), loss=F.cross_entropy, forward=forward)
        figures = task.evaluate(params_of(task.module), "test")
        whole = Task(network(), test=[(INPUTS, LABELS)], loss=F.cross_entropy)
        assert figures["error"] == pytest.approx(whole.evaluate(params_of(task.module), "test")["error"])
    (batch,) = task.batches("test", 0)
    piece = rows_of(batch, 38, 42)
    assert (size_of(piece), piece["id"]) == (4, ["a-long-name", "a-long-name", "b", "b"])
    time_first = torch.zeros(7, 5, 4), torch.zeros(5)
    assert size_of(time_first) == 5
    with pytest.raises(DataError, match=r"5 samples has a tensor of shape \(7, 5, 4\).*first axis"):
        rows_of(time_first, 0, 2)


def test_no_last_batch_of_one_sample_is_left_by_what_is_held_out():
    task = Task(network(), DataLoader(TensorDataset(torch.randn(290, 4), torch.zeros(290).long()), 65), F.cross_entropy)
    assert [len(inputs) for inputs, _ in task.batches("train", 0)] == [65] * 4


def test_the_trial_leaves_what_a_module_counts():
    class Counts(nn.Linear):
        def __init__(self):
            super().__init__(4, 2)
            self.register_buffer("count", torch.zeros(()))

        def forward(self, inputs):
            self.count += 1
            return super().forward(inputs)

    net = Counts()
    Task(net, BATCHES, F.cross_entropy)
    assert not net.count
