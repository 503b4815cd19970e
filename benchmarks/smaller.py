"""What is left of networks to run once what is empty is cut out of them; prints a line for each, and writes JSON.

    python benchmarks/smaller.py --data FOLDER -o recipes/smaller.json

Networks of several kinds at half of each coupled set of channels, and LeNet-300-100 on MNIST that LC has pruned within
an ℓ1 ball. Outputs are compared on inputs that shrinking has not seen.
"""

# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import time
from pathlib import Path

import record
import torch
from record import say
from shrinkable_nets import net
from torch import Tensor, nn

import laconic
from laconic import Groups, Joint, KeepGroups, L1Ball, Optimization, Plan, Training
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.params import apply_to
from laconic.result import Result
from laconic.training.task import classification

KINDS = ("concatenation", "depthwise", "grouped queries", "packed projections", "torch's attention")
HALF = KeepGroups(Groups("filters"), keep=0.5)


def main() -> None:
    """Measure each network and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist/ and models/")
    parser.add_argument("-o", type=Path, help="JSON to write")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    for name in KINDS:
        module, example = net(name)
        rows.append(row(name, halved(module, example, "*"), module, example))
    module, example = nets.build("resnet20"), torch.randn(2, 3, 32, 32)
    apply_to(module, load_checkpoint(arguments.data / "models" / "resnet20_cifar10.safetensors")[0])
    rows.append(row("ResNet-20, half", halved(module.eval(), example, "*conv*.weight"), module, example))
    module = nets.build("lenet300-tanh")
    rows.append(row("LeNet-300-100, ℓ1", pruned(module, arguments.data), module, torch.randn(2, 1, 28, 28)))
    for measured in rows:
        say(str(measured))
    record.save(arguments.o, {**record.environment(0), "networks": rows})


def halved(module: nn.Module, example: Tensor, pattern: str) -> Result:
    """Return a network half of whose channels are empty, in coupled sets."""
    return laconic.compress(module, laconic.coupled(Plan({pattern: HALF}), module, example))


def pruned(module: nn.Module, folder: Path) -> Result:
    """Return LeNet-300-100 pruned within an ℓ1 ball of an eighth of its norm, by LC: 63 epochs of MNIST."""
    apply_to(module, load_checkpoint(folder / "models" / "lenet300_mnist.safetensors")[0])
    task = classification(module, data.load("mnist", folder, nets.NETS["lenet300-tanh"].preprocessing), batch=256)
    how = Training(
        steps=24, l_step=Optimization(epochs=2, lr=0.1), decay=0.96, mu=9e-5, growth=1.4, fast=1.4,
        finetune=Optimization(epochs=15, lr=0.05),
    )  # fmt: skip
    result = laconic.compress(module, Plan({"fc*.weight": Joint(L1Ball(share=0.125))}), task, training=how)
    say(f"LeNet-300-100: {result.evaluate(task)}")
    return result


def row(name: str, masked: Result, module: nn.Module, example: Tensor) -> dict[str, object]:
    """Return what shrinking has made of a masked network."""
    begun = time.process_time()
    small = masked.shrink(module, example)
    seconds = time.process_time() - begun
    assert small.shrunk is not None
    before, after = small.shrunk.multiply_adds
    return {
        "network": name, "multiply-adds before": before // len(example), "after": after // len(example),
        "fewer": round(before / after, 2), "bytes masked": masked.file_bytes, "bytes": small.file_bytes,
        "difference": small.shrunk.difference, "seconds": round(seconds, 2),
        "widths": [tuple(c.shape) for n, c in small.codes.items() if n.startswith("fc") and n.endswith("weight")],
    }  # fmt: skip


if __name__ == "__main__":
    main()
