"""What a step for each tensor does to a network: how far its outputs move, by rules for the steps, at equal bits.

    python benchmarks/steps.py --data FOLDER [--bits 2,3,4] [--quality default] [-o FILE.json]

FOLDER has `models/`, `lm/`, `mnist/` and `cifar10/`: the published networks of the tests. Printed is, for each network
and rule, the mean KL of the outputs to those of the uncompressed network, in thousandths of a nat: of 500 test images,
of 8 stories, of 16 stretches of 256 characters. The last network is LeNet-5 with its first full layer times 30 and the
last over 30, which is the same function. A regret is how many times a KL is that of the network's best rule at these
bits; printed for each rule are the largest and the geometric mean over the published networks, as they are. With
``--outliers`` printed is instead how many dB any tensor loses within the same budget when one weight of the first, the
middle or the last tensor is 10³, 10⁶ or 10³⁰ times as large, and how far the two files differ in size. Beside it is
what a smaller budget does without any outlier: one of as many bytes as the file has, of which a search aims at 99.8 %.
With ``--set`` rules are those of the package and with one constant of the search changed.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import final

import numpy as np
import record
import torch
from record import say
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.params import Params, decompress, to_numpy
from laconic.quantize.budget import QUALITIES, TUNED, Budget, Fitted, Tuning, fit

NONE = replace(TUNED, lowest=-math.inf, below=math.inf)
RULES: Mapping[str, Tuning] = {
    "equal": NONE,
    "power 1/4": replace(NONE, power=0.25),
    "power 1/2": replace(NONE, power=0.5),
    "equal relative": replace(NONE, power=1.0),
    "floor 10 dB below": replace(TUNED, below=10.0),
    "floor 8 dB below": TUNED,
    "floor 6 dB below": replace(TUNED, below=6.0),
    "floor 3 dB below": replace(TUNED, below=3.0),
}

RESCALED = "LeNet-5, rescaled"
IMAGES, STORIES, STRETCHES, LENGTH, WARM = 500, 8, 16, 256, 64


@final
@dataclass(frozen=True)
class Subject:
    """A network with something to read.

    Args:
        params: its weights by name.
        outputs: gives the logits, shape (places, classes), for weights by name.
    """

    params: Params
    outputs: Callable[[Params], Tensor]


def images(name: str, file: str, source: str, folder: Path) -> Subject:
    """Return a network of the zoo with test images."""
    params, _ = load_checkpoint(folder / "models" / file)
    dataset = data.load(source, folder, nets.preprocessing_of(name, source))
    module = nets.build(name, dataset.shape, dataset.classes, 0).eval()
    inputs = dataset.split("test")[0][:IMAGES]
    return Subject(params, lambda given: functional_call(module, dict(given), (inputs,)))


def rescaled(folder: Path, factor: float = 30.0) -> Subject:
    """Return LeNet-5 with a layer so many times larger and the next so many times smaller."""
    plain = images("lenet5", "lenet5_mnist.safetensors", "mnist", folder)
    times = {"fc1.weight": factor, "fc1.bias": factor, "fc2.weight": 1 / factor}
    return replace(plain, params={name: tensor * times.get(name, 1.0) for name, tensor in plain.params.items()})


def characters(folder: Path) -> Subject:
    """Return the LSTM with stretches of the end of its text; the first characters of each are not counted."""
    params, _ = load_checkpoint(folder / "lm" / "shakespeare_lstm.safetensors")
    places = json.loads((folder / "lm" / "shakespeare_lstm_vocab.json").read_text())
    text = [places[letter] for letter in (folder / "lm" / "tinyshakespeare.txt").read_text()]
    inputs = torch.tensor(text[-STRETCHES * LENGTH :]).view(STRETCHES, LENGTH)
    lstm = nn.LSTM(128, 128, 2, batch_first=True)

    def outputs(given: Params) -> Tensor:
        own = {name.removeprefix("lstm."): tensor for name, tensor in given.items() if name.startswith("lstm.")}
        hidden, _ = functional_call(lstm, own, (given["embedding.weight"][inputs],))
        logits = functional.linear(hidden[:, WARM:], given["decoder.weight"], given["decoder.bias"])
        return logits.reshape(-1, logits.shape[-1])

    return Subject(params, outputs)


def stories(folder: Path) -> Subject:
    """Return the language model with a few stories, each cut at 256 tokens."""
    params, _ = load_checkpoint(folder / "lm" / "stories260K.safetensors")
    tokens = np.load(folder / "lm" / "tinystories_tokens.npy").astype(np.int64)
    starts = np.flatnonzero(tokens == 1)[: STORIES + 1]
    texts = [torch.from_numpy(tokens[a : min(b, a + LENGTH)]) for a, b in pairwise(starts)]
    return Subject(params, lambda given: torch.cat([_read(given, text) for text in texts]))


def _read(w: Params, text: Tensor, heads: int = 8, groups: int = 4) -> Tensor:
    """Return the logits after each token of one text: a Llama of 5 layers, 8 heads and 4 of keys and values."""
    x = w["tok_embeddings.weight"][text]
    size = x.shape[1] // heads
    angles = torch.outer(torch.arange(len(text)), 10000.0 ** -(torch.arange(0, size, 2) / size))
    turn = torch.polar(torch.ones_like(angles), angles)[:, None]

    def normed(x: Tensor, name: str) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * w[name]

    def turned(x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turn).flatten(-2)

    for layer in range(5):
        at, ff = f"layers.{layer}.attention.", f"layers.{layer}.feed_forward."
        h = normed(x, f"layers.{layer}.attention_norm.weight")
        q = turned((h @ w[f"{at}wq.weight"].T).view(-1, heads, size))
        k = turned((h @ w[f"{at}wk.weight"].T).view(-1, groups, size)).repeat_interleave(heads // groups, 1)
        v = (h @ w[f"{at}wv.weight"].T).view(-1, groups, size).repeat_interleave(heads // groups, 1)
        mixed = functional.scaled_dot_product_attention(*(part.transpose(0, 1) for part in (q, k, v)), is_causal=True)
        x = x + mixed.transpose(0, 1).flatten(1) @ w[f"{at}wo.weight"].T
        h = normed(x, f"layers.{layer}.ffn_norm.weight")
        gated = functional.silu(h @ w[f"{ff}w1.weight"].T) * (h @ w[f"{ff}w3.weight"].T)
        x = x + gated @ w[f"{ff}w2.weight"].T
    return normed(x, "norm.weight") @ w["tok_embeddings.weight"].T


SUBJECTS: Mapping[str, Callable[[Path], Subject]] = {
    "ResNet-20": partial(images, "resnet20", "resnet20_cifar10.safetensors", "cifar10"),
    "ResNet-32": partial(images, "resnet32", "resnet32_cifar10.safetensors", "cifar10"),
    "LeNet-300-100": partial(images, "lenet300-tanh", "lenet300_mnist.safetensors", "mnist"),
    "LeNet-5": partial(images, "lenet5", "lenet5_mnist.safetensors", "mnist"),
    "stories260K": stories,
    "LSTM": characters,
    RESCALED: rescaled,
}


def measured(subject: Subject, bits: float, quality: str, tuning: Tuning) -> tuple[float, float]:
    """Return the mean KL of the outputs, in nats, and the least dB of a tensor."""
    arrays = {name: to_numpy(tensor) for name, tensor in subject.params.items()}
    fitted = fit(arrays, Budget(bits=bits), QUALITIES[quality], threads=1, tuning=tuning)
    with torch.inference_mode():
        true, other = (subject.outputs(w).double().log_softmax(-1) for w in (subject.params, decompress(fitted.codes)))
    kl = functional.kl_div(other, true, reduction="batchmean", log_target=True)
    return float(kl), min(signal.snr for signal in fitted.signals.values())


@final
@dataclass(frozen=True)
class Cost:
    """What one gigantic weight costs a network.

    Args:
        most: dB that any tensor loses; its own figure is that of its other weights.
        apart: how far the files differ in size, in % of the plain one, at most.
        smaller: dB that any tensor loses, without the weight, where the plain file's bytes are the budget.
    """

    most: float
    apart: float
    smaller: float


def cost_of_outliers(subject: Subject, bits: float, quality: str) -> Cost:
    """Return what one gigantic weight costs."""
    arrays = {name: to_numpy(tensor) for name, tensor in subject.params.items()}

    def within(budget: Budget, **changed: np.ndarray) -> Fitted:
        return fit({**arrays, **changed}, budget, QUALITIES[quality], threads=1)

    def lost(fitted: Fitted) -> float:
        return max(plain.signals[name].snr - signal.snr for name, signal in fitted.signals.items())

    plain = within(Budget(bits=bits))
    matrices = [name for name, array in arrays.items() if array.ndim >= 2]
    most = apart = 0.0
    for name in (matrices[0], matrices[len(matrices) // 2], matrices[-1]):
        for factor in (1e3, 1e6, 1e30):
            large = arrays[name].copy()
            large.reshape(-1)[large.size // 2] = factor * np.abs(large).max()
            fitted = within(Budget(bits=bits), **{name: large})
            most = max(most, lost(fitted))
            apart = max(apart, abs(100 * (fitted.file_bytes / plain.file_bytes - 1)))
    return Cost(most, apart, lost(within(Budget(size=plain.file_bytes))))


def table(figures: Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]]) -> str:
    """Return the figures, by network, bits and rule, as a Markdown table, with the regrets of each rule."""
    rules = list(next(iter(next(iter(figures.values())).values())))
    lines = [f"| network | bits | {' | '.join(rules)} |", "|---|---:|" + "---:|" * len(rules)]
    regrets: dict[str, list[float]] = {rule: [] for rule in rules}
    for name, by_bits in figures.items():
        for bits, by_rule in by_bits.items():
            best = min(kl for kl, _ in by_rule.values())
            lines.append(f"| {name} | {bits} | " + " | ".join(f"{1e3 * by_rule[r][0]:.3g}" for r in rules) + " |")
            for rule in rules if name != RESCALED else ():
                regrets[rule].append(by_rule[rule][0] / best)
    lines.append("| largest regret | | " + " | ".join(f"{max(regrets[r]):.2f}" for r in rules) + " |")
    means = (math.exp(sum(map(math.log, regrets[r])) / len(regrets[r])) for r in rules)
    return "\n".join([*lines, "| mean regret | | " + " | ".join(f"{mean:.3f}" for mean in means) + " |"])


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of networks and data")
    parser.add_argument("--bits", default="2,3,4", help="bits a weight, separated by commas")
    parser.add_argument("--quality", default="default", choices=[*QUALITIES])
    parser.add_argument("--outliers", action="store_true", help="what one gigantic weight costs, in place of rules")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="another value of a constant, for a rule")
    parser.add_argument("-o", "--output", type=Path, help="a file for the figures")
    args = parser.parse_args()
    if args.outliers:
        for name, make in SUBJECTS.items():
            for bits in args.bits.split(","):
                cost = cost_of_outliers(make(args.data), float(bits), args.quality)
                print(
                    f"{name}, {bits} bits: at most {cost.most:.2f} dB, sizes within {cost.apart:.2f} %; "
                    f"the plain file's bytes as the budget, without an outlier: {cost.smaller:.2f} dB",
                    flush=True,
                )
        return
    rules = dict(RULES)
    if args.set:
        pairs = [change.split("=") for change in args.set]
        rules = {
            "as it is": TUNED,
            **{f"{name} {value}": replace(TUNED, **{name: int(value)}) for name, value in pairs},
        }
    figures: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for name, make in SUBJECTS.items():
        subject = make(args.data)
        for bits in args.bits.split(","):
            found = {rule: measured(subject, float(bits), args.quality, tuning) for rule, tuning in rules.items()}
            figures.setdefault(name, {})[bits] = found
            say(f"{name}, {bits} bits: " + ", ".join(f"{r} {kl:.4g} ({db:.1f} dB)" for r, (kl, db) in found.items()))
    print(table(figures))
    if args.output:
        record.save(args.output, figures)


if __name__ == "__main__":
    main()
