"""LC in a training loop of your own: one line for the penalty, one call for the C step.

python examples/own_loop.py
"""

import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

import laconic
from laconic.lc.state import LCState
from laconic.lc.steps import c_step, start

torch.manual_seed(0)
digits = load_digits()
inputs = torch.tensor(digits.data / 16, dtype=torch.float32)
targets = torch.tensor(digits.target)
train, test = slice(0, 1400), slice(1400, None)
model = torch.nn.Sequential(torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))


def epochs(count: int, state: LCState | None = None, mu: float = 0.0) -> None:
    """Train ``model``: any loop, any optimizer."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    for _ in range(count):
        for batch in torch.randperm(1400).split(64):
            loss = F.cross_entropy(model(inputs[train][batch]), targets[train][batch])
            if state is not None:
                loss = loss + state.penalty(dict(model.named_parameters()), mu)  # the one line
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def error(params: dict[str, torch.Tensor]) -> float:
    """Return the error on the test images, in percent."""
    outputs = torch.func.functional_call(model, params, (inputs[test],))
    return 100 * (outputs.argmax(1) != targets[test]).double().mean().item()


epochs(40)
plan = laconic.Plan({"*.weight": laconic.AdaptiveCodebook(2)}, rest=laconic.Lossless())
state = start(laconic.params_of(model), plan)
print(f"reference {error(laconic.params_of(model)):.1f} %, direct compression to 2 values {error(state.params):.1f} %")
mu = 0.003
while state.progress.step < 40:
    epochs(2, state, mu)
    state = c_step(state, laconic.params_of(model), mu)  # the one call
    mu *= 1.15
print(f"LC to 2 values {error(state.params):.1f} %, gap {state.progress.gap:.3f}")
