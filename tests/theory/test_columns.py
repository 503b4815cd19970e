"""Columns against what layers write, recurrences against a loop over steps, moments against sums."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from toys import DOUBLE, generator, normal, seeded_module

from laconic.errors import DataError, PlanError
from laconic.theory.importance.columns import columns_of, frequencies, obstacle
from laconic.theory.importance.moments import Moments

CONVOLUTIONS = [
    {"kernel_size": 3},
    {"kernel_size": 2, "stride": 2, "padding": 1, "bias": False},
    {"kernel_size": 3, "padding": "same", "dilation": 2, "groups": 2},
    {"kernel_size": 2, "padding": "same", "groups": 4},
    {"kernel_size": 3, "padding": 1, "padding_mode": "reflect", "stride": 2},
    {"kernel_size": 2, "padding": 2, "padding_mode": "circular", "groups": 2},
    {"kernel_size": 3, "padding": "same", "padding_mode": "replicate"},
    {"kernel_size": 2, "padding": "valid", "dilation": 2, "stride": 3},
]


def multiplied(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What a layer writes, by its columns: (rows, outputs)."""
    columns = columns_of(layer, "weight", (inputs,))
    weight = layer.weight.reshape(len(columns), -1, columns.shape[-1])
    written = (columns @ weight.transpose(1, 2)).transpose(0, 1).flatten(1)
    return written if layer.bias is None else written + layer.bias


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("how", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_convolution_is_its_weight_times_its_columns(axes, how):
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    layer = seeded_module(lambda: kind(4, 8, **how)).double()
    inputs = normal(3, 4, *(7, 6, 5)[:axes])
    for given in (inputs, inputs[0]):  # with samples, and one alone
        written = layer(given).view(-1, *layer(given).shape[-1 - axes :])
        torch.testing.assert_close(multiplied(layer, given), written.movedim(1, -1).flatten(0, -2))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (3, 2, 5, 4)])
def test_a_linear_layer_is_its_weight_times_its_columns(shape):
    layer = seeded_module(lambda: nn.Linear(4, 3)).double()
    torch.testing.assert_close(multiplied(layer, normal(*shape)), layer(normal(*shape)).reshape(-1, 3))


def step(layer: nn.Module, read: Tensor, states: tuple[Tensor, ...], leaves: list[str]) -> tuple[Tensor, ...]:
    """One step of a recurrence as the manual of torch prints it."""
    ih, hh = (dict(layer.named_parameters())[leaf] for leaf in leaves[:2])
    from_read, from_hidden = read @ ih.T, states[0] @ hh.T
    if len(leaves) == 4:
        from_read, from_hidden = (
            part + getattr(layer, leaf) for part, leaf in ((from_read, leaves[2]), (from_hidden, leaves[3]))
        )
    if isinstance(layer, nn.LSTM | nn.LSTMCell):
        i, f, g, o = (from_read + from_hidden).chunk(4, -1)
        cell = f.sigmoid() * states[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell
    if isinstance(layer, nn.GRU | nn.GRUCell):
        (r, z, n), (hr, hz, hn) = from_read.chunk(3, -1), from_hidden.chunk(3, -1)
        new = (n + (r + hr).sigmoid() * hn).tanh()
        return (((1 - (z + hz).sigmoid()) * new + (z + hz).sigmoid() * states[0]),)
    return ((from_read + from_hidden).relu() if layer.nonlinearity == "relu" else (from_read + from_hidden).tanh(),)


def looped(layer: nn.RNNBase, read: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs (samples, steps, units), and columns (samples · steps, ·) by leaf: one step after the other."""
    met: dict[str, Tensor] = {}
    ways = 1 + layer.bidirectional
    for level in range(layer.num_layers):
        written = []
        for way in range(ways):
            suffix = f"_l{level}" + "_reverse" * way
            leaves = [f"{kind}{suffix}" for kind in ("weight_ih", "weight_hh", *["bias_ih", "bias_hh"] * layer.bias)]
            before, after = torch.empty(*read.shape[:2], layer.hidden_size, dtype=DOUBLE), []
            for n in range(len(read)):
                state = tuple(part[level * ways + way, n] for part in states)
                steps = range(read.shape[1])
                rows: dict[int, Tensor] = {}
                for t in reversed(steps) if way else steps:
                    before[n, t] = state[0]
                    state = step(layer, read[n, t], state, leaves)
                    rows[t] = state[0]
                after.append(torch.stack([rows[t] for t in steps]))
            met[leaves[0]], met[leaves[1]] = read.flatten(0, 1), before.flatten(0, 1)
            written.append(torch.stack(after))
        read = torch.cat(written, -1)
    return read, met


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"num_layers": 3, "bias": False, "batch_first": True},
        {"num_layers": 2, "bidirectional": True, "batch_first": True},
        {"bidirectional": True, "bias": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@torch.no_grad()
def test_columns_of_a_recurrent_layer_are_those_of_a_loop(kind, how, start):
    more = {"nonlinearity": "relu"} if kind is nn.RNN and how else {}
    layer = seeded_module(lambda: kind(3, 4, **how, **more)).double()
    read = normal(2, 5, 3)
    count = layer.num_layers * (1 + layer.bidirectional)
    states = tuple(start * normal(count, 2, 4, seed=seed) for seed in range(1 + (kind is nn.LSTM)))
    outputs, met = looped(layer, read, states)
    given = read if layer.batch_first else read.transpose(0, 1)
    first = (states if kind is nn.LSTM else states[0],) if start else ()
    written = layer(given, *first)[0]
    torch.testing.assert_close(outputs, written if layer.batch_first else written.transpose(0, 1))
    for leaf, columns in met.items():
        torch.testing.assert_close(columns_of(layer, leaf, (given, *first))[0], columns)
    alone = tuple(part[:, 1] for part in states)
    first = (alone if kind is nn.LSTM else alone[0],) if start else ()
    for leaf, columns in met.items():
        torch.testing.assert_close(columns_of(layer, leaf, (read[1], *first))[0], columns.view(2, 5, -1)[1])
    other = {leaf: 2 * tensor for leaf, tensor in layer.named_parameters()}
    before = columns_of(layer, f"weight_hh_l{layer.num_layers - 1}", (given, *first[:0]), other)
    for leaf, tensor in layer.named_parameters():
        tensor.copy_(other[leaf])
    torch.testing.assert_close(before, columns_of(layer, f"weight_hh_l{layer.num_layers - 1}", (given,)))


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
@torch.no_grad()
def test_columns_of_a_cell_make_what_it_writes(kind, start):
    cell = seeded_module(lambda: kind(3, 4)).double()
    states = (normal(2, 4), normal(2, 4, seed=1)) if kind is nn.LSTMCell else (normal(2, 4),)
    given = (normal(2, 3), *([states if kind is nn.LSTMCell else states[0]] if start else []))
    read, hidden = (columns_of(cell, leaf, given)[0] for leaf in ("weight_ih", "weight_hh"))
    others = states[1:] if start else tuple(torch.zeros_like(part) for part in states[1:])
    written = step(cell, read, (hidden, *others), ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
    expected = cell(*given)
    torch.testing.assert_close(written[0], expected[0] if kind is nn.LSTMCell else expected)


def test_an_embedding_counts_what_columns_of_one_would_add_up_to():
    layer, indices = nn.Embedding(5, 2, padding_idx=0), torch.tensor([[1, 4, 1], [0, 1, 3]])
    hot = nn.functional.one_hot(indices.flatten(), 5).double()
    assert torch.equal(frequencies(layer, (indices,)).diag(), hot.T @ hot)
    with pytest.raises(DataError, match="frequencies"):
        columns_of(layer, "weight", (indices,))


class Own(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return 2 * super().forward(inputs)


PACKED = pack_padded_sequence(torch.zeros(2, 3, 4), torch.tensor([3, 2]), batch_first=True)


@pytest.mark.parametrize(
    ("layer", "leaf", "inputs", "why"),
    [
        (nn.ConvTranspose2d(2, 2, 3), "weight", (), "overlap"),
        (nn.MultiheadAttention(4, 2), "in_proj_weight", (), "within"),
        (nn.Bilinear(2, 2, 2), "weight", (), "two inputs"),
        (nn.LSTM(4, 4, proj_size=2), "weight_hr_l0", (), "makes its weight"),
        (nn.LSTM(4, 4, proj_size=2), "weight_ih_l0", (), "proj_size"),
        (nn.GRU(4, 4), "weight_ih_l0", (PACKED,), "packed"),
        (nn.Embedding(3, 2, max_norm=1.0), "weight", (), "max_norm"),
        (Own(2, 2), "weight", (), "forward of its own"),
        (nn.LayerNorm((2, 2)), "weight", (), "nothing is known of what LayerNorm"),
    ],
)
def test_what_has_no_columns_has_a_reason(layer, leaf, inputs, why):
    assert why in obstacle(layer, leaf, inputs)
    if not isinstance(layer, Own):
        with pytest.raises(DataError, match="has no columns: .*" + why):
            columns_of(layer, leaf, inputs)


# --- moments ----------------------------------------------------------------------------------------------------------


def test_moments_are_sums_over_positions_and_means_over_samples():
    x, y = normal(2, 6 * 5, 3).float(), normal(2, 6 * 5, 3, seed=1).float()
    moments = Moments()
    moments.add([x[:, :10], x[:, 10:20]], 2, [y[:, :10], y[:, 10:20]])  # two calls
    moments.add([], 1)  # a sample that does not meet the weight
    moments.add([x[:, 20:]], 3, [y[:, 20:]])
    assert (moments.samples, moments.positions) == (6, 5.0)
    assert moments.second.dtype == DOUBLE
    assert torch.equal(moments.second, moments.second.transpose(1, 2))
    for found, right in ((moments.second, x), (moments.cross, y)):
        torch.testing.assert_close(found, x.double().transpose(1, 2) @ right.double() / 6, rtol=1e-6, atol=1e-6)


def test_long_sums_keep_their_digits():
    """One more than 2²⁴ ones, which single precision cannot tell from 2²⁴."""
    moments = Moments()
    for _ in range(16):
        moments.add([torch.ones(1, 2**20, 1)], 0)
    moments.add([torch.ones(1, 1, 1)], 1)
    assert moments.second.item() == 2**24 + 1


@pytest.mark.parametrize(("rows", "samples"), [(24, 4), (23, 4)])
def test_a_draw_of_positions_has_the_expectation_of_all(rows, samples):
    x = normal(1, rows, 2) + 1
    y = x + normal(1, rows, 2, seed=1)
    whole, draws = x.transpose(1, 2) @ y / samples, []
    for seed in range(400):
        moments = Moments(positions=2, seed=seed)
        moments.add([x], samples, [y])
        draws.append(moments.cross)
    assert not torch.equal(draws[0], draws[1])
    torch.testing.assert_close(torch.stack(draws).mean(0), whole, rtol=0, atol=0.05 * float(whole.abs().max()))
    one, other = Moments(2, 7), Moments(2, 7)
    one.add([x], samples, [x])
    other.add([y], samples)
    assert torch.equal(one.second, one.cross)  # the same positions of both
    assert all(moments.positions == rows / samples for moments in (one, other))
    assert torch.equal(torch.linalg.matrix_rank(one.second), torch.tensor([2]))


def test_as_many_positions_as_there_are_is_all_of_them():
    x = normal(1, 12, 3)
    some, every = Moments(positions=3), Moments()
    for moments in (some, every):
        moments.add([x], 4)
    assert torch.equal(some.second, every.second)


def test_moments_say_what_is_wrong():
    with pytest.raises(PlanError, match="at least 1"):
        Moments(positions=0)
    moments = Moments()
    with pytest.raises(DataError, match="not been met"):
        _ = moments.second
    with pytest.raises(DataError, match=r"\(1, 4, 2\), but the others \(1, 3, 2\)"):
        moments.add([normal(1, 4, 2)], 2, [normal(1, 3, 2)])
    moments.add([normal(1, 4, 2)], 2)
    with pytest.raises(DataError, match="no others"):
        _ = moments.cross


def test_groups_have_moments_of_their_own():
    layer = seeded_module(lambda: nn.Conv1d(4, 6, 2, groups=2)).double()
    inputs = torch.randn(3, 4, 5, generator=generator(0), dtype=DOUBLE)
    moments = Moments()
    moments.add([columns_of(layer, "weight", (inputs,))], 3)
    total = torch.zeros(2, 4, 4, dtype=DOUBLE)
    for n, group, place in itertools.product(range(3), range(2), range(4)):
        patch = inputs[n, 2 * group : 2 * group + 2, place : place + 2].flatten()
        total[group] += patch.outer(patch) / 3
    torch.testing.assert_close(moments.second, total)
