"""`laconic compress --choose`: the file, what is said of it, and the plan that makes it again."""

import json
import re
from pathlib import Path

import pytest
import torch

import laconic
from laconic.choose.chosen import sentences
from laconic.cli import run
from laconic.models.checkpoints import save_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A matrix of rank 2, and a small one of noise."""
    g = torch.Generator().manual_seed(0)
    tensors = {
        "a.weight": torch.randn(32, 2, generator=g) @ torch.randn(2, 48, generator=g),
        "b.weight": torch.randn(4, 32, generator=g),
    }
    path = tmp_path_factory.mktemp("choose") / "net.safetensors"
    save_checkpoint(path, tensors, {})
    return path


def test_the_plan_that_is_written_makes_the_same_choice_again(call, checkpoint, tmp_path):
    file, plan, again = (tmp_path / name for name in ("a.lac", "a.toml", "b.lac"))
    arguments = ["--size", "700", "--quality", "fast"]
    told = json.loads(call("compress", checkpoint, "-o", file, "--choose", "--write-plan", plan, *arguments, "--json"))
    assert told["bytes"] == file.stat().st_size <= 700
    got = {one["tensor"]: one["technique"] for one in told["choice"]["tensors"]}
    assert got["a.weight"] == "low rank"
    assert set(laconic.load_plan(plan).tensors) == {name for name, technique in got.items() if technique != "grid"}
    call("compress", checkpoint, "-o", again, "--plan", plan, *arguments)
    first, second = laconic.load(file), laconic.load(again)
    assert all(torch.allclose(first[name], second[name], atol=0.2) for name in first)


def test_the_plan_that_is_written_tells_why_and_analyze_shows_it(call, checkpoint, tmp_path, capsys):
    plan = tmp_path / "a.toml"
    arguments = "--choose", "--write-plan", plan, "--size", "700", "--quality", "fast", "--params", "1500"
    told = json.loads(call("compress", checkpoint, "-o", tmp_path / "a.lac", *arguments, "--json"))["choice"]
    again = json.loads(call("analyze", plan, "--json"))["choice"]
    assert without_nothing(again) == without_nothing(told)
    assert told["failed"], "of labels, which are no bare words"
    shown = " ".join(call("analyze", plan).split())
    assert f"chose {told['chosen']}" in shown
    assert "what each tensor gets" in shown
    text, told_of = plan.read_text(), told["tensors"][0]
    (line,) = [one for one in text.splitlines() if f'"{told_of["tensor"]}", technique' in one]
    ruined = {
        "": "tells of no choice",
        "[choice]\nchosen = 3\n": "not as --write-plan has written it: choice has no measures",
        text.replace("\nchosen = ", "\nchosen = 3 #"): "choice.chosen is a string, not 3",
        text.replace(line, re.sub(r"bytes = [^,]+", "bytes = nan", line)): "bytes is a finite number from 0, not nan",
        text.replace(line, re.sub(r"damage = [^,]+", 'damage = "a"', line)): "damage is a number, not 'a'",
        text.replace(line, "  3,"): "choice.tensors[0] is a table, not 3",
    }
    for text, message in ruined.items():
        plan.write_text(text)
        assert run(["analyze", str(plan)]) == 1
        assert message in " ".join(capsys.readouterr().err.split())


def test_a_plan_that_was_measured_twice_is_told_apart():
    files = [
        {"plan": "all", "bytes": size, "damage": 0.1, "again": again} for size, again in ((992, False), (978, True))
    ]
    files.append({"plan": "grid", "bytes": 950, "damage": 0.2, "again": True})
    (said,) = sentences({"chosen": "all", "measures": "KL", "files": files, "limits": [], "failed": {}})[1:]
    assert said == "measured: all 0.1 in 992 B; all 0.1 in 978 B (once more, with more care); grid 0.2 in 950 B"


def without_nothing(value):
    """The same without what is None, for which TOML has no word."""
    if isinstance(value, dict):
        return {key: without_nothing(one) for key, one in value.items() if one is not None}
    return list(map(without_nothing, value)) if isinstance(value, list) else value


def test_what_only_a_choice_takes_is_refused_without_one(capsys, checkpoint, tmp_path):
    assert run(["compress", str(checkpoint), "-o", str(tmp_path / "a.lac"), "--params", "9K"]) != 0
    assert "--params: only --choose takes this" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "a.lac").exists()
    code = run(["compress", str(checkpoint), "-o", str(tmp_path / "a.lac"), "--choose", "--macs", "9K"])
    assert code != 0
    assert "name the network" in " ".join(capsys.readouterr().err.split())


def test_time_on_a_machine_is_a_budget_and_the_file_says_how_to_run_there(call, capsys, tmp_path):
    net, file = tmp_path / "net.safetensors", tmp_path / "a.lac"
    profile = Path(__file__).parents[2] / "examples" / "device_256kb.toml"
    call("train", "--net", "lenet300", "--data", "digits", "-o", net, "--epochs", 1)
    given = "--net", "lenet300", "--data", "digits", "--choose", "--time", "1.5"
    told = json.loads(call("compress", net, "-o", file, *given, "--profile", profile, "--json"))
    assert told["choice"]["limits"][0]["reached"] <= told["choice"]["limits"][0]["most"] == 0.0015
    layouts = json.loads(laconic.open(file).metadata["layouts"])
    assert {"fc1.weight", "fc2.weight"} <= set(layouts["weights"])
    assert run([*map(str, ("compress", net, "-o", tmp_path / "b.lac", *given))]) != 0
    assert "name its profile" in " ".join(capsys.readouterr().err.split())
