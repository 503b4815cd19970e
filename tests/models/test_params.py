"""Weights by name: modules, checkpoints, and bits that cross between torch and NumPy."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from laconic.errors import DataError, OutputExists, WeightsError
from laconic.format.codes import DTYPES, DenseCode
from laconic.format.files import same_every_time
from laconic.models.checkpoints import checkpoint_bytes, checkpoint_size, load_checkpoint, save_checkpoint
from laconic.models.params import apply_to, decompress, dtype_name, params_of, require_finite, to_numpy, to_torch


class Tied(nn.Module):
    """Two layers with one weight, BatchNorm, and a buffer that does not persist."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(3, 3)
        self.decode = nn.Linear(3, 3, bias=False)
        self.decode.weight = self.encode.weight
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.register_buffer("table", torch.arange(4))


def test_params_are_parameters_and_persistent_buffers_once():
    module = Tied()
    found = params_of(module)
    assert set(found) == set(module.state_dict()) - {"decode.weight"}
    assert all(not tensor.requires_grad for tensor in found.values())
    assert all(tensor.equal(module.state_dict()[name]) for name, tensor in found.items())


def test_apply_to_copies_everything_or_nothing():
    module, other = Tied(), Tied()
    params = {name: tensor.clone() for name, tensor in params_of(other).items()}
    apply_to(module, params)
    assert all(tensor.equal(params[name]) for name, tensor in params_of(module).items())
    assert module.decode.weight is module.encode.weight
    before = {name: tensor.clone() for name, tensor in params_of(module).items()}
    wrong = {
        "encode.bias": {**params, "encode.bias": torch.zeros(4)},
        "table": {name: tensor + 1 for name, tensor in params.items() if name != "table"},
        "strange": {**params, "strange": torch.zeros(1)},
    }
    for name, given_params in wrong.items():
        with pytest.raises(WeightsError, match=name):
            apply_to(module, given_params)
    assert all(tensor.equal(before[name]) for name, tensor in params_of(module).items())


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(4, 6), (), (0, 3), (1,)], ids=str)
def test_bits_cross_over_and_back(name, shape):
    """All bit patterns, as rows, columns and slices."""
    width, count = np.dtype(name).itemsize, int(np.prod(shape))
    high = 2 if name == "bool" else 256
    raw = np.random.default_rng(1).integers(0, high, count * width, np.uint8)
    array = raw.view(name).reshape(shape)
    tensor = to_torch(array)
    assert (dtype_name(tensor), tuple(tensor.shape)) == (name, shape)
    back = to_numpy(tensor)
    assert (back.dtype.name, back.shape, back.tobytes()) == (name, shape, array.tobytes())
    assert to_numpy(to_torch(array.T)).tobytes() == array.T.tobytes()
    if len(shape) == 2:
        assert to_numpy(tensor.T[::2]).tobytes() == np.ascontiguousarray(array.T[::2]).tobytes()
    if tensor.numel():
        tensor.view(torch.uint8).zero_() if tensor.ndim else tensor.fill_(0)
        assert array.tobytes() == raw.tobytes(), "torch has its own memory"


def test_gradients_do_not_matter():
    leaf = torch.ones(3, requires_grad=True)
    assert to_numpy(leaf * 2).tolist() == [2, 2, 2]


def test_types_that_no_code_carries():
    with pytest.raises(WeightsError, match="float4_e2m1fn_x2"):
        to_numpy(torch.zeros(1, dtype=torch.uint8).view(torch.float4_e2m1fn_x2))


def test_decompress():
    codes = {"a": DenseCode.of(np.float32([[1, 2]])), "b": DenseCode.of(np.array(3))}
    found = decompress(codes)
    assert found["a"].equal(torch.tensor([[1.0, 2.0]]))
    assert found["b"].equal(torch.tensor(3))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e5m2])
def test_what_is_finite(dtype):
    require_finite("w", torch.tensor([0.0, -2.5, torch.finfo(dtype).max], dtype=torch.float64).to(dtype))
    require_finite("w", torch.zeros(0, dtype=dtype))
    with pytest.raises(WeightsError, match="w: 2 of 3 weights"):
        require_finite("w", torch.tensor([1.0, float("nan"), float("inf")]).to(dtype))
    with pytest.raises(WeightsError, match="int64"):
        require_finite("w", torch.ones(2, dtype=torch.int64))


# --- checkpoints ------------------------------------------------------------------------------------


def test_checkpoints_round_trip(tmp_path):
    shared = torch.randn(4, 4)
    params = {"a": shared, "b": shared.T, "c": shared[1:, ::2], "ünï": torch.tensor(1.5).bfloat16()}
    metadata = {f"key {number}": 'ü\n"quoted"' for number in range(6)}
    path = tmp_path / "w.safetensors"
    save_checkpoint(path, params, metadata)
    loaded, found = load_checkpoint(path)
    assert found == metadata
    assert loaded.keys() == params.keys()
    assert all(tensor.equal(params[name]) for name, tensor in loaded.items())
    with pytest.raises(OutputExists):
        save_checkpoint(path, params, metadata)


def test_a_checkpoint_of_nothing(tmp_path):
    save_checkpoint(tmp_path / "w.safetensors", {}, {})
    assert load_checkpoint(tmp_path / "w.safetensors") == ({}, {})


def test_checkpoints_are_the_same_bytes_every_time():
    """The library writes its metadata in another order at every call."""
    params = {"w": torch.ones(2, 3), "b": torch.zeros(0)}
    metadata = {f"{number}": "x" * number for number in range(20)}
    files = {checkpoint_bytes(params, dict(sorted(metadata.items(), reverse=turn % 2 == 1))) for turn in range(8)}
    assert len(files) == 1


@given(
    st.dictionaries(st.text(min_size=1), st.text(), max_size=5),
    st.dictionaries(st.text(min_size=1).filter(lambda name: name != "__metadata__"), st.integers(0, 5), max_size=4),
)
def test_order_is_all_that_changes(metadata, shapes):
    tensors = {name: np.arange(size, dtype=np.float32) for name, size in shapes.items()}
    data = same_every_time(safetensors.numpy.save(tensors, metadata or None))
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__", {}) == metadata
    loaded = safetensors.numpy.load(data)
    assert loaded.keys() == tensors.keys()
    assert all(array.tobytes() == tensors[name].tobytes() for name, array in loaded.items())


def test_what_is_missing_or_no_checkpoint(tmp_path):
    with pytest.raises(DataError, match=r"no file .*w\.safetensors"):
        load_checkpoint(tmp_path / "w.safetensors")
    with pytest.raises(DataError, match="is a folder"):
        load_checkpoint(tmp_path)
    path = Path(tmp_path / "w.bin")
    path.write_bytes(b"123")
    with pytest.raises(DataError, match=r"w\.bin is no checkpoint"):
        load_checkpoint(path)


def test_the_size_of_a_checkpoint_is_known_without_it():
    tensors = {"ä": torch.randn(3, 4).bfloat16(), "none": torch.zeros(0, 3), "flag": torch.tensor(True)}
    tensors |= {"turned": torch.arange(6).view(2, 3).T, "short": torch.randn(4).to(torch.float8_e4m3fn)}
    assert checkpoint_size(tensors) == len(checkpoint_bytes(tensors))
