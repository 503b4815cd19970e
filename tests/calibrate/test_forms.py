"""Weights that layers hold in other ways, positions that do not count, embeddings: what calibration makes of them."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import laconic
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.forms import form_of
from laconic.calibrate.layer import Order
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.samples import by_sample, output_rows
from laconic.calibrate.sequential import prepared
from laconic.format import container
from laconic.format.codes.scales import COLUMNS, POSITIONS, ROWS, Scales
from laconic.models.params import all_params_of
from laconic.models.ties import untied

MIXED = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(1)))[0]
X = torch.randn(250, 12, generator=torch.Generator().manual_seed(0)) * 2.0 ** -torch.arange(12) @ MIXED * 4
"""Columns that are alike, as those of networks are."""


class Turned(nn.Module):
    """A linear layer whose weight has inputs first."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.randn(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Router(nn.Module):
    """A linear layer that says more than what it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 12))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = F.linear(x, self.weight)
        shares, chosen = logits.softmax(-1).topk(2, dim=-1)
        return logits, shares, chosen


class Experts(nn.Module):
    """Gated experts, each position by some of them; nothing ever comes to the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_up_proj, self.down_proj = (nn.Parameter(torch.randn(shape)) for shape in ((5, 16, 12), (5, 12, 8)))
        self.act_fn = nn.SiLU()

    def forward(self, x: Tensor, chosen: Tensor, shares: Tensor) -> Tensor:
        told = torch.zeros_like(x)
        for expert in range(5):
            share = torch.where(chosen == expert, shares, 0.0).sum(-1, keepdim=True)
            gate, up = F.linear(x, self.gate_up_proj[expert]).chunk(2, -1)
            told = told + share * F.linear(self.act_fn(gate) * up, self.down_proj[expert])
        return told


class Mixture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.router, self.experts = Turned(12, 12), Router(), Experts()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        _, shares, chosen = self.router(x)
        return self.experts(x, chosen, shares)


class Scaled(nn.Linear):
    """A linear layer in name only."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def lost(module: nn.Module, result: laconic.Result) -> float:
    with torch.no_grad():
        before = module(X)
        after = torch.func.functional_call(module, dict(result.params), (X,))
    return float((after - before).square().sum() / (before - before.mean(0)).square().sum())


def test_a_layer_of_no_known_kind_is_known_by_what_it_writes():
    torch.manual_seed(0)
    assert form_of(Turned(12, 12), "weight", (X,)) == "turned"
    assert form_of(Router(), "weight", (X,)) == "plain"
    assert "forward of its own" in form_of(Scaled(12, 12), "weight", (X,))
    experts = Experts()
    given = X, torch.randint(4, (250, 2)), torch.rand(250, 2)
    assert form_of(experts, "down_proj", given) == "packed"
    experts.act_fn = nn.Identity()
    experts.forward = lambda *of: 2 * Experts.forward(experts, *of)
    assert "nothing is known" in form_of(experts, "down_proj", given)


def test_turned_weights_and_experts_are_calibrated_and_come_back_from_the_file():
    torch.manual_seed(0)
    module = Mixture()
    ours = laconic.compress(module, bits=4, effort="calibrate", calibration=X, quality="fast")
    plain = laconic.compress(module, size=ours.file_bytes)
    assert lost(module, ours) < 0.7 * lost(module, plain)
    told = ours.calibration
    assert told.layers == ("first.weight", "router.weight", "experts.gate_up_proj", "experts.down_proj")
    assert [note for note in told.notes if "reached experts 4 of experts." in note]
    assert ours.params["experts.down_proj"][4].count_nonzero() > 40, "rounded by what it is, not wiped out"
    read = container.loads(container.dumps(ours.codes, ours.metadata)).codes
    for name, tensor in module.named_parameters():
        assert read[name].shape == tuple(tensor.shape)
        assert np.array_equal(read[name].decompress(), ours.params[name].numpy())


@pytest.mark.parametrize("mode", [0, ROWS, COLUMNS, ROWS | COLUMNS])
def test_scales_of_a_transpose_put_the_same_weights_in_the_same_order(mode):
    rng = np.random.default_rng(mode)
    symbols = np.concatenate(
        [rng.integers(0, 9, 5 if mode & ROWS else 1), rng.integers(0, 9, 7 if mode & COLUMNS else 0)]
    )
    scales, weights = Scales((5, 7), mode, symbols, 6, turned=True), rng.standard_normal((5, 7))
    other = scales.transposed()
    assert np.array_equal(scales.sorted(weights.reshape(-1)), other.sorted(np.ascontiguousarray(weights.T).reshape(-1)))
    assert np.array_equal(scales.counts(), other.counts())
    assert other.symbols.min() >= 0


@pytest.mark.parametrize(("many", "mode"), [(8, 0), (8, POSITIONS), (3, ROWS | COLUMNS | POSITIONS)])
def test_experts_are_taken_in_the_order_of_the_coder(many, mode):
    """The place of each integer in the file is that of its row and column; rows have columns in one order."""
    rng, shape = np.random.default_rng(0), (many, 4, 64)
    counts = (many if mode & ROWS else 1, 4 if mode & COLUMNS else 0, 64 if mode & POSITIONS else 0)
    scales = Scales(shape, mode, rng.integers(0, 5, sum(counts)), 6, turned=True)
    order, numbers = Order.packed(scales), np.arange(many * 256)
    placed = numbers.reshape(many * 4, 64)[np.ix_(order.rows, order.columns)]
    assert np.array_equal(placed[order.places[0], order.places[1]], scales.sorted(numbers))
    if order.apart:
        lanes = np.arange(len(numbers)) % order.lanes
        assert all(len(set(lanes[order.places[0] == row])) == 1 for row in range(many * 4))


def test_experts_are_each_rounded_for_what_they_read():
    """Those that read one direction lose less in it than by rounding to nearest with the same steps."""
    rng, how = np.random.default_rng(0), Recursion(ridge=0.0, price=0.0, water=False, damping=1e-3)
    weights = rng.standard_normal((8 * 6, 16))
    reads = (
        rng.standard_normal((8, 40, 16))
        @ np.diag([4.0] * 2 + [0.5] * 14)
        @ np.linalg.qr(rng.standard_normal((16, 16)))[0]
    )
    moments = reads.transpose(0, 2, 1) @ reads / 40
    ready = prepared(weights, moments, 0.02, how, form="packed", experts=8)
    costs = np.zeros((128, 1024), np.float32)
    errors = [weights - ready.rounded(levels).weights().reshape(48, 16)
              for levels in (ready.layer.quantized(costs, 3, 0.0, 64), ready.layer.plain())]  # fmt: skip
    felt = [
        sum(float(np.vdot(own @ sigma, own)) for own, sigma in zip(np.split(one, 8), moments, strict=True))
        for one in errors
    ]
    assert felt[0] < 0.8 * felt[1]


class Reader(nn.Module):
    """Reads tokens, and says something of each; what its mask leaves out it does not look at."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.mixed = nn.Embedding(40, 12), nn.Linear(12, 12)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> "Said":
        kept = attention_mask[..., None].float()
        read = self.words(input_ids)
        return Said(self.mixed(read + (read * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True)))


@dataclass
class Said:
    """An output that is no mapping."""

    last_hidden_state: Tensor
    other: None = None


def tokens(filled: int) -> dict[str, Tensor]:
    ids = torch.randint(40, (30, 9), generator=torch.Generator().manual_seed(1))
    ids[:, 0] = 7
    filling = torch.randint(40, (30, filled), generator=torch.Generator().manual_seed(2))
    mask = torch.cat([torch.ones_like(ids), torch.zeros_like(filling)], 1)
    return {"input_ids": torch.cat([ids, filling], 1), "attention_mask": mask}


def test_padding_counts_for_nothing():
    torch.manual_seed(0)
    module = Reader()
    params = all_params_of(module)
    plain, padded = (Calibration.of(module, [tokens(filled)]) for filled in (0, 4))
    for one, other in zip(*([*of.moments(params).values()] for of in (plain, padded)), strict=True):
        torch.testing.assert_close(one.second, other.second)
    assert torch.equal(*(of.frequencies(params, "words.weight") for of in (plain, padded)))
    torch.testing.assert_close(*(of.outputs(params, of.unseen[0]) for of in (plain, padded)))
    for law in ("outputs", "weights"):
        one, other = (of.sensitivities(params, by=law).rows for of in (plain, padded))
        for name in one:
            torch.testing.assert_close(one[name], other[name])


def test_rows_of_a_mask_add_up_to_their_samples():
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    rows, kind = output_rows({"logits": torch.arange(12.0).view(2, 3, 2)}, None, mask.bool())
    assert (kind, rows[:, 0].tolist()) == ("classification", [0.0, 2.0, 6.0, 8.0, 10.0])
    assert by_sample(rows[:, 0], {"input_ids": mask, "attention_mask": mask}).tolist() == [2.0, 24.0]


def test_words_that_are_read_more_often_have_finer_steps():
    torch.manual_seed(0)
    module = Reader()
    calibration = Calibration.of(module, [tokens(0)])
    ready = Ready.of(untied(all_params_of(module), module), calibration)
    words = next(one for one in ready.network.subjects if one.name == "words.weight")
    steps = words.rows.steps(40)
    assert steps[7] == steps.min() < np.median(steps)
    apart = Ready.of(untied(all_params_of(module), module), calibration, rows=False).network.subjects[0]
    assert words.mean_worth == pytest.approx(apart.mean_worth), "what they are worth in the mean is the same"
