"""A convolutional network of one's own, with loaders of one's own: trained compression, to a file and back.

python examples/own_cnn.py
"""

import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import laconic


class Digits(nn.Module):
    """Two convolutions and a linear layer, for images of 8 × 8."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.last = nn.Linear(16 * 4, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = F.max_pool2d(self.first(images).relu(), 2)
        return self.last(F.max_pool2d(self.second(hidden).relu(), 2).flatten(1))


torch.manual_seed(0)
bunch = load_digits()
images, labels = torch.tensor(bunch.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(bunch.target)
train = DataLoader(TensorDataset(images[:1400], labels[:1400]), batch_size=100, shuffle=True)
test = DataLoader(TensorDataset(images[1400:], labels[1400:]), batch_size=397)
net = Digits()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for _ in range(8):
    for inputs, targets in train:
        optimizer.zero_grad()
        F.cross_entropy(net(inputs), targets).backward()
        optimizer.step()

task = laconic.Task(net, train=train, test=test, loss=nn.CrossEntropyLoss())
plan = laconic.Plan({nn.Conv2d: laconic.AdaptiveCodebook(4), "last.weight": laconic.AdaptiveCodebook(2)})
direct = laconic.compress(net, plan, task, effort="direct")
brief = laconic.Training(steps=10, l_step=laconic.Optimization(1, lr=0.03))
trained = laconic.compress(net, plan, task, training=brief)
with tempfile.TemporaryDirectory() as folder:
    path = trained.save(Path(folder) / "digits.lac")
    back = laconic.load(path, Digits())

with torch.no_grad():
    error = 100 * (back(images[1400:]).argmax(1) != labels[1400:]).double().mean().item()
print(f"{trained.file_bytes} bytes, direct {direct.evaluate(task)['error']:.1f} %, trained {error:.1f} %")
