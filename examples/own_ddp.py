"""A training loop of your own on several machines, with gradients in few bits: one line.

torchrun --nproc-per-node 2 examples/own_ddp.py
"""

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import laconic

if not dist.is_initialized():
    dist.init_process_group("gloo")  # nccl where there are GPUs
rank, workers = dist.get_rank(), dist.get_world_size()

digits = load_digits()
inputs = torch.tensor(digits.data / 16, dtype=torch.float32)
targets = torch.tensor(digits.target)
train, test = slice(0, 1400), slice(1400, None)
torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Linear(64, 200), torch.nn.ReLU(), torch.nn.Linear(200, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10)
)
ddp = DistributedDataParallel(net)
gradients = laconic.compress_gradients(ddp, "terngrad")  # the one line

optimizer = torch.optim.SGD(ddp.parameters(), lr=0.05, momentum=0.9)
for _ in range(6):
    for batch in torch.randperm(1400).split(64):
        own = batch[rank::workers]
        loss = F.cross_entropy(ddp(inputs[train][own]), targets[train][own])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

if rank == 0:
    error = 100 * (net(inputs[test]).argmax(1) != targets[test]).double().mean().item()
    plain = 4 * sum(parameter.numel() for parameter in net.parameters())
    print(f"{workers} workers: error {error:.1f} %, {gradients.pushed / gradients.step:.0f} of {plain} bytes a step")
