"""`laconic select`: a table of numbers, one of which is written; what is finished is not done again."""

import pytest

from laconic.cli import run
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
