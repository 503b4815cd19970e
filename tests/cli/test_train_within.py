"""`laconic compress --effort train` with a budget: a file of the size, a log of the path, and the same after a stop."""

import shutil

import pytest
import torch
from torch import nn

from laconic.cli import run
from laconic.cli.jobs.folds import folded_norms
from laconic.cli.jobs.tasks import load_factory
from laconic.format import container
from laconic.lc import checkpoint
from laconic.lc.log import read_log
from laconic.models.checkpoints import save_checkpoint

from .commands import parsed

WITHIN = ["--effort", "train", "--size", "4KB", "--steps", "2", "--finetune", "1", "--data", "digits", "--threads", "1"]


def test_a_size_is_met_and_the_path_is_logged_and_shown(call, net, tmp_path):
    file, log, figure = tmp_path / "a.lac", tmp_path / "run.jsonl", tmp_path / "run.png"
    kept = tmp_path / "points"
    record = parsed(call("compress", net, "-o", file, *WITHIN, "--log", log, "--keep-points", kept, "--json"))
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
    assert "kept as" in text
    assert [step["kept"] for step in shown["steps"]] == [step["kept"] for step in record["history"]]
    named = {step["kept"]: step for step in record["history"] if step["kept"]}
    assert named.keys() == {path.name for path in kept.iterdir()}
    assert len(named) > 1
    for name, step in named.items():
        assert name == f"step-{step['step']:03d}-{(kept / name).stat().st_size}B.lac"
        assert parsed(call("evaluate", kept / name, "--split", "validation", "--json"))["error"] == pytest.approx(
            step["validation"]["error"]
        )


def test_a_run_that_is_stopped_goes_on_to_the_same_file_and_log(net, tmp_path, monkeypatch, capsys):
    whole, stopped, logs = tmp_path / "a.lac", tmp_path / "b.lac", (tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    monkeypatch.chdir(tmp_path)
    kept = ["--keep-points", "points"]
    assert run(["compress", str(net), "-o", str(whole), *WITHIN, "--log", str(logs[0]), *kept]) == 0
    points = {path.name: path.read_bytes() for path in (tmp_path / "points").iterdir()}
    shutil.rmtree(tmp_path / "points")
    steps = []

    def dying(*arguments):
        checkpoint.save_state(*arguments)
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt

    again = ["compress", str(net), "-o", str(stopped), *WITHIN, "--log", str(logs[1]), *kept]
    with monkeypatch.context() as patch:
        patch.setattr("laconic.cli.jobs.running.save_state", dying)
        assert run(again) == 130
    assert "--resume" in capsys.readouterr().err
    assert not stopped.exists()
    assert run([*again, "--resume"]) == 0
    assert stopped.read_bytes() == whole.read_bytes()
    assert logs[1].read_text() == logs[0].read_text()
    assert len(read_log(logs[1])) == 3
    assert {path.name: path.read_bytes() for path in (tmp_path / "points").iterdir()} == points


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "100"], "100 bytes are too few"),
        (["--snr", "10"], "--snr does not go with --effort train"),
        (["--size", "4KB", "--quality", "max"], "--quality does not go with --effort train"),
        (["--size", "4KB", "--codebook", "4"], "--size does not go with --codebook"),
        (["--max-drop", "1", "--method", "idc", "--data", "digits"], "met by the LC algorithm, not by method 'idc'"),
        (["--size", "4KB", "--data", "digits", "--log", "{net}"], "that is a file of this run already"),
        (["--size", "4KB", "--data", "digits", "--log", "{other}"], "exists"),
        ([], "--effort train needs to know what to make"),
        (["--codebook", "2", "--data", "digits", "--keep-points", "new"], "--keep-points goes with a budget"),
        (["--size", "4KB", "--data", "digits", "--keep-points", "{other}"], "is no folder"),
        (["--size", "4KB", "--data", "digits", "--keep-points", "{folder}"], "has something in it"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(net, tmp_path, capsys, options, words):
    other = tmp_path / "thesis.txt"
    other.write_text("two years of work")
    options = [option.format(net=net, other=other, folder=tmp_path) for option in options]
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


TINY = """
import torch
from sklearn.datasets import load_digits
from torch import nn
import laconic

def make():
    torch.manual_seed(0)
    data = load_digits()
    inputs, labels = torch.from_numpy(data.data).float() / 16, torch.from_numpy(data.target)
    parts = {"train": slice(0, 1200), "validation": slice(1200, 1500)}
    batches = {split: [(inputs[rows], labels[rows])] for split, rows in parts.items()}
    return laconic.Task(nn.Linear(64, 10), **batches, loss=nn.CrossEntropyLoss())
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Function: options → exit code of compression of a network of one layer, as a task of one's own."""
    (tmp_path / "tiny_digits.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "tiny.safetensors", nn.Linear(64, 10).state_dict(), {})
    asked = ["--effort", "train", "--task", "tiny_digits:make", "--steps", "2", "--finetune", "1", "--threads", "1"]
    return lambda *options: run(["compress", "tiny.safetensors", "-o", "a.lac", *asked, *options])


def test_a_kl_is_met_by_the_smallest_of_several_sizes_and_each_step_is_logged(tiny, tmp_path, capsys, call):
    assert tiny("--max-kl", "0.2", "--log", "a.jsonl", "--json") == 0
    record = parsed(capsys.readouterr().out)
    assert record["quality"]["value"] <= record["quality"]["bound"] == 0.2
    assert record["quality"]["files"] == len(record["history"])
    assert record["bytes"] == (tmp_path / "a.lac").stat().st_size < 1000
    shown = parsed(call("log", "a.jsonl", "--json"))
    assert [step["met"] for step in shown["steps"]] == [step["validation"]["kl"] <= 0.2 for step in record["history"]]
    assert "steps meet what is asked; the smallest" in " ".join(shown["diagnosis"])
    assert "validation kl" in call("log", "a.jsonl").replace("\n", " ") or "yes" in call("log", "a.jsonl")


def test_where_nothing_meets_it_the_nearest_is_named_and_the_checkpoint_kept(tiny, tmp_path, capsys):
    for again in ([], ["--resume"]):
        assert tiny("--max-kl", "1e-15", *again) == 1
        assert "is within the bound of 1e-15; the nearest point, of " in capsys.readouterr().err
        assert (tmp_path / "a.lac.checkpoint").exists()
        assert not (tmp_path / "a.lac").exists()
