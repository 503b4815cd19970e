"""Running statistics after compression: what they become, by a slow twin; when they stay as they were."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from toys import classifier, digits, exactly, same_params, seeded_module, trained

import laconic
from laconic.errors import DataError, PlanError
from laconic.lc.recalibrate import Following, Recalibrated, recalibrate, statistics_of, with_statistics
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.training.judges import cross_entropy, least_squares
from laconic.training.task import Task, classification, mode

SAMPLES = 100
FIRST, LAST = ("1.running_mean", "1.running_var"), ("6.running_mean", "6.running_var")


def layers() -> nn.Sequential:
    """Convolution and matrix, each with normalization; its parts go by number."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10),
    )  # fmt: skip


def task_of(module: nn.Module, batch: int) -> Task:
    pixels, labels = digits(300)
    return classification(
        module, Dataset("digits", {"train": (pixels.view(-1, 1, 8, 8), labels)}, classes=10), batch=batch
    )


@pytest.fixture(scope="module")
def subject():
    """A module, its trained weights, and coarse ones with the same statistics."""
    module = seeded_module(layers)
    params = trained(task_of(module, 40), epochs=8)
    return module, params, laconic.compress(params, laconic.AdaptiveCodebook(3)).params


def reading(params, inputs):
    """What the two layers of normalization read, and the outputs, from the definitions alone."""

    def normalized(hidden, layer):
        mean, variance, weight, bias = (
            params[f"{layer}.{kind}"].double().view(-1, *[1] * (hidden.ndim - 2))
            for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return (hidden - mean) / (variance + 1e-5).sqrt() * weight + bias

    w = {name: tensor.double() for name, tensor in params.items()}
    first = nn.functional.conv2d(inputs.double(), w["0.weight"], w["0.bias"], padding=1)
    pooled = nn.functional.avg_pool2d(normalized(first, "1").relu(), 2).flatten(1)
    last = pooled @ w["5.weight"].T + w["5.bias"]
    return first, last, normalized(last, "6").relu() @ w["8.weight"].T + w["8.bias"]


def test_statistics_against_a_pass_for_each_layer(subject):
    """One piece of samples: then "in turn" means that a pass is over before the next layer is looked at."""
    module, params, coarse = subject
    task = task_of(module, 2 * SAMPLES)
    told, moved = recalibrate(task, params, coarse, SAMPLES, seed=5)
    inputs, _ = next(iter(task.batches("train", 5)))
    seen, unseen = inputs.split(SAMPLES)
    expected = dict(coarse)
    for layer, (mean, variance) in enumerate((FIRST, LAST)):
        old, new = (reading(p, seen)[layer].transpose(0, 1).flatten(1) for p in (params, expected))
        expected[mean] = params[mean] + new.mean(1) - old.mean(1)
        expected[variance] = params[variance] * (new.var(1) / old.var(1)).clamp(0.5, 2)
    assert moved.keys() == {*FIRST, *LAST}
    for name, tensor in moved.items():
        torch.testing.assert_close(tensor, expected[name].float(), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(tensor, coarse[name], rtol=1e-2)
    p, q, r = (reading(weights, unseen)[2].softmax(1) for weights in (params, coarse, expected))
    before, after = (float((p * (p / other).log()).sum(1).mean()) for other in (q, r))
    assert (told.before, told.after) == pytest.approx((before, after), rel=1e-3)
    assert after < before / 2
    assert (told.kept, told.layers) == (True, 2)


def test_in_pieces_they_come_to_nearly_the_same(subject):
    module, params, coarse = subject
    moved = {}
    for batch in (200, 30):
        _, moved[batch] = recalibrate(task_of(module, batch), params, coarse, 150)
    for name in moved[200]:
        way = (moved[200][name] - coarse[name]).norm()
        assert (moved[30][name] - moved[200][name]).norm() < 0.25 * way, name


class Shared(nn.Module):
    """One layer of normalization that runs twice, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(64, 12), nn.BatchNorm1d(12), nn.Linear(12, 12)
        self.again, self.last = self.norm, nn.Linear(12, 10)

    def forward(self, inputs):
        hidden = self.norm(self.first(inputs.flatten(1))).relu()
        return self.last(self.again(self.second(hidden)).relu())


def test_nothing_moves_between_equal_networks():
    module = seeded_module(Shared)
    task, params = task_of(module, 40), params_of(module)
    moved = {name: tensor.clone() for name, tensor in params.items()}
    following = Following(task, params, moved, statistics_of(module, params, moved))
    with torch.no_grad(), mode(module, training=False):
        for batch in task.batches("train", 0):
            following(batch)
    assert same_params(moved, params)
    assert recalibrate(task, params, moved, SAMPLES) == (Recalibrated(0.0, 0.0, False, 1), {})


def test_a_layer_of_several_names_is_stored_once():
    module = seeded_module(Shared)
    task = task_of(module, 40)
    params = trained(task, epochs=4)
    result = laconic.compress(params, laconic.AdaptiveCodebook(2), task, recalibrate=SAMPLES)
    assert result.recalibration.kept
    assert result.codes["norm.running_var"] is result.codes["again.running_var"]
    assert not exactly(result.params["norm.running_var"], params["norm.running_var"])
    laconic.Result(result.codes).apply_to(module)


def test_the_file_has_what_was_judged_and_stays_within_its_budget(subject, tmp_path):
    module, params, _ = subject
    task = task_of(module, 64)
    seen = set[bool]()
    for size in (932, 908, 900, 916, 924, 940):  # statistics take some bytes more or less than they did
        plain, result = (
            laconic.compress(params, laconic.Budget(size=size), task, recalibrate=samples, seed=3)
            for samples in (0, SAMPLES)
        )
        told, moved = recalibrate(task, params, plain.params, SAMPLES, seed=3)
        assert told.kept
        codes = with_statistics(plain.codes, moved, module)
        fits = laconic.Result(codes, plain.metadata).file_bytes <= size
        assert result.recalibration == replace(told, kept=fits, room=fits)
        assert result.file_bytes == result.fitted.file_bytes <= size
        held = laconic.load(result.save(tmp_path / f"{size}.lac"))
        assert same_params(held, {**plain.params, **(moved if fits else {})})
        if (seen := seen | {fits}) == {True, False}:
            break
    assert seen == {True, False}


def test_where_the_outputs_come_no_closer_all_stays(subject):
    """Samples for the statistics that are nothing like those that judge."""
    module, params, coarse = subject
    pixels, labels = digits(200)
    pixels = pixels.view(-1, 1, 8, 8).clone()
    pixels[:SAMPLES] = -20 * torch.rand(SAMPLES, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    task = Task.of(module, lambda split, seed: [(pixels, labels)], cross_entropy)
    told, moved = recalibrate(task, params, coarse, SAMPLES)
    assert told.after > told.before
    assert (told.kept, moved) == (False, {})
    result = laconic.compress(params, laconic.AdaptiveCodebook(3), task, recalibrate=SAMPLES)
    assert same_params(result.params, laconic.compress(params, laconic.AdaptiveCodebook(3)).params)
    assert result.recalibration == told


def test_outputs_that_are_values_are_measured_by_their_variance(subject):
    module, params, coarse = subject
    pixels, _ = digits(200)
    pixels = pixels.view(-1, 1, 8, 8)
    task = Task.of(module, lambda split, seed: [(pixels, torch.zeros(200, 10))], least_squares)
    told, _ = recalibrate(task, params, coarse, SAMPLES)
    values, other = (reading(p, pixels[SAMPLES:])[2] for p in (params, coarse))
    assert told.before == pytest.approx(
        float((values - other).square().mean() / values.var(0, correction=0).mean()), 1e-3
    )
    assert told.kept


def test_what_is_lossy_stays(subject):
    module, params, coarse = subject
    task = task_of(module, 64)
    told, moved = recalibrate(task, params, {**coarse, FIRST[0]: coarse[FIRST[0]] + 1}, SAMPLES)
    assert told.layers == 1
    assert moved.keys() <= {*LAST}


def test_what_cannot_be_recalibrated_is_said(subject):
    module, params, _ = subject
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    plan = laconic.AdaptiveCodebook(2)
    with pytest.raises(PlanError, match="the module has no such layer"):
        laconic.compress(plain, plan, task_of(plain, 40), recalibrate=10)
    with pytest.raises(DataError, match=r"there are 300 in all: say 150 or fewer"):
        laconic.compress(params, plan, task_of(module, 40), recalibrate=151)
    with pytest.raises(PlanError, match="at least 1, not -1"):
        laconic.compress(params, plan, task_of(module, 40), recalibrate=-1)
    with pytest.raises(PlanError, match="recalibrate needs a task with training data, and effort 'direct'"):
        laconic.compress(params, plan, recalibrate=10)
    with pytest.raises(PlanError, match="recalibrate needs a task with training data, and effort 'direct'"):
        laconic.compress(params, plan, classifier(), "train", recalibrate=10)
