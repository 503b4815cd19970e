"""`laconic inspect --format han`: Deep Compression's columns of a file, and what they leave out."""

import numpy as np
import torch

import laconic
from laconic.cli import run

from .commands import parsed


def test_columns_are_those_of_a_count_by_hand(call, tmp_path, capsys):
    torch.manual_seed(0)
    network = {"a": torch.randn(30, 20), "half": torch.randn(6, 6).half(), "many": torch.randn(20, 20)}
    plan = laconic.Plan({"a": laconic.KeepLargest(keep=0.1, values=laconic.AdaptiveCodebook(7))})
    file = laconic.compress(network, plan).save(tmp_path / "a.lac")
    record = parsed(call("inspect", file, "--format", "han", "--index-bits", "3", "--json"))["han"]
    assert record["left_out"] == ["half", "many"]
    places = np.flatnonzero(laconic.load(file)["a"].numpy().ravel())
    fillers = int(((np.diff(places, prepend=-1) - 1) // 8).sum())  # a gap of 8 or more has some
    bits = (60 + fillers) * (3 + 3) + 7 * 32  # seven values and the filler are 3 bits, as a relative index is
    own = record["tensors"]["a"]
    assert fillers > 0
    assert (own["weights"], own["kept"], own["value"], own["index"]) == (600, 10.0, 3.0, 3.0)
    assert own["rate"] == round(100 * bits / (32 * 600), 4)
    assert record["tensors"]["(total)"] == own
    assert "left out: half, many; it holds float32" in " ".join(call("inspect", file, "--format", "han").split())
    assert run(["inspect", str(file), "--index-bits", "3"]) == 1
    assert "--format han" in capsys.readouterr().err
