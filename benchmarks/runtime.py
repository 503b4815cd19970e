"""Time of compressed networks where they run, beside what they were: graphs in onnxruntime, modules in torch.

    python benchmarks/runtime.py [--threads 2] [--seconds 4] [-o recipes/runtime.json]

Weights are random: times do not depend on them. The two of a row are called by turns; times are medians, the ratio is
the median of the ratios of the turns, and above 1 what was compressed is faster.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import record
import torch
from torch import nn

import laconic
from laconic.deploy.calls import Call
from laconic.deploy.graph import graph_of
from laconic.deploy.modules import stored
from laconic.deploy.precision import in_integers
from laconic.deploy.session import Session
from laconic.deploy.timing import timed
from laconic.models import nets
from laconic.models.counting import counted
from laconic.models.nets.resnet import BatchNorm, Block, ResNet

Pair = tuple[str, str, str, int, Callable[[], object], Callable[[], object], dict[str, Any]]
"""What is compressed, before, after, samples, a call of each, and what else is to be known."""


class Narrow(nn.Module):
    """LeNet-300-100 of which 400 inputs, 64 and 99 neurons are left.

    Args:
        gathered: the pixels that are left are taken out of whole images; else the first layer has zeros for the others.
    """

    def __init__(self, *, gathered: bool) -> None:
        super().__init__()
        self.register_buffer("kept", torch.arange(192, 592) if gathered else None)
        first = nn.Linear(400 if gathered else 784, 64)
        self.layers = nn.Sequential(first, nn.ReLU(), nn.Linear(64, 99), nn.ReLU(), nn.Linear(99, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        pixels = images.flatten(1)
        logits: torch.Tensor = self.layers(pixels if self.kept is None else pixels.index_select(1, self.kept))
        return logits


def resnet20(width: int) -> nn.Module:
    """Return ResNet-20 with ``width``, 2 · ``width`` and 4 · ``width`` channels; 16 are those of the publication."""
    net = ResNet((3, 32, 32), 10, 3)
    net.conv1, net.bn1 = nn.Conv2d(3, width, 3, padding=1, bias=False), BatchNorm(width)
    before = width
    for number, channels in enumerate((width, 2 * width, 4 * width), 1):
        first = Block(before, channels, 1 if number == 1 else 2)
        setattr(net, f"layer{number}", nn.Sequential(first, *(Block(channels, channels, 1) for _ in range(2))))
        before = channels
    net.linear = nn.Linear(before, 10)
    return net.eval()


def runner(graph: onnx.ModelProto, inputs: torch.Tensor, threads: int) -> Callable[[], object]:
    """Return a call of a graph."""
    session = Session.of(graph, threads)
    feeds = session.feeds(Call((inputs,), {}))
    return lambda: session.run(feeds)


def integers(module: nn.Module, graph: onnx.ModelProto, precision: str, inputs: torch.Tensor) -> onnx.ModelProto:
    """Return a graph in integers made for it."""
    codes = laconic.compress(module, laconic.Lossless()).codes
    return in_integers(graph, stored(module, codes), precision, [Call((inputs,), {})], requantize=True)[0]


def in_onnxruntime(threads: int, seed: int) -> Iterator[Pair]:
    """Give the pairs of graphs."""
    noise = torch.Generator().manual_seed(seed)
    shapes = (128, 3, 32, 32), (128, 1, 28, 28), (128, 1024)
    images, digits, rows = (torch.randn(shape, generator=noise) for shape in shapes)

    def graph(module: nn.Module, inputs: torch.Tensor) -> onnx.ModelProto:
        return graph_of(module.eval(), Call((inputs,), {}))

    def pairs(
        what: str,
        names: tuple[str, str],
        old: onnx.ModelProto,
        new: onnx.ModelProto,
        inputs: torch.Tensor,
        *counts: int,
    ) -> Iterator[Pair]:
        sizes = {"bytes before": old.ByteSize(), "bytes after": new.ByteSize()}
        for count in counts:
            yield what, *names, count, *(runner(one, inputs[:count], threads) for one in (old, new)), sizes

    widths, net, lenet = ("16-32-64 channels", "8-16-32 channels"), resnet20(16), nets.build("lenet300")
    full = graph(net, images)
    yield from pairs("ResNet-20", widths, full, graph(resnet20(8), images), images, 1, 32)
    yield from pairs("ResNet-20", ("float", "int8"), full, integers(net, full, "int8", images[:64]), images, 1, 32)
    whole = graph(lenet, digits)
    for gathered, name in ((False, "400-64-99-10, zeros for other pixels"), (True, "400-64-99-10, pixels gathered")):
        narrow = graph(Narrow(gathered=gathered), digits)
        yield from pairs("LeNet-300-100", ("784-300-100-10", name), whole, narrow, digits, 1, 32)
    chain = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(8)))
    whole = graph(chain, rows)
    for precision in ("int8", "int4"):
        made = integers(chain, whole, precision, rows)
        yield from pairs("8 dense 1024 x 1024", ("float", precision), whole, made, rows, 1, 16, 128)


def convolutions(threads: int, seed: int) -> Iterator[Pair]:
    """Give a convolution and its factors as layers of their own, as graphs, with their multiply-adds."""
    images = torch.randn(32, 64, 16, 16, generator=torch.Generator().manual_seed(seed))
    net = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()).eval()
    ways = {
        "3 x 1 then 1 x 3, rank 32": laconic.LowRank(32, view="out.kw|in.kh"),
        "Tucker-2, 24 and 24": laconic.Tucker(24, 24), "CP, 64 terms": laconic.Canonical(64),
    }  # fmt: skip
    for name, compression in ways.items():
        plan = laconic.Plan({"0.weight": compression, "0.bias": laconic.Lossless()})
        codes = laconic.compress(net, plan).codes
        both = stored(net, codes, ()).module, stored(net, codes, ("factored",)).module
        graphs = [graph_of(one, Call((images,), {})) for one in both]
        sizes = dict(zip(("bytes before", "bytes after"), (one.ByteSize() for one in graphs), strict=True))
        counts = [counted(one, lambda one=one: one(images), len(images)).multiply_adds for one in both]  # type: ignore[misc]
        sizes |= dict(zip(("multiply-adds before", "multiply-adds after"), map(round, counts), strict=True))
        for count in (1, 32):
            calls = [runner(one, images[:count], threads) for one in graphs]
            yield "conv 3 x 3, 64 to 64, 16 x 16 maps", "full", name, count, *calls, sizes


def in_torch(seed: int) -> Iterator[Pair]:
    """Give the pairs of dense and compressed layers."""
    noise = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU()).eval()
    ways = {
        "factored, rank 64": laconic.LowRank(64), "lookup, 16 values": laconic.AdaptiveCodebook(16),
        "sparse, 1 in 20 left": laconic.KeepLargest(0.05), "sparse, 1 in 10 left": laconic.KeepLargest(0.1),
    }  # fmt: skip
    for name, compression in ways.items():
        result = laconic.compress(net, compression)
        pair = result.module(net, materialize=True), result.module(net)
        sizes = dict(zip(("bytes before", "bytes after"), map(memory, pair), strict=True))
        for count in (1, 32):
            inputs = torch.randn(count, 1024, generator=noise)
            with torch.no_grad():
                torch.testing.assert_close(*(one(inputs) for one in pair), rtol=1e-4, atol=1e-4)
            yield (
                "dense 1024 x 1024",
                "torch, dense",
                f"torch, {name}",
                count,
                *(called(one, inputs) for one in pair),
                sizes,
            )


def called(module: nn.Module, inputs: torch.Tensor) -> Callable[[], object]:
    """Return a call of a module without gradients."""

    def call() -> object:
        with torch.no_grad():
            return module(inputs)

    return call


def memory(module: nn.Module) -> int:
    """Return the bytes of a module's numbers."""
    return sum(one.numel() * one.element_size() for one in (*module.parameters(), *module.buffers()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0, help="of the calls of one row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rows = list[dict[str, Any]]()
    print("| network | before | after | samples | ms | ms after | times faster | memory after |")
    print("|---|---|---|--:|--:|--:|--:|--:|")
    how = options.threads, options.seed
    for pairs in (in_onnxruntime(*how), convolutions(*how), in_torch(options.seed)):
        for what, before, after, count, old, new, sizes in pairs:
            times = timed({"before": old, "after": new}, options.seconds)
            ms, ratio = [times[name].milliseconds for name in ("before", "after")], times["after"].ratio
            rows.append({"what": what, "before": before, "after": after, "samples": count, "ms before": ms[0],
                         "ms after": ms[1], "ratio": ratio, **sizes})  # fmt: skip
            share = sizes["bytes after"] / sizes["bytes before"]
            print(
                f"| {what} | {before} | {after} | {count} | {ms[0]:.3g} | {ms[1]:.3g} | {ratio:.2f} | {share:.0%} |",
                flush=True,
            )
    about = {"experiment": "runtime", "median ratio": float(np.median([row["ratio"] for row in rows]))}
    record.save(options.output, {**about, **record.environment(options.seed, options.threads), "rows": rows})


if __name__ == "__main__":
    main()
