"""GGUF files as checkpoints: what their blocks say is all there, and stands for what the gguf package says."""

import sys

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from gguf import quants

import laconic
from laconic.errors import DataError, MissingPackage
from laconic.models.checkpoints import open_checkpoint

WEIGHTS = np.random.default_rng(0).normal(size=(48, 96)).astype(np.float32)


def written(path, **tensors):
    """Write tensors of (array, kind) by name, with a few words of metadata."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("toy")
    writer.add_token_list(["a", "b"])
    for name, (array, kind) in tensors.items():
        plain = kind in (Kind.F32, Kind.F16, Kind.F64)
        data = array.astype({Kind.F16: np.float16, Kind.F64: np.float64}.get(kind, np.float32))
        writer.add_tensor(name, data if plain else quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def file(tmp_path):
    tensors = {
        "blk.0.a.weight": (WEIGHTS, Kind.Q4_0),
        "blk.0.b.weight": (WEIGHTS * 3, Kind.Q8_0),
        "experts.weight": (np.stack([WEIGHTS, -WEIGHTS]), Kind.Q4_0),
        "half.weight": (WEIGHTS, Kind.F16),
        "brain.weight": (WEIGHTS, Kind.BF16),
        "norm.weight": (WEIGHTS[0], Kind.F32),
    }
    return written(tmp_path / "toy.gguf", **tensors)


def test_blocks_stand_for_what_the_gguf_package_says(file):
    checkpoint = open_checkpoint(file)
    assert checkpoint.metadata["general.name"] == "toy"
    assert "2 tensors of Q4_0" in checkpoint.notes[0]
    assert "tokenizer.ggml.tokens" in checkpoint.notes[1]
    weights = laconic.dequantized(checkpoint.params)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    assert set(weights) == set(tensors)
    for name in ("blk.0.a.weight", "blk.0.b.weight", "experts.weight"):
        expected = quants.dequantize(tensors[name].data, tensors[name].tensor_type)
        assert np.array_equal(weights[name].numpy(), expected), name
    assert torch.equal(weights["brain.weight"], torch.from_numpy(WEIGHTS).bfloat16())
    assert torch.equal(weights["half.weight"], torch.from_numpy(WEIGHTS).half())


def test_all_that_blocks_say_is_there_and_comes_back(file):
    params = open_checkpoint(file).params
    result = laconic.recode(params)
    assert all(torch.equal(result.params[name], params[name]) for name in params)
    stored = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(file).tensors}
    scales = result.params["blk.0.a.weight_scale"].numpy().reshape(-1, 1).view(np.uint8)
    nibbles = (result.params["blk.0.a.weight_q"].numpy().reshape(-1, 32) + 8).astype(np.uint8)
    blocks = np.concatenate([scales, nibbles[:, :16] | nibbles[:, 16:] << 4], axis=1)
    assert blocks.tobytes() == stored["blk.0.a.weight"].tobytes()
    assert result.file_bytes < file.stat().st_size


def test_another_type_is_named(tmp_path):
    path = written(tmp_path / "a.gguf", **{"x.weight": (WEIGHTS, Kind.Q5_0), "y.weight": (WEIGHTS, Kind.F32)})
    with pytest.raises(DataError, match=r"x\.weight is Q5_0: read here are Q4_0, Q8_0, F64"):
        open_checkpoint(path)


def test_a_file_that_is_cut_or_altered_is_an_error_or_other_numbers(file):
    data, rng = file.read_bytes(), np.random.default_rng(1)
    for length in (4, 9, 30, 200, len(data) // 2):
        file.write_bytes(data[:length])
        with pytest.raises(DataError, match="cannot be read as GGUF"):
            open_checkpoint(file)
    for _ in range(60):
        altered = bytearray(data)
        altered[rng.integers(4, 400)] = rng.integers(0, 256)
        file.write_bytes(altered)
        try:
            dict(open_checkpoint(file).params)
        except DataError:
            continue


def test_without_the_package_its_extra_is_named(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingPackage, match=r"laconic\[gguf\]"):
        open_checkpoint(file)
