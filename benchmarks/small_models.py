"""Small published networks that are no images' ResNets: how they run, what they are calibrated on and measured by."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint

CHUNK, SKIPPED = 512, 64
"""Characters of a chunk of text, which starts from a state of zeros, and those at its start that are not counted."""


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """A network with its samples.

    Args:
        module: with its published weights.
        batches: to calibrate on.
        outputs: (module) → rows of logits on the test samples, and their targets.
        unit: of the loss.
    """

    module: nn.Module
    batches: list[Tensor] | list[tuple[Tensor, Tensor]]
    outputs: Callable[[nn.Module], tuple[Tensor, Tensor]]
    unit: str


@final
class CharacterLSTM(nn.Module):
    """Two layers of 128 units over characters (ml5's Shakespeare network)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(65, 128)
        self.lstm = nn.LSTM(128, 128, 2, batch_first=True)
        self.decoder = nn.Linear(128, 65)

    def forward(self, characters: Tensor) -> dict[str, Tensor]:
        """Return the logits of the characters that follow."""
        return {"logits": self.decoder(self.lstm(self.embedding(characters))[0])}


@final
class Attention(nn.Module):
    """Grouped attention with rotary positions on adjacent pairs."""

    def __init__(self, width: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads, self.groups, size = heads, groups, width // heads
        self.wq, self.wo = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.wk, self.wv = (nn.Linear(width, groups * size, bias=False) for _ in range(2))

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """Return what each position gathers of those before it."""
        q, k, v = (part(x).unflatten(-1, (-1, x.shape[-1] // self.heads)).transpose(1, 2)
                   for part in (self.wq, self.wk, self.wv))  # fmt: skip
        q, k = (torch.view_as_real(torch.view_as_complex(part.unflatten(-1, (-1, 2))) * angles).flatten(-2)
                for part in (q, k))  # fmt: skip
        k, v = (part.repeat_interleave(self.heads // self.groups, 1) for part in (k, v))
        return torch.as_tensor(
            self.wo(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        )


@final
class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1, self.w3 = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.w2 = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return w₂ (silu(w₁ x) · w₃ x)."""
        return torch.as_tensor(self.w2(F.silu(self.w1(x)) * self.w3(x)))


@final
class Block(nn.Module):
    """One layer of a Llama."""

    def __init__(self, config: dict[str, float]) -> None:
        super().__init__()
        width, eps = int(config["dim"]), config["norm_eps"]
        self.attention = Attention(width, int(config["n_heads"]), int(config["n_kv_heads"]))
        self.feed_forward = FeedForward(width, int(config["hidden_dim"]))
        self.attention_norm, self.ffn_norm = (nn.RMSNorm(width, eps) for _ in range(2))

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """Return the layer's output."""
        x = x + self.attention(self.attention_norm(x), angles)
        return torch.as_tensor(x + self.feed_forward(self.ffn_norm(x)))


@final
class Llama(nn.Module):
    """A Llama whose output layer is its embedding (llama2.c's stories260K)."""

    def __init__(self, config: dict[str, float]) -> None:
        super().__init__()
        width, words = int(config["dim"]), int(config["vocab_size"])
        self.tok_embeddings = nn.Embedding(words, width)
        self.layers = nn.ModuleList(Block(config) for _ in range(int(config["n_layers"])))
        self.norm = nn.RMSNorm(width, config["norm_eps"])
        self.output = nn.Linear(width, words, bias=False)
        self.output.weight = self.tok_embeddings.weight
        size = width // int(config["n_heads"])
        self.rates = config["rope_theta"] ** (-torch.arange(0, size, 2) / size)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Return the logits of the tokens that follow."""
        angles = torch.outer(torch.arange(tokens.shape[1]), self.rates)
        x, turns = self.tok_embeddings(tokens), torch.polar(torch.ones_like(angles), angles)
        for layer in self.layers:
            x = layer(x, turns)
        return {"logits": self.output(self.norm(x))}


def lenet5(folder: Path) -> Subject:
    """Return LeNet-5, calibrated on 1,280 training images, measured on all test images."""
    module = nets.build("lenet5").eval()
    module.load_state_dict(dict(load_checkpoint(folder / "models" / "lenet5_mnist.safetensors")[0]))
    images = data.load("mnist", folder, nets.preprocessing_of("lenet5", "mnist"))
    (inputs, targets), test = images.split("train"), images.split("test")
    batches = list(zip(inputs[:1280].split(64), targets[:1280].split(64), strict=True))
    return Subject(module, batches, lambda net: (net(test[0]), test[1]), "nats an image")


def lstm(folder: Path) -> Subject:
    """Return the character LSTM, calibrated on the first 200,000 characters, measured on the last 111,540."""
    numbers = json.loads((folder / "lm" / "shakespeare_lstm_vocab.json").read_text(encoding="utf-8"))
    text = (folder / "lm" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    indices = torch.tensor([numbers[character] for character in text])
    module = CharacterLSTM().eval()
    module.load_state_dict(dict(load_checkpoint(folder / "lm" / "shakespeare_lstm.safetensors")[0]))
    chunks = indices[: 200_000 // CHUNK * CHUNK].view(-1, CHUNK)
    test = indices[-111_540:]
    test = test[: (len(test) - 1) // CHUNK * CHUNK + 1]
    inputs, targets = test[:-1].view(-1, CHUNK), test[1:].view(-1, CHUNK)

    def outputs(net: nn.Module) -> tuple[Tensor, Tensor]:
        return net(inputs)["logits"][:, SKIPPED:].flatten(0, 1), targets[:, SKIPPED:].flatten()

    return Subject(module, list(chunks.split(32)), outputs, "nats a character")


def stories(folder: Path) -> Subject:
    """Return stories260K, calibrated on the first 104 stories, measured on the last 105."""
    config = json.loads((folder / "lm" / "stories260K.json").read_text(encoding="utf-8"))
    module = Llama(config).eval()
    own = dict(load_checkpoint(folder / "lm" / "stories260K.safetensors")[0])
    module.load_state_dict({**own, "output.weight": own["tok_embeddings.weight"]})
    tokens = np.load(folder / "lm" / "tinystories_tokens.npy").astype(np.int64)
    each = [torch.from_numpy(story)[None, :512] for story in np.split(tokens, np.flatnonzero(tokens == 1)[1:])]
    assert len(each) == 209, "as the page of the data says"

    def outputs(net: nn.Module) -> tuple[Tensor, Tensor]:
        logits = [net(story[:, :-1])["logits"][0] for story in each[104:]]
        return torch.cat(logits), torch.cat([story[0, 1:] for story in each[104:]])

    return Subject(module, [story[:, :-1] for story in each[:104]], outputs, "nats a token")


SUBJECTS: dict[str, Callable[[Path], Subject]] = {"lenet5": lenet5, "lstm": lstm, "stories260K": stories}
"""By name: folder of the data → network."""


def bits_at(curve: list[tuple[float, float]], kl: float) -> float | None:
    """Return the bits at which a curve (bits, KL) has this KL, straight between points in log KL; None outside.

    >>> bits_at([(1, 0.1), (2, 0.001)], 0.01)
    1.5
    """
    points = sorted(curve)
    for (low, high_kl), (high, low_kl) in pairwise(points):
        if low_kl <= kl <= high_kl:
            share = math.log(high_kl / kl) / math.log(high_kl / low_kl) if high_kl > low_kl else 0.0
            return low + share * (high - low)
    return None
