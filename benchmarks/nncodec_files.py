"""One file of NNCodec: the finest step whose file is within a size. Run by the interpreter that has NNCodec.

    PYTHON -I nncodec_files.py FOLDER BYTES '{"norm": "layer", ...}'

reads FOLDER/network.safetensors, writes FOLDER/network.nnc and what this file decodes to, FOLDER/decoded.safetensors.

Its best mode: dependent quantization with the rate in the choice (``lambda_scale=1``); and batch normalization folded
by NNCodec itself, a scale and a shift a channel, where the argument says what belongs together. Steps are 64 to the
octave (``qp_density=6``), for by its own density of 4 a file can miss a size by a quarter of a bit a weight. Scales and
shifts have a step of 2^−9 in place of 2^−18.7 (``nonweight_qp=-75``), which leaves the weights more: of 2^−5, 2^−7,
2^−9, 2^−11 and 2^−18 it was the best for ResNet-20 at 1.85 and at 3 bits.

NNCodec imports packages that it needs for training alone; those that are missing are stood in for.
"""

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np

DENSITY, VECTORS = 6, -9
"""log₂ of the steps in an octave, and of the step of what is no weight."""

FINEST, COARSEST = -20, 4
"""log₂ of the steps that are tried."""

UNUSED = ("cv2", "flwr", "h5py", "pandas", "ptflops", "sentencepiece", "sklearn", "tensorflow", "torchmetrics",
          "torchvision", "tqdm", "wandb")  # fmt: skip
NORMS = {"weight": "bn.gamma", "bias": "bn.beta", "running_mean": "bn.mean", "running_var": "bn.var"}


class StandIns:
    """Finds modules of packages that are not there."""

    def __init__(self, missing: set[str]) -> None:
        self.missing = missing

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Say that a module of a missing package is here."""
        return importlib.util.spec_from_loader(name, self) if name.split(".")[0] in self.missing else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> Any:
        """Return a module whose every attribute is there."""
        return MagicMock(__path__=[], __spec__=spec)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: there is nothing to run."""


def blocks(names: list[str], folded: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what NNCodec asks of a network: the block that each tensor belongs to, and what it is there.

    Args:
        names: of all tensors.
        folded: norm → the layer before it.
    """
    identifiers, types = {}, {}
    for name in names:
        layer, _, leaf = name.rpartition(".")
        identifiers[name] = folded.get(layer, layer)
        types[name] = NORMS[leaf] if layer in folded else "bias" if leaf == "bias" else "weight"
    return {"block_identifier": identifiers, "parameter_type": types}


def finest(encode: Callable[[int], bytes], size: int, low: int, high: int) -> bytes:
    """Return the file of the least step within a size, by bisection over low ≤ step < high; empty if none is."""
    best = b""
    while low < high:
        middle = (low + high) // 2
        file = encode(middle)
        if len(file) <= size:
            best, high = file, middle
        else:
            low = middle + 1
    return best


def named(
    decoded: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], folded: Mapping[str, str]
) -> dict[str, Any]:
    """Return decoded tensors by the names of the network: a folded norm adds what NNCodec calls a bias of its layer."""
    found = {name: tensor for name, tensor in decoded.items() if name in shapes}
    for norm, layer in folded.items():
        own = f"{layer}.bias"
        shift = found[own] if own in shapes else decoded[f"{layer}.weight.bias"]
        if own in shapes:
            found[own] = np.zeros_like(shift)
        ones = np.ones(len(shift), np.float32)
        found |= {f"{norm}.weight": ones, f"{norm}.bias": shift, f"{norm}.running_mean": 0 * ones}
        found[f"{norm}.running_var"] = ones - np.float32(1e-5)
    return found


def main(folder: Path, size: int, folded: dict[str, str]) -> None:
    """Write the file and what it decodes to."""
    sys.meta_path.append(StandIns({name for name in UNUSED if importlib.util.find_spec(name) is None}))  # type: ignore[arg-type]
    from nncodec import nnc
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "network.safetensors")
    together = blocks(list(tensors), folded) if folded else None

    def encode(step: int) -> bytes:
        own = {name: tensor.copy() for name, tensor in tensors.items()}  # folding writes into them
        return bytes(nnc.compress(
            own, bitstream_path=None, qp=step, qp_density=DENSITY, nonweight_qp=VECTORS << DENSITY, use_dq=True,
            lambda_scale=1, bnf=bool(folded), block_id_and_param_type=together, return_bitstream=True,
        ))  # fmt: skip

    file = finest(encode, size, FINEST << DENSITY, COARSEST << DENSITY)
    if not file:
        raise SystemExit(f"no step makes a file within {size:,} bytes")
    (folder / "network.nnc").write_bytes(file)
    decoded = nnc.decompress(bytearray(file), reconstruct_bnf=bool(folded), reconstruct_lsa=bool(folded))
    save_file(named(decoded, {n: t.shape for n, t in tensors.items()}, folded), folder / "decoded.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
