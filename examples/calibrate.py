"""Two bits a weight without training: a network with batch normalization, rounded by what its layers read.

python examples/calibrate.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import laconic

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)
targets = torch.tensor(digits.target)
train, test = slice(0, 1400), slice(1400, None)
net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10),
)  # fmt: skip

optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
for _ in range(5):
    for batch in torch.randperm(1400).split(50):
        loss = F.cross_entropy(net(images[train][batch]), targets[train][batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
net.eval()


def told(params: dict[str, torch.Tensor]) -> str:
    """Return the error on the test images, in percent, and how far the network's opinions are from the original's."""
    with torch.no_grad():
        before = F.log_softmax(net(images[test]), 1)
        after = F.log_softmax(torch.func.functional_call(net, params, (images[test],)), 1)
    error = 100 * (after.argmax(1) != targets[test]).double().mean().item()
    distance = F.kl_div(after, before, reduction="batchmean", log_target=True).item()
    return f"error {error:.1f} %, {distance:.6f} nats from the original"


direct = laconic.compress(net, bits=2)
calibrated = laconic.compress(net, bits=2, effort="calibrate", calibration=images[train])  # inputs alone, no targets
print(f"original: {told(dict(net.state_dict()))}")
print(f"direct: {direct.file_bytes} bytes, {told(direct.params)}")
print(f"calibrated: {calibrated.file_bytes} bytes, {told(calibrated.params)}")
assert calibrated.calibration is not None
print(f"folded: {dict(calibrated.calibration.folded)}")
