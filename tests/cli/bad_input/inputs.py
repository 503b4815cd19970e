"""Functions that make what a command is not to take, in the working folder."""

import functools
import json
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from laconic.cli import run
from laconic.format import container
from laconic.models import nets
from laconic.models.checkpoints import checkpoint_bytes
from laconic.models.params import params_of

WEIGHTS = {"fc.weight": torch.arange(12.0).reshape(3, 4), "fc.bias": torch.zeros(3)}


@functools.cache
def network():
    """The bytes of a checkpoint of LeNet-300-100 for digits, not trained; it says what it is."""
    identity = nets.identity("lenet300", "digits", "pixels/16")
    return checkpoint_bytes(params_of(nets.build("lenet300", (1, 8, 8))), identity)


def net():
    """`net.safetensors`, and `bare.safetensors`, which does not say what it is."""
    Path("net.safetensors").write_bytes(network())
    save_file(params_of(nets.build("lenet300", (1, 8, 8))), "bare.safetensors")


@functools.cache
def small():
    """The bytes of a `.lac` file of two tensors."""
    save_file(WEIGHTS, "small.safetensors")
    assert run(["compress", "small.safetensors", "-o", "small.lac", "--codebook", "4", "--quiet"]) == 0
    data = Path("small.lac").read_bytes()
    Path("small.lac").unlink()
    Path("small.safetensors").unlink()
    return data


def content(data, name="a.safetensors"):
    """Function that writes a file of these bytes, or of this text."""
    return lambda: Path(name).write_bytes(data.encode() if isinstance(data, str) else data)


def lac(change=lambda data: data, name="a.lac"):
    """Function that writes a `.lac` file with a change."""
    return lambda: Path(name).write_bytes(change(small()))


def saved(thing, name="a.pt", **options):
    """Function that writes a file of `torch.save`; things that only a call can make are given as one."""
    return lambda: torch.save(
        thing() if callable(thing) and not isinstance(thing, torch.nn.Module) else thing, name, **options
    )


def beside(make):
    """Function that writes a file of `torch.save`: a sound network, and beside it a tensor called `odd`."""
    return saved(lambda: {**WEIGHTS, "odd": make()})


def safetensors(tensors, metadata=None, name="a.safetensors"):
    """Function that writes a file of safetensors."""
    return lambda: save_file(tensors, name, metadata)


def plan(text):
    """Function that writes a network and a plan for it."""
    return lambda: (net(), Path("plan.toml").write_text(text))


def flipped(at):
    """Function that flips a bit of the byte at a place."""
    return lambda data: (
        data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :] if at >= 0 else flipped(len(data) + at)(data)
    )


def blockwise(change):
    """Function that changes the same file with a checksum for each block."""

    def changed(data):
        contents = container.loads(data)
        return change(container.dumps(contents.codes, contents.metadata, small=False))

    return changed


def newer(data):
    fields = data[:8] + struct.pack("<H", 7) + data[10:28]
    return fields + struct.pack("<I", zlib.crc32(fields)) + data[32:]


def archive(*names):
    """Function that writes a zip archive that is none of torch."""

    def write():
        with zipfile.ZipFile("a.pt", "w") as file:
            for name in names:
                file.writestr(name, b"")

    return write


def scripted():
    """A program of TorchScript."""
    with zipfile.ZipFile("a.pt", "w") as file:
        for name in ("a/data.pkl", "a/constants.pkl", "a/code/a.py"):
            file.writestr(name, b"")


def folder(*names):
    """Function that makes a folder with files."""

    def make():
        Path("hf").mkdir()
        for name in names:
            Path("hf", name).write_bytes(b"x")

    return make


def index():
    """The index of a checkpoint in several files."""
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    Path("model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))


def index_of_others():
    """The same under a name that no library looks for."""
    index()
    Path("model.safetensors.index.json").rename("a.json")


def integers():
    """Weights that are integers, and a plan that would compress them."""
    save_file({"w": torch.arange(6).reshape(2, 3)}, "a.safetensors")
    Path("plan.toml").write_text("[tensors]\nw = { codebook = 2 }\n")


def cut(data, length):
    """Function that writes the first bytes of a file."""
    return lambda: Path("a.pt").write_bytes(data()[:length])


def torch_bytes(**options):
    """The bytes of a file of `torch.save`."""

    def data():
        torch.save({"w": torch.ones(40, 40)}, "whole.pt", **options)
        return Path("whole.pt").read_bytes()

    return data


def quantized():
    """A tensor of integers with a scale."""
    with warnings.catch_warnings(action="ignore"):  # that the type will be removed
        return torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)


def halves():
    """Four bits for each of two numbers in a byte."""
    return torch.zeros(2, 2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)


def pair():
    """Complex numbers of a type that safetensors cannot hold, compressed."""
    torch.save({**WEIGHTS, "odd": torch.ones(2, dtype=torch.complex128)}, "a.pt")
    assert run(["compress", "a.pt", "-o", "a.lac", "--codebook", "2", "--quiet"]) == 0


def factories():
    """A module of functions for `--task`."""
    net()
    Path("factories_of_tasks.py").write_text(
        "import torch\n"
        "def nothing(): return None\n"
        "def needs(something): return None\n"
        "def broken(): return torch.no_such_thing\n"
        "def adds(): return 1 + 'one'\n"
        "def fails(): raise RuntimeError('no camera')\n"
        "value = 3\n"
    )
    Path("missing_a_package.py").write_text("import a_package_that_nobody_has\ndef make(): pass\n")


def array():
    """A file of NumPy."""
    np.save("a.npy", np.ones(3))
