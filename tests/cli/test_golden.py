"""`laconic inspect --against`: the golden rules of a file, with and without a task."""

from math import log10
from pathlib import Path

import pytest
import torch

import laconic
from laconic.cli import run
from laconic.cli.jobs.tasks import task_of
from laconic.models.checkpoints import load_checkpoint, save_checkpoint
from laconic.theory import importance

from .commands import parsed


@pytest.fixture(scope="module")
def file(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("golden") / "a.lac"
    assert run(["compress", str(net), "-o", str(path), "--codebook", "4", "--quiet"]) == 0
    return path


def test_without_a_task_it_is_the_squared_error(call, net, file):
    record = parsed(call("inspect", file, "--against", net, "--json"))
    found, params, back = record["golden"], load_checkpoint(net)[0], laconic.load(file)
    assert [each["name"] for each in found["tensors"]] == ["fc1.weight", "fc2.weight", "fc3.weight"]
    assert (found["unchanged"], found["importance"]) == (3, "none")
    for each in found["tensors"]:
        w, c = params[each["name"]].double(), back[each["name"]].double()
        error = float((w - c).square().sum())
        assert each["objective"] == pytest.approx(error)
        assert each["snr"] == pytest.approx(10 * log10(float(w.square().sum()) / error))
        assert each["residual"] < 1e-3, "means of clusters are orthogonal to what they leave"
        assert each["predicted"] is None
    assert found["objective"] == pytest.approx(sum(each["objective"] for each in found["tensors"]))
    assert "true" not in found
    del record["golden"]
    assert record == parsed(call("inspect", file, "--json"))


def test_with_a_task_it_is_the_importance_and_the_outputs(call, net, file):
    few = ["--importance-samples", "300"]
    found = parsed(call("inspect", file, "--against", net, "--data", "digits", *few, "--json"))["golden"]
    params, metadata = load_checkpoint(net)
    task, back = task_of(None, None, None, None, metadata), laconic.load(file)
    metrics = importance.unsupervised(task, params, samples=300)
    assert (found["kind"], found["split"], found["importance"]) == ("classification", "validation", "unsupervised")
    for each in found["tensors"]:
        error = metrics[each["name"]].error(params[each["name"]], back[each["name"]])
        assert each["objective"] == pytest.approx(error, rel=1e-6)
        assert each["predicted"] == each["objective"] / 2
    assert found["true"] == pytest.approx(importance.true_distortion(task, params, back, "validation"))
    assert found["ratio"] == pytest.approx(found["objective"] / 2 / found["true"])


FACTORY = """
import torch
from laconic import Task
from laconic.training.judges import least_squares

def loss(outputs, batch):
    return (outputs - batch[1]).abs().sum() / len(outputs)

def make(loss=least_squares):
    inputs = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    module = torch.nn.Linear(3, 2, bias=False)
    return Task.of(module, lambda split, seed: [(inputs, inputs[:, :2])], loss)

def own():
    return make(loss)
"""


@pytest.fixture
def linear(tmp_path, monkeypatch):
    """A linear network with independent inputs, whose quadratic form is the distortion itself, but for the samples."""
    monkeypatch.chdir(tmp_path)
    Path("golden_in_this_folder.py").write_text(FACTORY)
    save_checkpoint(Path("w.safetensors"), {"weight": torch.tensor([[1.0, 2.0, -1.0], [0.5, 3.0, 1.0]])}, {})
    assert run(["compress", "w.safetensors", "-o", "w.lac", "--codebook", "2", "--quiet"]) == 0
    return ["inspect", "w.lac", "--against", "w.safetensors"]


def test_regression_has_no_half(call, linear):
    found = parsed(call(*linear, "--task", "golden_in_this_folder:make", "--split", "test", "--json"))["golden"]
    assert (found["kind"], found["split"]) == ("regression", "test")
    assert found["predicted"] == found["objective"]
    assert found["ratio"] == pytest.approx(1, abs=0.1)


def test_other_importances_predict_no_distortion(call, linear):
    task = ["--task", "golden_in_this_folder:make"]
    for name in ("none", "gradient", "gradient+hessian"):
        found = parsed(call(*linear, *task, "--importance", name, "--json"))["golden"]
        assert (found["importance"], found["predicted"], found["ratio"]) == (name, None, None)
        assert found["true"] > 0
        assert (found["tensors"][0]["residual"] is None) == (name == "gradient+hessian")
        assert "times the true" not in call(*linear, *task, "--importance", name)


def test_a_loss_of_ones_own_needs_the_kind(call, linear, capsys):
    task = ["--task", "golden_in_this_folder:own"]
    assert run([*linear, *task]) == 1
    assert "kind must be 'classification'" in capsys.readouterr().err
    found = parsed(call(*linear, *task, "--kind", "regression", "--json"))["golden"]
    assert found["ratio"] == pytest.approx(1, abs=0.1)


def test_the_table_says_it(call, net, file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = call("inspect", file, "--against", net, "--data", "digits", "--importance-samples", "50")
    for words in (
        "golden rules, importance unsupervised",
        "true distortion on validation",
        "times the true",
        "fc1.weight",
    ):
        assert words in shown
    assert "golden rules, squared error" in call("inspect", file, "--against", net)


def test_a_lossless_file_changes_nothing(call, net, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text("[rest]\nlossless = true\n")
    call("compress", net, "-o", tmp_path / "a.lac", "--plan", plan)
    few = ["--importance-samples", "20"]
    found = parsed(call("inspect", tmp_path / "a.lac", "--against", net, "--data", "digits", *few, "--json"))["golden"]
    assert (found["tensors"], found["objective"], found["true"], found["ratio"]) == ([], 0, 0, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "digits"], "--data: goes with --against"),
        (["--split", "test", "--importance", "none"], "--importance, --split: goes with --against"),
        (["--against", "NET", "--temperature", "2"], "go with a task and an --importance"),
        (
            ["--against", "NET", "--data", "digits", "--importance", "none", "--importance-samples", "9"],
            "go with a task",
        ),
        (["--against", "NET", "--importance", "gradient", "--temperature", "2"], "gradient takes the options"),
        (["--against", "missing.safetensors"], "no file missing.safetensors"),
        (["--against", "OTHER"], "fc1.weight on one side only, or of another shape"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_with_a_sentence(capsys, net, published, file, arguments, words):
    places = {"NET": str(net), "OTHER": str(published)}
    assert run(["inspect", str(file), *(places.get(word, word) for word in arguments)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert words in " ".join(err.split())
