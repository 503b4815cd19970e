"""What a run is counted as: closed forms, a slow twin that reads shapes off hooks, and what nobody knows is named."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from laconic.errors import DataError
from laconic.models.counting import counted, positions
from laconic.models.nets import NETS, build
from laconic.models.uses import Use

CLOSED = {
    "lenet300": 784 * 300 + 300 * 100 + 100 * 10,
    "lenet5": 24**2 * 20 * 25 + 8**2 * 50 * 20 * 25 + 800 * 500 + 500 * 10,
    "resnet20": 1024 * 16 * 9 * (3 + 6 * 16) + (256 * 32 * 9 * (16 + 5 * 32)) + (64 * 64 * 9 * (32 + 5 * 64)) + 640,
}
KINDS = nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d


def of(module, *shape):
    inputs = torch.zeros(shape)
    return counted(module, lambda: module(inputs))


def by_hooks(module, *shape):
    """The multiply-adds for one input of layers that torch has modules for: a weight at each place that it meets."""
    total = 0

    def hook(part, inputs, output):
        nonlocal total
        met = inputs[0] if isinstance(part, nn.ConvTranspose2d) else output
        axis = -1 if isinstance(part, nn.Linear) else 1
        total += met.numel() // met.shape[axis] * part.weight.numel() // shape[0]

    handles = [part.register_forward_hook(hook) for part in module.modules() if isinstance(part, KINDS)]
    with torch.no_grad():
        module(torch.zeros(shape))
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize("net", CLOSED)
def test_reference_networks_agree_with_their_closed_forms(net):
    assert of(build(net), 2, *NETS[net].shape).multiply_adds == CLOSED[net]
    assert round(CLOSED["resnet20"] / 1e6, 2) == 40.55


@pytest.mark.parametrize("net", ["vgg16", "conv5-fc3", "resnet20"])
def test_reference_networks_agree_with_the_slow_twin(net):
    module = build(net).eval()
    assert of(module, 2, *NETS[net].shape).multiply_adds == by_hooks(module, 2, *NETS[net].shape)


ODD = nn.Sequential(
    nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 12, 3, stride=2, groups=4, padding=1),
    nn.ConvTranspose2d(12, 6, 3, 2, groups=3), nn.Conv2d(6, 4, (1, 3), dilation=2), nn.Flatten(2), nn.Linear(77, 5),
    nn.Conv1d(4, 2, 3),
)  # fmt: skip


def test_grouped_depthwise_dilated_and_transposed_convolutions_agree_with_the_slow_twin():
    assert of(ODD, 3, 8, 12, 12).multiply_adds == by_hooks(ODD, 3, 8, 12, 12)
    uses = of(ODD, 3, 8, 12, 12).uses()
    assert uses["0.weight"] == Use(100, 1, 8)
    assert uses["1.weight"] == Use(25, 1, 4)
    assert uses["2.weight"] == Use(25, 1, 3)
    assert uses["5.weight"] == Use(4)
    assert uses["0.bias"].positions == 0


def test_positions_times_weights_are_the_multiply_adds():
    module = build("resnet20")
    inputs = torch.zeros(2, 3, 32, 32)
    found = positions(module, lambda: module(inputs))
    parameters = dict(module.named_parameters())
    assert found.keys() == parameters.keys()
    assert sum(times * parameters[name].numel() for name, times in found.items()) == CLOSED["resnet20"]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_apply_each_matrix_at_each_step(kind):
    module = kind(5, 7, num_layers=2, bidirectional=True, batch_first=True)
    count = of(module, 3, 11, 5)
    matrices = [tensor for tensor in module.parameters() if tensor.ndim == 2]
    assert count.multiply_adds == 11 * sum(tensor.numel() for tensor in matrices)
    assert count.uses()["weight_hh_l0"] == Use(11, 11)
    assert not count.unknown


def test_attention_counts_its_products_and_its_packed_weight():
    module = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    count = of(module, 3, 9, 16)
    matrices = sum(tensor.numel() for tensor in module.parameters() if tensor.ndim == 2)
    assert count.multiply_adds == 9 * matrices + 2 * 9 * 9 * 16
    assert count.uses()["self_attn.in_proj_weight"] == count.uses()["self_attn.out_proj.weight"] == Use(9)
    crossed, query, key = nn.MultiheadAttention(16, 4, batch_first=True), torch.zeros(2, 9, 16), torch.zeros(2, 5, 16)
    found = counted(crossed, lambda: crossed(query, key, key))
    assert found.multiply_adds == 256 * (9 + 5 + 5 + 9) + 2 * 9 * 5 * 16
    assert found.uses()["in_proj_weight"].positions == math.ceil((9 + 5 + 5) / 3)


def test_an_embedding_is_looked_up_and_a_tied_head_is_applied():
    module = nn.Sequential(nn.Embedding(10, 4), nn.LayerNorm(4), nn.Linear(4, 10, bias=False))
    words = torch.zeros(3, 8, dtype=torch.long)
    assert positions(module, lambda: module(words))["0.weight"] == 0
    module[2].weight = module[0].weight
    assert positions(module, lambda: module(words)) == {"0.weight": 8, "1.weight": 0, "1.bias": 0}


def test_weights_that_are_made_of_others_count_for_these():
    module = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    uses = of(module, 5, 4).uses()
    assert uses["parametrizations.weight.original1"].positions == 1
    assert of(module, 5, 4).multiply_adds == 12


def test_a_call_with_other_tensors_counts_for_the_same_names():
    module, inputs = build("lenet300"), torch.zeros(4, 1, 28, 28)
    others = {name: tensor.detach().clone() for name, tensor in module.named_parameters()}
    found = counted(module, lambda: functional_call(module, others, (inputs,)))
    assert found.uses() == of(module, 4, 1, 28, 28).uses()


def test_an_operation_that_nobody_knows_is_named_and_never_nothing():
    class Strange(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.weight = nn.Parameter(torch.eye(4))

        def forward(self, x):
            return torch.fft.rfft(self.inner(x)).real, torch.linalg.solve(self.weight, x.T)

    count = of(Strange(), 2, 4)
    assert set(count.unknown) == {"aten._fft_r2c", "aten._linalg_solve_ex"}
    assert count.multiply_adds == 16
    with pytest.raises(DataError, match=r"weight by aten\._linalg_solve_ex"):
        count.uses()


def test_the_module_is_left_as_it_was():
    module, mkldnn = build("resnet20").train(), torch.backends.mkldnn.enabled
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    of(module, 2, 3, 32, 32)
    assert module.training
    assert torch.backends.mkldnn.enabled == mkldnn
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert all(tensor.equal(before[name]) for name, tensor in module.state_dict().items())
    with pytest.raises(ZeroDivisionError):
        counted(module, lambda: module(torch.zeros(1 // 0)))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_bytes_are_those_of_the_activations():
    module = nn.Sequential(nn.Linear(100, 50, bias=False), nn.ReLU(), nn.Linear(50, 10, bias=False))
    count = of(module, 1, 100)
    assert [call.written for call in count.calls] == [200, 200, 40]
    assert [call.weight for call in count.calls] == ["0.weight", "", "2.weight"]
    assert [call.read for call in count.calls] == [400, 200, 200]
    assert count.peak == 400 + 200 + 200  # the inputs, which the caller holds, and what a ReLU reads and writes


def test_samples_are_told_or_seen():
    module, inputs = nn.Linear(4, 3), torch.zeros(6, 4)
    assert counted(module, lambda: module(inputs)).samples == 6
    assert counted(module, lambda: module(inputs), 2).multiply_adds == 36
    with pytest.raises(DataError, match="say how many samples"):
        counted(module, lambda: None)
