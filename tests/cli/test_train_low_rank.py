"""`laconic train --regularize`: a checkpoint like any other, near low rank, which truncation leaves as it is."""

import pytest
import torch
from safetensors.torch import load_file

from laconic.models import nets
from laconic.models.params import params_of

from .commands import TRAIN, parsed


@pytest.mark.parametrize("way", ["nuclear", "orthogonality"])
def test_what_a_price_leaves_is_told_and_survives_truncation(call, tmp_path, way):
    near, file = tmp_path / "near.safetensors", tmp_path / "near.lac"
    regularized = ["--regularize", way, "--price", "0.1", "--epochs", "8", "--batch", "64"]
    told = parsed(call(*TRAIN, "-o", near, *regularized, "--json"))
    assert (told["regularize"], told["price"]) == (way, 0.1)
    tensors = load_file(near)
    plain = params_of(nets.build("lenet300", (1, 8, 8), 10, 0))
    assert {n: (t.shape, t.dtype) for n, t in tensors.items()} == {n: (t.shape, t.dtype) for n, t in plain.items()}
    assert list(told["ranks"]) == ["fc1.weight", "fc2.weight", "fc3.weight"]
    for name, (rank, full) in told["ranks"].items():
        values = torch.linalg.svdvals(tensors[name].double())
        assert rank == int((values > values[0] / 100).sum())
        assert full == len(values)
    widest = max(rank for rank, _ in told["ranks"].values())
    assert widest <= 30, "of 64, 100 and 10"
    call("compress", near, "-o", file, "--rank", widest, "--quiet")
    assert parsed(call("evaluate", file, "--json"))["error"] == pytest.approx(told["test"]["error"], abs=1.0)
