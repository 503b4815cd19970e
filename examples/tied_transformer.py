"""A small transformer whose embedding is its output layer, too: a batch is a dict, the loss is of every position.

python examples/tied_transformer.py
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import laconic

TEXT = "the quick brown fox jumps over the lazy dog and the lazy dog sleeps on. " * 40
LETTERS = sorted(set(TEXT))


class Letters(nn.Module):
    """One layer of attention that sees what came before; logits (samples, positions, letters)."""

    def __init__(self, width: int = 16, length: int = 24) -> None:
        super().__init__()
        self.letters, self.places = nn.Embedding(len(LETTERS), width), nn.Embedding(length, width)
        self.block = nn.TransformerEncoderLayer(width, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(width, len(LETTERS), bias=False)
        self.head.weight = self.letters.weight

    def forward(self, letters: Tensor) -> Tensor:
        length = letters.shape[1]
        hidden = self.letters(letters) + self.places.weight[:length]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return self.head(self.block(hidden, src_mask=mask, is_causal=True))


def batches() -> Iterator[dict[str, Tensor]]:
    """Yield batches of pieces of the text, each with the letters that come next; their order is the seed's."""
    text = torch.tensor([LETTERS.index(letter) for letter in TEXT])
    for starts in torch.randint(0, len(text) - 25, (10, 16)):
        pieces = torch.stack([text[start : start + 25] for start in starts])
        yield {"letters": pieces[:, :-1], "targets": pieces[:, 1:]}


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of the letters that come next."""
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


torch.manual_seed(0)
net = Letters()
optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
for _ in range(15):
    for batch in batches():
        optimizer.zero_grad()
        loss(net(batch["letters"]), batch["targets"]).backward()
        optimizer.step()

task = laconic.Task(net, train=batches, test=batches, loss=loss)
small = laconic.compress(net, bits=6)
with tempfile.TemporaryDirectory() as folder:
    back = laconic.load(small.save(Path(folder) / "letters.lac"), Letters())
assert back.head.weight is back.letters.weight, "it is one tensor in the file, and stays one"

before, after = task.evaluate(laconic.params_of(net), "test")["loss"], small.evaluate(task)["loss"]
print(f"{small.file_bytes} bytes, loss {before:.2f} before, {after:.2f} after")
