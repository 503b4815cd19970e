"""What says which layers are removed, and by how much the others are shrunk: recurrent networks over layers' rows.

Removal: a bidirectional LSTM over all rows gives each the probability of staying,

    π(a_t | h→_t, h←_t, x_t),   a_t ∈ {removed, kept}

Shrinkage: an autoregressive LSTM, which reads beside each row what it said to the one before,

    π(a_t | a_{t−1}, h_{t−1}, x_t),   a_t ∈ {0.1, 0.2, ..., 1}

Two layers of 30 units each. A row x_t is kind, kernel, stride, outputs, padding, and the places from the start and to
the end of its residual block; outputs are a logarithm here, for numbers of hundreds saturate a cell.

Source: Ashok et al. 2018 (see `laconic.teachers.students.architecture`), section 3.2; numbers of units and layers are
those of the authors' code. `Uniform` is what random search draws from.
"""

import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from laconic.teachers.students.architecture import KINDS, Layer

SHARES = tuple(tenth / 10 for tenth in range(1, 11))
"""Of a row's outputs, by the number of the action."""

_FEATURES, _UNITS, _LAYERS = 7, 30, 2

Logits = Float[Tensor, " actions"]
Choose = Callable[[Logits], Tensor]
"""Logits of a row's actions → the number of one, 0-d."""


def features(rows: Sequence[Layer]) -> Float[Tensor, "rows features"]:
    """Return what a policy reads of the rows, float32."""
    blocks: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        blocks.setdefault(row.block, []).append(place)
    table = []
    for place, row in enumerate(rows):
        start, end = (place - blocks[row.block][0] + 1, blocks[row.block][-1] - place + 1) if row.block else (0, 0)
        width = math.log2(1 + row.outputs)
        table.append([KINDS.index(row.kind), row.kernel, row.stride, width, row.padding, start, end])
    return torch.tensor(table, dtype=torch.float32)


@final
class Removal(nn.Module):
    """Keeps (1) or removes (0) each row."""

    actions = 2

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_FEATURES, _UNITS, _LAYERS, bidirectional=True)
        self.head = nn.Linear(2 * _UNITS, self.actions)

    def forward(self, rows: Float[Tensor, "rows features"], choose: Choose) -> tuple[Int[Tensor, " rows"], Tensor]:
        """Return the actions, and the logits of each row's, shape (rows, actions)."""
        logits = self.head(self.lstm(rows)[0])
        return torch.stack([choose(row) for row in logits]), logits


@final
class Shrinkage(nn.Module):
    """Gives each row the number of one of `SHARES`."""

    actions = len(SHARES)

    def __init__(self) -> None:
        super().__init__()
        sizes = (_FEATURES + 1, *[_UNITS] * _LAYERS)
        self.cells = nn.ModuleList(nn.LSTMCell(size, _UNITS) for size in sizes[:-1])
        self.head = nn.Linear(_UNITS, self.actions)

    def forward(self, rows: Float[Tensor, "rows features"], choose: Choose) -> tuple[Int[Tensor, " rows"], Tensor]:
        """Return the actions, and the logits of each row's, shape (rows, actions)."""
        states = [(rows.new_zeros(_UNITS), rows.new_zeros(_UNITS)) for _ in self.cells]
        said, chosen, logits = rows.new_ones(1), list[Tensor](), list[Tensor]()
        for row in rows:
            hidden = torch.cat([row, said])
            for number, cell in enumerate(self.cells):
                states[number] = cell(hidden, states[number])
                hidden = states[number][0]
            logits.append(self.head(hidden))
            chosen.append(choose(logits[-1]))
            said = rows.new_tensor([SHARES[int(chosen[-1])]])
        return torch.stack(chosen), torch.stack(logits)


@final
class Uniform(nn.Module):
    """Any action of any row, each as likely as the others.

    Args:
        actions: that there are for a row.
    """

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.actions = actions

    def forward(self, rows: Float[Tensor, "rows features"], choose: Choose) -> tuple[Int[Tensor, " rows"], Tensor]:
        """Return the actions, and the logits of each row's, shape (rows, actions)."""
        logits = rows.new_zeros(len(rows), self.actions)
        return torch.stack([choose(row) for row in logits]), logits


Policy = Removal | Shrinkage | Uniform


def initialized(policy: Policy, seed: int) -> Policy:
    """Draw a policy's weights as torch does, from ±1/√units, by a generator of ``seed``, in place, and return it."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in policy.parameters():
        nn.init.uniform_(parameter, -1 / math.sqrt(_UNITS), 1 / math.sqrt(_UNITS), generator=generator)
    return policy


def drawn(policy: Policy, rows: Sequence[Layer], generator: Generator) -> tuple[int, ...]:
    """Return actions for rows, drawn from a policy."""

    def choose(logits: Tensor) -> Tensor:
        return torch.multinomial(logits.softmax(0), 1, generator=generator)[0]

    with torch.no_grad():
        return tuple(policy(features(rows), choose)[0].tolist())


def log_probability(policy: Policy, rows: Sequence[Layer], actions: Sequence[int]) -> Float[Tensor, ""]:
    """Return log π(actions | rows), with gradients by the policy's weights."""
    given = iter(actions)
    _, logits = policy(features(rows), lambda _: torch.tensor(next(given)))
    chosen = torch.tensor(actions)[:, None]
    log: Tensor = logits.log_softmax(1).gather(1, chosen).sum()
    return log
