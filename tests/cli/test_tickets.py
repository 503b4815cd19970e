"""`laconic tickets` and `laconic scratch`: tables, files, and runs that are stopped."""

import pytest
import torch

import laconic
from laconic.cli import run
from laconic.deploy.edits import METADATA, Edits
from laconic.deploy.narrowing import narrow
from laconic.models import nets
from laconic.models.params import params_of
from laconic.training import trainer

from .commands import parsed

TICKETS = ["tickets", "--net", "lenet300", "--data", "digits", "--epochs", "1", "--every", "3", "--rate", "0.5"]


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_tickets_go_on_where_they_were_stopped_and_the_file_is_the_last_one(call, capsys, monkeypatch, tmp_path):
    train, calls = trainer.train_epoch, []

    def counting(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(trainer, "train_epoch", counting)
    assert run([*TICKETS, "--levels", "2", "-o", "a.lac"]) == 130
    assert "a.lac.tickets: the same command goes on" in capsys.readouterr().err
    found = parsed(call(*TICKETS, "--levels", "2", "--controls", "-o", "a.lac", "--json"))
    assert len(calls) == 3 + 1 + 3, "of the dense network and the first level nothing is done again"
    names = [(row["network"], row["level"]) for row in found["levels"]]
    assert names == [("dense", 0), ("ticket", 1), ("ticket", 2), ("re-initialised", 2), ("shuffled", 2), ("random", 2)]
    assert [row["density"] for row in found["levels"]] == pytest.approx([1, 0.505, *[0.256] * 4], abs=2e-3)
    assert (tmp_path / "a.lac").stat().st_size == found["bytes"]
    zeros = sum(int((tensor == 0).sum()) for tensor in laconic.load("a.lac").values() if tensor.ndim == 2)
    assert zeros == sum(t.numel() for t in laconic.load("a.lac").values() if t.ndim == 2) - round(
        found["levels"][2]["density"] * (64 * 300 + 300 * 100 + 1000)
    )
    assert parsed(call("evaluate", "a.lac", "--json"))["error"] == pytest.approx(found["test"]["error"])
    assert run([*TICKETS, "--levels", "2", "--lr", "0.1", "-o", "a.lac", "--quiet"]) == 1
    assert run([*TICKETS, "--levels", "1,2", "-o", "b.lac", "--quiet"]) == 1
    assert "--at-once" in capsys.readouterr().err


def test_more_levels_do_the_new_ones_alone_and_a_damaged_point_is_computed_again(call, monkeypatch, tmp_path):
    train, calls = trainer.train_epoch, []

    def counting(*arguments):
        calls.append(arguments)
        return train(*arguments)

    monkeypatch.setattr(trainer, "train_epoch", counting)
    first = parsed(call(*TICKETS, "--levels", "1", "-o", "a.lac", "--json"))
    one = len(calls) // 2
    more = parsed(call(*TICKETS, "--levels", "2", "-o", "a.lac", "--json", "--force"))
    assert len(calls) == 3 * one
    assert more["levels"][:2] == first["levels"]
    whole = (tmp_path / "a.lac").read_bytes()
    for path in (tmp_path / "a.lac.tickets" / "kept").iterdir():
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
    call(*TICKETS, "--levels", "2", "-o", "a.lac", "--quiet", "--force")
    assert len(calls) == 6 * one
    assert (tmp_path / "a.lac").read_bytes() == whole


def test_a_narrow_network_is_trained_from_scratch_and_resumed(call, capsys, monkeypatch, tmp_path):
    edits = Edits({"fc1.weight": {0: (0, 1, 5)}, "fc1.bias": {0: (0, 1, 5)}, "fc2.weight": {1: (0, 1, 5)}})
    small = narrow(nets.build("lenet300", (1, 8, 8)), edits)
    notes = {**nets.identity("lenet300", "digits", "pixels/16"), METADATA: edits.dumps()}
    laconic.compress(params_of(small), laconic.Plan({}), effort="direct", metadata=notes).save("small.lac")
    command = ["scratch", "small.lac", "--epochs", "2", "--lr", "0.05"]
    found = parsed(call(*command, "-o", "whole.lac", "--json"))
    assert (found["epochs"], round(found["times_fewer_multiply_adds"])) == (2, 34)
    assert parsed(call("evaluate", "whole.lac", "--json"))["error"] == pytest.approx(found["test"]["error"])
    train, calls = trainer.train_epoch, []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(trainer, "train_epoch", stopping)
    assert run([*command, "-o", "a.lac", "--quiet"]) == 130
    assert run([*command, "-o", "a.lac", "--quiet", "--resume"]) == 0
    assert (tmp_path / "a.lac").read_bytes() == (tmp_path / "whole.lac").read_bytes()
    assert not (tmp_path / "a.lac.checkpoint").exists()
    module = laconic.load("a.lac", nets.build("lenet300", (1, 8, 8), seed=3))
    assert module.fc1.out_features == 3
    assert not torch.equal(module.fc1.weight, small.fc1.weight)
    laconic.compress(nets.build("lenet300", (1, 8, 8)), laconic.Plan({}), effort="direct").save("wide.lac")
    assert run(["scratch", "wide.lac", "--net", "lenet300", "--data", "digits", "-o", "b.lac", "--quiet"]) == 1
    assert "as wide as before" in capsys.readouterr().err
