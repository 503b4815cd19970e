"""One algorithm for every loss: classification, least squares and maximum likelihood differ in their task alone."""

import math
from functools import cache

import torch
from crossing import usually
from torch import Tensor, nn
from toys import classifier, digits, last, seeded_module, trained, training_loss

from laconic import AdaptiveCodebook, Additive, Compression, Joint, KeepLargest, LowRank, UniformGrid
from laconic.lc.l_step import LearningStep
from laconic.lc.schedule import Adaptive
from laconic.lc.steps import run, start
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.plans.plan import weights_only
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task, regression


def autoencoder() -> Task:
    """Least squares: 64 pixels through 8 units and back."""
    pixels, _ = digits(200)
    module = seeded_module(lambda: nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 64)))
    return regression(module, Dataset("digits", {"train": (pixels, pixels)}), batch=50)


class GaussianDensity(nn.Module):
    """log p(x) of x ~ N(m, (A Aᵀ)⁻¹) with A = diag(exp d) + a free matrix below the diagonal."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mean, self.scale = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))
        self.below = nn.Parameter(torch.zeros(size, size))

    def forward(self, x: Tensor) -> Tensor:
        whitening = self.below.tril(-1) + torch.diag(self.scale.exp())
        z = (x - self.mean) @ whitening.T
        return self.scale.sum() - 0.5 * z.square().sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)


def minus_log_likelihood(outputs: Tensor, _: object) -> Tensor:
    return -outputs.mean()


def density() -> Task:
    """Maximum likelihood without targets: the centre of the digits as a Gaussian."""
    pixels, _ = digits(200)
    x = pixels.view(-1, 8, 8)[:, 2:6, 2:6].reshape(-1, 16)
    x = (x - x.mean(0)) / x.std(0)
    data = Dataset("digits", {"train": (x, torch.zeros(len(x), 0))})
    return Task.of(GaussianDensity(16), lambda split, seed: data.batches(split, seed, 50), minus_log_likelihood)


class SoftmaxDensity(nn.Module):
    """log p of a row of pixels: the sum of log softmax over eight grey levels, given the left neighbour."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(8, 8))

    def forward(self, levels: Tensor) -> Tensor:
        before, after = levels[..., :-1], levels[..., 1:]
        return torch.log_softmax(self.table, 1)[before, after].sum(1)


def softmax_density() -> Task:
    pixels, _ = digits()
    levels = (pixels.view(-1, 8)[:300] * 7).round().long()
    data = Dataset("digits", {"train": (levels, torch.zeros(len(levels), 0))})
    return Task.of(SoftmaxDensity(), lambda split, seed: data.batches(split, seed, 15), minus_log_likelihood)


TASKS = {
    "cross-entropy": lambda: classifier(samples=200),
    "least squares": autoencoder,
    "Gaussian likelihood": density,
    "softmax likelihood": softmax_density,
}
COMPRESSIONS = {
    "codebook": AdaptiveCodebook(3),
    "keep": KeepLargest(0.2),
    "one of all": Joint(KeepLargest(0.25, values=AdaptiveCodebook(4))),
    "rank": LowRank(1),
    "grid": UniformGrid(bits=2),
    "sum": Additive((LowRank(1), KeepLargest(0.1)), sweeps=3),
}


@cache
def reference_of(loss: str) -> tuple[Task, dict[str, Tensor]]:
    task = TASKS[loss]()
    return task, trained(task, 25, 0.02, adam)


@usually(
    "kind, loss",
    zip(("codebook", "keep", "grid", "rank"), TASKS, strict=True),
    else_=[("one of all", "least squares"), ("sum", "Gaussian likelihood"), ("sum", "least squares")],
)
def test_lc_ends_below_direct_compression_on_every_loss(kind: str, loss: str):
    compression: Compression = COMPRESSIONS[kind]
    task, params = reference_of(loss)
    direct = start(params, weights_only(compression, params_of(task.module)))
    l_step = LearningStep(task, Optimization(2, 0.01), decay=0.98)
    end = last(run(direct, l_step, Adaptive(0.05, steps=28, growth=1.3, tolerance=1e-3)))
    reference, before, after = (training_loss(task, p) for p in (params, direct.params, end.params))
    assert before > reference
    assert after < before - 0.1 * (before - reference)
    assert end.progress.gap < 0.05
