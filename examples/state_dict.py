"""A state dict alone: no module, no data. The weights go into a file of a given size, and come back by name.

python examples/state_dict.py
"""

import tempfile
from pathlib import Path

import torch
from torch import nn

import laconic

torch.manual_seed(0)
weights = nn.Sequential(
    nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 64)
).state_dict()  # or torch.load, or safetensors

small = laconic.compress(weights, size=30_000, lossless=["*.bias"])
with tempfile.TemporaryDirectory() as folder:
    path = small.save(Path(folder) / "weights.lac")
    back = laconic.load(path)

change = torch.linalg.norm(back["0.weight"] - weights["0.weight"]) / torch.linalg.norm(weights["0.weight"])
assert back["0.bias"].equal(weights["0.bias"])
print(f"{small.file_bytes} bytes, change of 0.weight {100 * change:.1f} %")
