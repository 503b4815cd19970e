"""`laconic compress --importance`: what is asked is what the C steps get, and what cannot be is refused."""

import pytest
import torch

import laconic
from laconic.cli import options, run
from laconic.cli.jobs.tasks import task_of
from laconic.models.checkpoints import load_checkpoint
from laconic.theory import importance
from laconic.theory.importance import IMPORTANCES, Importance

from .commands import EFFORTS

FEW = ["--importance-samples", "64"]


@pytest.fixture(scope="module")
def task(net):
    return task_of(None, None, None, None, load_checkpoint(net)[1])


def test_the_names_are_those_of_the_room():
    assert [name.value for name in options.Importance] == [*IMPORTANCES, "none"]


@pytest.mark.parametrize("name", ["unsupervised", "gradient", "hessian"])
def test_direct_compression_is_that_of_the_metrics(call, net, task, tmp_path, name):
    call("compress", net, "-o", tmp_path / "a.lac", "--codebook", "3", "--importance", name, *FEW)
    params = load_checkpoint(net)[0]
    metrics = importance.estimate(name, task, params, samples=64)
    by_hand = laconic.compress(params, laconic.AdaptiveCodebook(3), metrics=metrics).params
    plain = laconic.compress(params, laconic.AdaptiveCodebook(3)).params
    found = laconic.load(tmp_path / "a.lac")
    assert all(torch.equal(found[key], by_hand[key]) for key in params)
    assert not torch.equal(found["fc1.weight"], plain["fc1.weight"])


def test_the_same_in_toml_in_python_and_in_options(call, net, task, tmp_path):
    plan = tmp_path / "plan.toml"
    rows = '[tensors]\n"*.weight" = { keep = 0.2 }\n[rest]\nlossless = true\n'
    plan.write_text(f'importance = {{ name = "unsupervised", temperature = 2, samples = 64 }}\n{rows}')
    call("compress", net, "-o", tmp_path / "toml.lac", "--plan", plan)
    call("compress", net, "-o", tmp_path / "none.lac", "--plan", plan, "--importance", "none")
    weighed = Importance("unsupervised", temperature=2, samples=64)
    in_python = laconic.Plan({"*.weight": laconic.KeepLargest(0.2)}, laconic.Lossless(), weighed)
    plan.write_text(rows)
    asked = ["--importance", "unsupervised", "--temperature", "2", *FEW]
    call("compress", net, "-o", tmp_path / "options.lac", "--plan", plan, *asked)
    call("compress", net, "-o", tmp_path / "plain.lac", "--plan", plan)
    toml, none, named, plain = (laconic.load(tmp_path / f"{name}.lac") for name in ("toml", "none", "options", "plain"))
    params = load_checkpoint(net)[0]
    python = laconic.compress(params, in_python, task, "direct").params
    for key in params:
        assert torch.equal(toml[key], named[key])
        assert torch.equal(toml[key], python[key])
        assert torch.equal(none[key], plain[key])
    assert not torch.equal(toml["fc1.weight"], plain["fc1.weight"])


def test_a_budget_gets_it_beside_a_plan_or_alone(call, net, task, tmp_path):
    params, plan = load_checkpoint(net)[0], tmp_path / "plan.toml"
    plan.write_text('importance = { name = "gradient", samples = 64 }\n[tensors]\n"fc1.*" = { keep = 0.2 }\n')
    call("compress", net, "-o", tmp_path / "alone.lac", "--bits", "3", "--importance", "gradient", *FEW)
    call("compress", net, "-o", tmp_path / "beside.lac", "--bits", "3", "--plan", plan)
    weighed = Importance("gradient", samples=64)
    with laconic.open(tmp_path / "alone.lac") as file:
        notes = dict(file.metadata)  # they are counted
    alone = laconic.compress(params, bits=3, task=task, importance=weighed, metadata=notes).params
    rows = laconic.Plan({"fc1.*": laconic.KeepLargest(0.2)}, importance=weighed)
    beside = laconic.compress(params, rows, task, bits=3, metadata=notes).params
    plain = laconic.compress(params, bits=3).params
    for name, expected in (("alone", alone), ("beside", beside)):
        found = laconic.load(tmp_path / f"{name}.lac")
        assert all(torch.equal(found[key], expected[key]) for key in params)
        assert not torch.equal(found["fc2.weight"], plain["fc2.weight"])


def test_training_gets_it_and_a_resumed_run_too(call, net, tmp_path, monkeypatch):
    arguments = ["compress", net, "--codebook", "2", *EFFORTS["lc"], "--importance", "unsupervised", *FEW]
    call(*arguments, "-o", tmp_path / "a.lac")
    call(*arguments[:-4], "-o", tmp_path / "plain.lac")
    assert (tmp_path / "a.lac").read_bytes() != (tmp_path / "plain.lac").read_bytes()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("laconic.lc.learning.FineTuning.of", interrupt)
        assert run([str(word) for word in (*arguments, "-o", tmp_path / "b.lac")]) == 130
    assert run([str(word) for word in (*arguments[:-4], "-o", tmp_path / "b.lac", "--resume")]) == 1
    call(*arguments, "-o", tmp_path / "b.lac", "--resume")
    assert (tmp_path / "a.lac").read_bytes() == (tmp_path / "b.lac").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bits", "3", "--importance", "gradient+hessian", *FEW], "fc1.weight: a budget weighs squared errors"),
        (
            ["--codebook", "2", "--temperature", "2"],
            "--temperature, --importance-samples and --kind go with an --importance",
        ),
        (["--codebook", "2", "--importance", "none", *FEW], "go with an --importance"),
        (["--codebook", "2", "--importance", "gradient", "--temperature", "2"], "gradient takes the options"),
        (["--rank", "2", "--importance", "gradient+hessian", *FEW], "not Quartic"),
        (
            ["--rank", "2", "--importance", "gradient+hessian", *FEW],
            "give this tensor another compression, or the plan",
        ),
        (["--codebook", "2", "--importance", "gradient+hessian", *FEW, *EFFORTS["lc"]], "'gradient+hessian'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_with_a_sentence(capsys, net, tmp_path, arguments, words):
    assert run(["compress", str(net), "-o", str(tmp_path / "a.lac"), *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert words in " ".join(err.split())
    assert not (tmp_path / "a.lac").exists()


def test_weights_that_do_not_say_what_they_are_need_a_task(capsys, net, tmp_path):
    torch.save(load_checkpoint(net)[0], tmp_path / "net.pt")
    arguments = ["--codebook", "2", "--importance", "gradient", "-o", str(tmp_path / "a.lac")]
    assert run(["compress", str(tmp_path / "net.pt"), *arguments]) == 1
    err = capsys.readouterr().err
    assert "an importance needs a task" in err
    assert "--net" in err
    assert "--task" in err


def test_usage_names_the_importances(capsys):
    assert run(["compress", "a.pt", "-o", "a.lac", "--importance", "vibes"]) == 2
    assert "gradient+hessian" in capsys.readouterr().err


def test_a_plan_with_an_importance_needs_a_task():
    plan = laconic.Plan({}, laconic.Lossless(), Importance("gradient"))
    with pytest.raises(laconic.LaconicError, match="importance 'gradient' needs a task"):
        laconic.compress(torch.nn.Linear(2, 2), plan)


def test_metrics_that_are_given_are_taken_as_they_are(net):
    params = load_checkpoint(net)[0]
    plan = laconic.Plan({"*.weight": laconic.KeepLargest(0.1)}, laconic.Lossless(), Importance("gradient"))
    by_hand = laconic.compress(params, plan, metrics={}).params
    plain = laconic.compress(params, laconic.Plan(plan.tensors, plan.rest)).params
    assert all(torch.equal(by_hand[key], plain[key]) for key in params)
