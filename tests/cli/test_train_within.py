"""`laconic compress --effort train` with a budget: a file of the size, a log of the path, and the same after a stop."""

import pytest
import torch

from laconic.cli import run
from laconic.cli.jobs.folds import folded_norms
from laconic.cli.jobs.tasks import load_factory
from laconic.format import container
from laconic.lc import checkpoint
from laconic.lc.log import read_log

from .commands import parsed

WITHIN = ["--effort", "train", "--size", "4KB", "--steps", "2", "--finetune", "1", "--data", "digits", "--threads", "1"]


def test_a_size_is_met_and_the_path_is_logged_and_shown(call, net, tmp_path):
    file, log, figure = tmp_path / "a.lac", tmp_path / "run.jsonl", tmp_path / "run.png"
    record = parsed(call("compress", net, "-o", file, *WITHIN, "--log", log, "--json"))
    assert record["bytes"] == file.stat().st_size <= 4000
    assert record["asked"] == "4,000 bytes"
    assert [step["file_bytes"] <= 4000 for step in record["history"]] == [True] * 3
    assert record["history"][0]["validation"]["error"] > record["validation"]["error"]
    shown = parsed(call("log", log, "-o", figure, "--json"))
    assert [step["step"] for step in shown["steps"]] == [0, 1, 2]
    assert [step["mu"] for step in shown["steps"]] == [step["mu"] for step in record["history"]]
    assert figure.read_bytes().startswith(b"\x89PNG")
    text = call("log", log)
    assert "4,000" in text or "3,9" in text, "bytes of each file"
    assert "nothing can be told yet" in text


def test_a_run_that_is_stopped_goes_on_to_the_same_file_and_log(net, tmp_path, monkeypatch, capsys):
    whole, stopped, logs = tmp_path / "a.lac", tmp_path / "b.lac", (tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert run(["compress", str(net), "-o", str(whole), *WITHIN, "--log", str(logs[0])]) == 0
    steps = []

    def dying(*arguments):
        checkpoint.save_state(*arguments)
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt

    again = ["compress", str(net), "-o", str(stopped), *WITHIN, "--log", str(logs[1])]
    with monkeypatch.context() as patch:
        patch.setattr("laconic.cli.jobs.running.save_state", dying)
        assert run(again) == 130
    assert "--resume" in capsys.readouterr().err
    assert not stopped.exists()
    assert run([*again, "--resume"]) == 0
    assert stopped.read_bytes() == whole.read_bytes()
    assert logs[1].read_text() == logs[0].read_text()
    assert len(read_log(logs[1])) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "200"], "200 bytes are too few"),
        (["--snr", "10"], "--snr does not go with --effort train"),
        (["--size", "4KB", "--quality", "max"], "--quality does not go with --effort train"),
        (["--size", "4KB", "--codebook", "4"], "--size does not go with --codebook"),
        (["--max-drop", "1"], "needs --effort calibrate"),
        (["--size", "4KB", "--data", "digits", "--log", "{net}"], "that is a file of this run already"),
        (["--size", "4KB", "--data", "digits", "--log", "{other}"], "exists"),
        ([], "--effort train needs to know what to make"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(net, tmp_path, capsys, options, words):
    other = tmp_path / "thesis.txt"
    other.write_text("two years of work")
    options = [option.format(net=net, other=other) for option in options]
    assert run(["compress", str(net), "-o", str(tmp_path / "a.lac"), "--effort", "train", *options]) == 1
    assert other.read_text() == "two years of work"
    assert words in capsys.readouterr().err


FACTORY = """
import torch
from torch import nn
from laconic.models import data
from laconic.training.task import classification

def make():
    torch.manual_seed(0)
    norms = nn.BatchNorm2d(8), nn.BatchNorm1d(32, affine=False)
    layers = nn.Conv2d(1, 8, 3, padding=1), norms[0], nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), norms[1]
    return classification(nn.Sequential(*layers, nn.Linear(32, 10)), data.load("digits", None, "pixels/16"))
"""


def test_norms_with_constant_statistics_are_said_and_a_run_goes_on_as_it_was_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "normed_digits.py").write_text(FACTORY)
    weights, file = tmp_path / "mine.pt", tmp_path / "a.lac"
    torch.save(load_factory("normed_digits:make").module.state_dict(), weights)
    within = ["--effort", "train", "--size", "700", "--steps", "0", "--finetune", "0", "--task", "normed_digits:make"]
    command = ["compress", str(weights), "-o", str(file), *within, "--json"]
    assert run(command) == 0
    out, err = capsys.readouterr()
    assert "batch normalizations whose statistics are in their own scale and shift: 1\n" in err
    assert "batch normalization left as it is: 5 (lacks weight, bias: a scale and a shift of its own" in err
    norms = parsed(out)["norms"]
    assert (norms["constant"], norms["left"].keys()) == (["1"], {"5"})
    with container.open(file) as written:
        assert folded_norms(load_factory("normed_digits:make").module.state_dict(), written) == frozenset()

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("laconic.cli.jobs.compress.report", stopped)
        assert run([*command, "--force"]) == 130
    assert run([*command, "--resume", "--no-fold"]) == 1
    assert "--no-fold was False, is True" in capsys.readouterr().err
    assert run([*command, "--force", "--no-fold"]) == 0
    assert parsed(capsys.readouterr().out)["norms"] is None
