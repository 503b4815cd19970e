"""Files of several sizes, and weights ranked, on the command line."""

import signal
from itertools import groupby
from pathlib import Path

import pytest
import torch

import laconic
from laconic.calibrate import sequence
from laconic.calibrate.analysis import Weight
from laconic.cli import run
from laconic.cli.jobs.analyze import planned
from laconic.csteps.uniform_grid import UniformGrid
from laconic.format.container import LacFile
from laconic.plans.toml import load_plan

from .commands import parsed

LESS = ("--samples", "200", "--json")


def test_a_frontier_keeps_the_files_on_the_hull(call, net, tmp_path, capsys):
    folder = tmp_path / "curve"
    command = ("frontier", net, "-o", folder, "--bits", "0.5,1,2", "--quality", "fast", *LESS)
    found = parsed(call(*command))
    assert found == parsed((folder / "frontier.json").read_text(encoding="utf-8"))
    assert [one["asked"] for one in found["files"]] == [0.5, 1, 2]
    kept = {Path(one["file"]).name for one in found["files"] if one["on_hull"]}
    assert kept == {path.name for path in folder.glob("*.lac")}
    assert (folder / "frontier.png").read_bytes().startswith(b"\x89PNG")
    for one in found["files"]:
        assert one["bits_per_weight"] <= one["asked"]
        assert one["bound"] < one["bits_per_weight"]
        if one["on_hull"]:
            assert Path(one["file"]).stat().st_size == one["bytes"]
            measured = parsed(call("evaluate", one["file"], "--split", "validation", "--json"))
            assert measured["error"] == pytest.approx(one["validation"]["error"])
    capsys.readouterr()
    assert run(list(map(str, command))) == 1
    assert "--force" in capsys.readouterr().err
    own = folder / "mine.lac"
    own.write_bytes(b"of somebody else")
    call("frontier", net, "-o", folder, "--bits", "1", "--quality", "fast", *LESS, "--force")
    assert {path.name for path in folder.glob("*.lac")} == {"1.lac", "mine.lac"}


def test_a_frontier_goes_on_at_the_weight_that_it_was_at(call, net, tmp_path, capsys, monkeypatch):
    whole, folder, calls, stops, solve = tmp_path / "whole", tmp_path / "curve", [], [], sequence.quantized

    def interrupted(network, subject, *rest):
        calls.append(subject.name)
        if len(calls) in stops:
            signal.raise_signal(signal.SIGINT)
        return solve(network, subject, *rest)

    monkeypatch.setattr(sequence, "quantized", interrupted)
    command = ["frontier", str(net), "--bits", "1,2", "--quality", "fast", "--samples", "200", "--quiet", "-o"]
    call(*command, whole)
    once = list(calls)
    calls.clear()
    stops.append(len(once) - 1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us to ignore it
    try:
        assert run([*command, str(folder)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    said, file = capsys.readouterr().err, folder / "1.lac"
    way = f"Go on with the same command and --resume (from {folder}.checkpoint)"
    assert said == f"interrupted. There are {file}. {way}\n"
    assert run([*command, str(folder), "--resume", "--seed", "1"]) == 1
    assert "--seed was 0, is 1" in capsys.readouterr().err
    stops.clear()
    call(*command, folder, "--resume")
    assert [name for name, _ in groupby(calls)] == [name for name, _ in groupby([*once[:-1], *once[-2:]])]
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    for path in whole.glob("*.lac"):
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert not folder.with_name("curve.checkpoint").exists()


def test_weights_are_ranked_and_a_plan_is_written(call, net, tmp_path):
    plan, figure, file = tmp_path / "a.toml", tmp_path / "a.png", tmp_path / "a.lac"
    found = parsed(call("analyze", net, "--plan", plan, "-o", figure, *LESS))
    assert {one["name"] for one in found["weights"]} == {"fc1.weight", "fc2.weight", "fc3.weight"}
    rows, wider = load_plan(plan).tensors, list[float]()
    for one in found["weights"]:
        row = rows[one["name"]]
        assert isinstance(row, UniformGrid)
        wider.append(row.step / one["step"])
    assert max(wider) == pytest.approx(min(wider), rel=1e-5), "they are at one level"
    assert figure.read_bytes().startswith(b"\x89PNG")
    call("compress", net, "-o", file, "--plan", plan, "--quiet")
    opened = LacFile(file.read_bytes(), "a file")
    taken = sum(opened.code(one["name"]).index_bits for one in found["weights"])
    assert 0.95 < taken / (found["bits"] * sum(one["count"] for one in found["weights"])) <= 1


@pytest.mark.parametrize("over", [0.3, 0.999, 1.002, 1.3, 4.0])
@pytest.mark.parametrize("step", [0.3, 1.2])
def test_steps_of_a_plan_are_found_wherever_the_search_begins(step: float, over: float):
    """Also where the first steps take all but the bits that are asked for, and a little more."""
    params = {"w": torch.randn(120, 80, generator=torch.Generator().manual_seed(0))}
    grid = UniformGrid(step=step, rate=0.15, scales=True)
    bits = laconic.compress(params, grid).codes["w"].index_bits / 9600 / over
    plan = planned([Weight("w", 9600, 0.0, 1.0, 1.0, 1.0, 1.0, step)], params, bits)
    assert 0.97 < laconic.compress(params, plan).codes["w"].index_bits / 9600 / bits <= 1


@pytest.mark.parametrize("bits", ["a", "2,-1", "", "0", "nan"])
def test_bits_that_are_none(net, tmp_path, capsys, bits):
    assert run(["frontier", str(net), "-o", str(tmp_path), "--bits", bits]) == 2
    assert "numbers above 0" in " ".join(capsys.readouterr().err.split())


def test_quality_on_the_command_line(call, net, tmp_path, capsys):
    file = tmp_path / "a.lac"
    found = parsed(
        call("compress", net, "-o", file, "--effort", "calibrate", "--max-kl", "0.05", "--quality", "fast", *LESS)
    )
    quality = found["calibration"]["quality"]
    assert quality["value"] <= quality["bound"] == 0.05
    assert found["asked"] == "a KL of 0.05 nats"
    for options, said in {
        ("--max-drop", "1"): "--max-drop needs --effort calibrate",
        ("--max-kl", "1", "--bits", "2"): "a budget is named once",
    }.items():
        assert run(["compress", str(net), "-o", str(tmp_path / "b.lac"), *options]) == 1
        assert said in capsys.readouterr().err
