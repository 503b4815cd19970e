"""`laconic select`: a table of numbers, one of which is written; what is finished is not done again."""

import pytest
import torch
from torch import nn

from laconic.cli import run
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import params_of
from laconic.training import folds

from .commands import parsed


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_file_is_that_of_the_chosen_number_and_a_second_run_computes_nothing(call, net, tmp_path, monkeypatch):
    command = ("select", net, "--technique", "codebook", "--values", "2,8,16", "--json", "-o")
    found = parsed(call(*command, "a.lac"))
    chosen = [row for row in found["values"] if row["chosen"]]
    assert [row["value"] for row in chosen] == [found["value"]]
    call("compress", net, "--codebook", int(found["value"]), "-o", "b.lac")
    evaluated = [parsed(call("evaluate", name, "--split", "validation", "--json")) for name in ("a.lac", "b.lac")]
    assert evaluated[0]["error"] == evaluated[1]["error"] == pytest.approx(chosen[0]["error"])
    assert (tmp_path / "a.lac").stat().st_size == found["bytes"] == chosen[0]["bytes"]

    def never(*arguments):
        raise AssertionError("computed again")

    monkeypatch.setattr("laconic.selection.compress", never)
    monkeypatch.setattr("laconic.selection.errors_of", never)
    (tmp_path / "a.lac").unlink()
    assert parsed(call(*command, "a.lac")) == found
    assert run(["select", str(net), "--technique", "rank", "--values", "2", "-o", "a.lac"]) == 1


def test_an_interrupted_selection_goes_on(net, capsys, monkeypatch):
    command = ["select", str(net), "--technique", "rank", "--values", "2,4", "-o", "a.lac", "--quiet"]
    evaluate = folds.errors_of
    calls = []

    def interrupting(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    monkeypatch.setattr("laconic.selection.errors_of", interrupting)
    assert run(command) == 130
    assert "a.lac.select: the same command goes on" in capsys.readouterr().err
    assert run(command) == 0
    assert len(calls) == 3


def test_points_of_other_data_are_not_used_again(tmp_path, monkeypatch, capsys):
    """The factory has the same name, and says other samples."""
    (tmp_path / "mine.py").write_text(
        "import torch, laconic\nfrom pathlib import Path\ndef make():\n"
        "    torch.manual_seed(0)\n    net = torch.nn.Linear(4, 3)\n"
        "    torch.manual_seed(int(Path('seed').read_text()))\n"
        "    data = [(torch.randn(30, 4), torch.randint(0, 3, (30,)))]\n"
        "    return laconic.task.classification(net, {'train': data, 'validation': data})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "n.safetensors", params_of(nn.Linear(4, 3)), {})
    command = ["select", "n.safetensors", "--task", "mine:make", "--technique", "codebook", "--values", "2", "--quiet"]
    (tmp_path / "seed").write_text("1")
    assert run([*command, "-o", "a.lac"]) == 0
    (tmp_path / "a.lac").unlink()
    (tmp_path / "seed").write_text("2")
    assert run([*command, "-o", "a.lac"]) == 1
    assert "its first samples' SHA-256" in capsys.readouterr().err


def test_options_that_do_not_fit_are_refused(net, tmp_path, capsys):
    some = ["--technique", "rank", "--values", "2"]
    for arguments, message in (
        ([*some, "--steps", "3"], "--steps: only --effort train"),
        ([*some, "--refit-lr", "0.2"], "--refit-lr: only --folds"),
        ([*some, "--effort", "calibrate"], "calibrate meets a budget"),
        ([*some, "--effort", "train", "--log", "a.jsonl"], "--log and --keep-points"),
        (["--technique", "rnak", "--values", "2"], "there is no technique 'rnak'"),
        (["--technique", "codebook", "--values", "2.5"], "should be an integer"),
        ([*some, "--folds", "1"], "2 to 1,200 folds"),
        ([*some, "--tensors", "fc9*"], "matches no tensor"),
        ([*some, "--row", "rank = 3"], "rank is what is selected"),
        ([*some, "--row", "left = {"], "options such as kind"),
        ([*some, "--row", "kid = 3"], "not 'kid'"),
    ):
        assert run(["select", str(net), *arguments, "-o", "out.lac"]) == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out.lac").exists()
