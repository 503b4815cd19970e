"""`laconic train --regularize`: a checkpoint like any other, near low rank, which truncation leaves as it is."""

import pytest
import torch
from safetensors.torch import load_file

from laconic.cli import run
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


TASK = """
import laconic, torch
from torch import nn


def make():
    inputs = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    batches = [(inputs, (inputs[:, 0] > 0).long())]
    net = nn.Sequential(nn.Linear(4, 6), *norm, nn.Linear(6, 2))
    return laconic.Task(net, train=batches, validation=batches, loss=nn.functional.cross_entropy)
"""


@pytest.mark.parametrize(("norm", "said"), [("[nn.BatchNorm1d(6)]", True), ("[]", False)])
def test_that_batch_normalization_undoes_a_price_is_said(tmp_path, monkeypatch, capsys, norm, said):
    (tmp_path / f"net_{said}.py").write_text(TASK.replace("*norm", f"*{norm}"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    options = ["--task", f"net_{said}:make", "--epochs", "1", "--regularize", "nuclear", "--price", "0.1"]
    assert run(["train", *options, "-o", str(tmp_path / "near.safetensors")]) == 0
    assert ("before a batch normalization" in "".join(capsys.readouterr())) is said
