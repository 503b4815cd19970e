"""Who cannot teach is refused when the task is made, by its name and the cause; what is said is remembered on disk."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from laconic import Distillation, Task, Teacher, distilled, task
from laconic.errors import DataError
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.teachers.memory import digests
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization


def network(*widths, seed=0):
    torch.manual_seed(seed)
    layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def data(seed=1, augment=None):
    g = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(100, 6, generator=g), torch.randint(0, 3, (100,), generator=g)
    splits = {"train": (inputs, targets), "validation": (inputs[:20], targets[:20])}
    return Dataset("drawn", splits, 3, augment=augment)


def subject(**of):
    return task.classification(network(6, 8, 3), data(**of), batch=32)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Slippery(nn.Module):
    """Its scale is neither a weight nor to be seen."""

    def __init__(self):
        super().__init__()
        self.inner, self.scale, self.calls = network(6, 5, 3, seed=7), 1.0, 0

    def forward(self, x):
        self.calls += 1
        return self.scale * self.inner(x)


def spoilt():
    net = network(6, 3)
    net[0].bias.data[1] = float("nan")
    return net


@pytest.mark.parametrize(
    ("teacher", "says"),
    [
        (network(6, 100), r"the teacher has 100 classes where the network has 3: float32 \(32, 100\)"),
        (spoilt(), "the teacher says NaN or infinity: 32 of 96 outputs"),
        (Pair(), r"the teacher gives \(float32 .*not one tensor of logits"),
        (network(5, 3), r"the teacher fails on a batch, \(float32 \(32, 6\), int64 \(32,\)\): mat1 and mat2"),
        ([network(6, 3), network(6, 2)], "teacher 2 has 2 classes"),
        (Teacher(network(6, 4), name="the elder"), "the elder has 4 classes"),
        ({"0.weight": torch.zeros(8, 6)}, r"the teacher fails .* the weights lack 0\.bias"),
        ([], "a teacher is a module"),
        ("a.pt", "a teacher is a module"),
    ],
)
def test_who_cannot_teach_is_refused_when_the_task_is_made(teacher, says):
    with pytest.raises(DataError, match=says):
        distilled(subject(), teacher)


def test_a_task_that_cannot_be_taught_is_refused():
    x = torch.randn(4, 6)
    unknown = Task(network(6, 3), [(x, x)], lambda outputs, targets: outputs.square().mean())
    with pytest.raises(DataError, match="to be taught a network has to say something of a kind"):
        distilled(unknown, network(6, 3))
    pair = Task(Pair(), [(x, x)], lambda outputs, targets: outputs[0].mean(), kind="classification")
    with pytest.raises(DataError, match=r"what is taught gives one tensor, as the teacher does, not \(float32"):
        distilled(pair, nn.Identity())
    judged = Task(network(6, 3), test=[(x, torch.zeros(4, dtype=torch.int64))], loss=nn.CrossEntropyLoss())
    with pytest.raises(DataError, match="the task has no split 'train'"):
        distilled(judged, network(6, 3))


def test_a_teacher_that_fails_later_is_named_then():
    of = subject()
    scale = [1.0]
    taught = distilled(of, Teacher(network(6, 3), forward=lambda module, batch: scale[0] * module(batch[0])))
    scale[0] = float("inf")
    with pytest.raises(DataError, match="the teacher says NaN or infinity"):
        minimise(taught, params_of(of.module), Optimization(1, 0.1), seed=0)


@pytest.mark.parametrize("loader", [False, True])
def test_a_teacher_that_is_remembered_runs_once_in_the_life_of_a_folder(loader, tmp_path):
    of = subject()
    if loader:
        (x, y), how = data().splits["train"], {"batch_size": 32, "shuffle": True}
        of = Task(network(6, 8, 3), DataLoader(TensorDataset(x, y), **how), nn.CrossEntropyLoss(), seed=3)
    teacher, start = Slippery(), params_of(of.module)
    taught = distilled(of, teacher, cache=tmp_path)
    made = teacher.calls
    assert made <= 2 + of.count("train")
    trained, _ = minimise(taught, start, Optimization(3, 0.1), seed=0)
    assert teacher.calls == made, "no pass runs it, in whatever order samples come"
    asked, _ = minimise(distilled(of, teacher), start, Optimization(3, 0.1), seed=0)
    assert all(torch.allclose(trained[name], asked[name], atol=1e-5) for name in start)
    (path,), content = tmp_path.iterdir(), next(tmp_path.iterdir()).read_bytes()
    teacher.calls = 0
    again = distilled(of, teacher, cache=tmp_path)
    assert teacher.calls == 2, "to be tried, and to be compared with the file"
    same, _ = minimise(again, start, Optimization(3, 0.1), seed=0)
    assert all(torch.equal(trained[name], same[name]) for name in start)
    assert path.read_bytes() == content


def remembered(teacher, folder, **of):
    """What a task with this cache has of its training samples."""
    own = subject(**of)
    taught, batch = distilled(own, teacher, cache=folder), next(own.batches("train", 5))
    return taught.objective.teachers[0].memory.of(batch), batch


def test_a_memory_is_of_one_teacher_and_of_these_samples(tmp_path):
    teacher = Slippery()
    first, _ = remembered(teacher, tmp_path)
    teacher.inner[0].weight.data[0, 0] += 0.5
    other, batch = remembered(teacher, tmp_path)
    assert torch.allclose(other, teacher(batch[0]), atol=1e-6)
    assert not torch.allclose(first, other, atol=1e-3)
    elsewhere, batch = remembered(teacher, tmp_path, seed=2)
    assert torch.allclose(elsewhere, teacher(batch[0]), atol=1e-6)
    assert len(list(tmp_path.iterdir())) == 3, "nobody takes another's place"


def test_a_teacher_whose_code_has_changed_is_asked_anew(tmp_path, caplog):
    teacher = Slippery()
    first, _ = remembered(teacher, tmp_path)
    teacher.scale = 2.0
    second, _ = remembered(teacher, tmp_path)
    assert torch.allclose(second, 2 * first, atol=1e-6)
    assert "it says something else now than in" in caplog.text
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "of another kind"])
def test_a_memory_that_is_damaged_is_made_anew_and_the_log_says_why(damage, tmp_path, caplog):
    teacher = Slippery()
    first, _ = remembered(teacher, tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    flipped = content[:-40] + bytes([content[-40] ^ 1]) + content[-39:]
    path.write_bytes({"cut": content[:-100], "flipped": flipped, "empty": b""}.get(damage, b"PK\x03\x04" + content))
    second, _ = remembered(teacher, tmp_path)
    assert torch.equal(first, second)
    assert "what the teacher has said is made anew: " in caplog.text
    assert path.name in caplog.text
    assert path.read_bytes() == content


def test_where_data_are_augmented_the_teacher_sees_what_the_network_sees_and_notes_say_so(tmp_path):
    def noisy(inputs, generator):
        return inputs + torch.randn(inputs.shape, generator=generator)

    of, teacher = subject(augment=noisy), Slippery()
    taught = distilled(of, teacher, cache=tmp_path)
    assert "the cache knows 0% of the samples of another pass" in taught.notes[-1]
    batch = next(of.batches("train", 5))
    says = taught.objective.teachers[0].says(batch)
    assert torch.allclose(says, teacher(batch[0]))
    assert not [note for note in distilled(subject(), teacher, cache=tmp_path).notes if "cache" in note]


def test_what_training_data_vary_in_part_is_said_though_the_first_batch_never_does(tmp_path):
    def batches():
        yield x[:8], y[:8]
        yield x[8:] + torch.randn(8, 6), y[8:]

    x, y = torch.randn(16, 6), torch.arange(16) % 3
    of = Task(network(6, 3), batches, nn.CrossEntropyLoss(), validation=[(x, y)])
    assert "the cache knows 50% of the samples" in distilled(of, network(6, 3), cache=tmp_path).notes[-1]
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file: name another"):
        distilled(of, network(6, 3), cache=tmp_path / "file")


class Scaled:
    """A way to call a network that is an object."""

    def __init__(self, by):
        self.by = by

    def __call__(self, module, batch):
        return self.by * module(batch[0])


def scaled(module, batch, by):
    return by * module(batch[0])


def test_a_teacher_is_known_again_by_whatever_calls_it_without_addresses():
    net = network(6, 3)

    def digest(forward):
        return Teacher(net, forward=forward).digest

    ways = [
        lambda by: Scaled(by),
        lambda by: partial(scaled, by=by),
        lambda by: partial(partial(scaled), by=Scaled([torch.tensor(by), {"net": network(2, 3)}])),
    ]
    for way in ways:
        kept = way(2.0), way(2.0)
        assert len({digest(one) for one in kept}) == 1
        assert digest(way(3.0)) != digest(kept[0])
    assert len({digest(way(2.0)) for way in ways}) == len(ways)
    endless = Scaled(1.0)
    endless.by = endless
    for strange in (endless, partial(scaled, by=iter([1]))):
        with pytest.raises(DataError, match="the teacher says cannot be kept, for its forward has no digest"):
            digest(strange)


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(0, 4), st.randoms(use_true_random=False), st.sampled_from(["float32", "int64"]))
def test_a_sample_has_one_digest_wherever_it_is(count, width, random, kind):
    g = torch.Generator().manual_seed(random.randrange(2**31))
    x = torch.randint(-3, 3, (count, width), generator=g).to(getattr(torch, kind))
    y = torch.arange(count)
    order = torch.randperm(count, generator=g)
    shuffled = digests((x[order], y[order]))
    assert shuffled == [digests((x, y))[at] for at in order]
    assert len(set(shuffled)) == count, "targets tell samples of equal inputs apart"
    named = digests({"x": x, "labels": y})
    assert len({*named, *digests({"x": x, "labels": y, "shared": torch.ones(())})}) == 2 * count


def test_regression_is_taught_from_memory_too(tmp_path):
    x = torch.randn(40, 6)
    of = Task(network(6, 8, 2), [(x, torch.randn(40, 2))], nn.MSELoss(), validation=[(x, torch.zeros(40, 2))])
    teacher = network(6, 4, 2, seed=3)
    taught = distilled(of, teacher, Distillation(0, 1), cache=tmp_path)
    outputs, batch = of.module(x).detach(), next(of.batches("train", 0))
    wanted = np.square((outputs - teacher(x)).detach().numpy()).mean()
    assert float(taught.objective(outputs, batch)) == pytest.approx(float(wanted), rel=1e-5)
