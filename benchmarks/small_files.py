"""What a file takes beside its coded numbers: as a small file, and with a checksum for each block.

    python benchmarks/small_files.py --models DIR [-o FILE.json]

The folder holds the pretrained networks. They are projected once to the size of a record, as in a C step; the layouts
of transformers have random weights, at 2 bits.
"""

import argparse
from pathlib import Path

import record
import torch

import laconic
from laconic.csteps.within_bytes import WithinBytes
from laconic.format import container
from laconic.format.codes import Code
from laconic.models.checkpoints import load_checkpoint

RECORDS = {"lenet5_mnist": 3_000, "lenet300_mnist": 5_000, "resnet20_cifar10": 14_000}
"""Name of a network → bytes."""

WIDTH = 32


def encoder() -> dict[str, tuple[int, ...]]:
    """Return names and shapes of two layers of BERT."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in (f"encoder.layer.{k}." for k in range(2)):
        dense = {
            f"attention.{name}": (WIDTH, WIDTH) for name in ("self.query", "self.key", "self.value", "output.dense")
        }
        dense |= {"intermediate.dense": (4 * WIDTH, WIDTH), "output.dense": (WIDTH, 4 * WIDTH)}
        for name, shape in dense.items():
            shapes |= {f"{layer}{name}.weight": shape, f"{layer}{name}.bias": shape[:1]}
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}{norm}.{name}": (WIDTH,) for name in ("weight", "bias")}
    return shapes


def decoder() -> dict[str, tuple[int, ...]]:
    """Return names and shapes of two layers of Llama."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (100, WIDTH)}
    for layer in (f"model.layers.{k}." for k in range(2)):
        shapes |= {f"{layer}self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
        shapes |= {f"{layer}mlp.{name}_proj.weight": (3 * WIDTH, WIDTH) for name in ("gate", "up")}
        shapes |= {f"{layer}mlp.down_proj.weight": (WIDTH, 3 * WIDTH)}
        shapes |= {f"{layer}{name}_layernorm.weight": (WIDTH,) for name in ("input", "post_attention")}
    return shapes | {"model.norm.weight": (WIDTH,), "lm_head.weight": (100, WIDTH)}


def measured(name: str, codes: dict[str, Code], metadata: dict[str, str]) -> dict[str, object]:
    """Return the bytes of both files, and of what is in neither's blocks."""
    row: dict[str, object] = {"network": name, "tensors": len(codes)}
    for kind, small in (("small", True), ("other", False)):
        data = container.dumps(codes, metadata, small=small)
        *_, head = container.LacFile(data, name).charges()
        row |= {f"{kind}_bytes": len(data), f"{kind}_overhead": head.bytes}
    return row


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, size in RECORDS.items():
        params = load_checkpoint(given.models / f"{name}.safetensors")[0]
        rows.append(measured(name, WithinBytes(size).project(params), {}))
    for name, shapes in (("two layers of BERT", encoder()), ("two layers of Llama", decoder())):
        generator = torch.Generator().manual_seed(0)
        params = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
        result = laconic.compress(params, bits=2)
        rows.append(measured(name, dict(result.codes), {}))
    for row in rows:
        print("{network}, {tensors} tensors: {other_overhead} bytes of {other_bytes:,}; small: {small_overhead} "
              "of {small_bytes:,}".format(**row))  # fmt: skip
    record.save(given.output, {**record.environment(0), "rows": rows})


if __name__ == "__main__":
    main()
