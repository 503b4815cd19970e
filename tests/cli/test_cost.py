"""`inspect --cost`, `profile` and `compress --target`: what a network costs, and the machine that it is meant for."""

import json
from pathlib import Path

import pytest

import laconic
from laconic.cli import run
from laconic.csteps.profile_file import load_profile
from laconic.format import container
from laconic.models.checkpoints import load_checkpoint

from .commands import parsed

DEVICE = Path(__file__).parents[2] / "examples" / "device_256kb.toml"


def test_a_reference_network_is_counted_without_weights_and_data(call):
    found = parsed(call("inspect", "--cost", "--net", "resnet20", "--json"))
    assert found["multiply_adds"] == found["coded"] == 40_551_040
    assert found["parameters"] == 269_722
    assert found["seconds"] is None
    assert found["unknown"] == {}
    assert "40,551,040" in call("inspect", "--cost", "--net", "resnet20")


def test_a_file_is_counted_as_its_codes_stand(call, net, tmp_path):
    assert run(["compress", str(net), "-o", str(tmp_path / "a.lac"), "--rank", "8", "--quiet"]) == 0
    plain, coded = (parsed(call("inspect", path, "--cost", "--json")) for path in (net, tmp_path / "a.lac"))
    assert plain["multiply_adds"] == plain["coded"] == coded["multiply_adds"] == 50_200
    assert coded["coded"] == 8 * (300 + 64) + 8 * 400 + 8 * 110
    assert coded["picojoules"] < plain["picojoules"]
    shown = call("inspect", tmp_path / "a.lac", "--cost", "--profile", DEVICE, "--batch", "32")
    assert "rows; rows" in shown
    assert "256 KB" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cost"], "name a file, or a network"),
        (["--cost", "--net", "lenet9"], "no network 'lenet9'"),
        (["net.lac", "--cost", "--split", "test"], "--split: --cost counts what is run"),
        (["net.lac", "--profile", "a.toml"], "--profile: goes with --cost"),
        (["--cost", "--net", "lenet5", "--batch", "3"], "--batch: goes with --profile"),
        (["--cost", "--net", "lenet5", "--profile", "none.toml"], "the profile none.toml cannot be read"),
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_is_refused(capsys, arguments, said):
    assert run(["inspect", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_weights_of_another_network_are_refused(capsys, net):
    assert run(["inspect", str(net), "--cost", "--net", "lenet5"]) == 1
    assert "lenet5" in capsys.readouterr().err


def test_a_profile_is_written_whole_or_not_at_all(call, capsys, tmp_path, monkeypatch):
    path = tmp_path / "here.toml"
    found = parsed(call("profile", "-o", path, "--quick", "--threads", "1", "--name", "desk", "--json"))
    profile = load_profile(path)
    assert (profile.name, profile.threads) == ("desk", (1,)) == (found["name"], tuple(found["threads"]))
    assert sum(row["layers"] for row in found["measured"]) == len(profile.points)
    before = path.read_bytes()
    assert run(["profile", "-o", str(path), "--quick"]) == 1
    assert "exists; name another" in capsys.readouterr().err
    assert run(["profile", "-o", str(tmp_path / "here.json")]) == 1

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("laconic.cli.jobs.profile.measure", interrupt)
    assert run(["profile", "-o", str(path), "--quick", "--force"]) == 130
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["here.toml"]


PLAN = '[tensors]\n"fc*.weight" = { learned_rank = 3e4, cost = "time" }\n'


def test_a_price_in_time_is_that_of_the_target_and_the_file_says_how_to_run(call, capsys, net, tmp_path):
    plan, output = tmp_path / "plan.toml", tmp_path / "a.lac"
    plan.write_text(PLAN)
    assert run(["compress", str(net), "-o", str(output), "--plan", str(plan)]) == 1
    assert "name the machine, --target FILE" in capsys.readouterr().err
    shapes = {}
    slow = DEVICE.read_text().replace("multiply_add = 2e-8", "multiply_add = 2e-7")
    (tmp_path / "slow.toml").write_text(slow)
    for target in (DEVICE, tmp_path / "slow.toml"):
        call("compress", net, "-o", output, "--plan", plan, "--target", target, "--force", "--quiet")
        with container.open(output) as file:
            shapes[target] = file.code("fc1.weight")
            told = json.loads(file.metadata["layouts"])
            assert told["machine"] == load_profile(target).name
            assert told["weights"].keys() == {"fc1.weight", "fc2.weight", "fc3.weight"}
            assert len(told["weights"]["fc1.weight"]) == (2 if hasattr(file.code("fc1.weight"), "rank") else 1)
    ranks = [getattr(code, "rank", 64) for code in shapes.values()]
    assert ranks[0] > ranks[1], "time that is dearer buys fewer ranks"
    assert f"compressed for {told['machine']}: layouts of 3 weights\n" in call("inspect", output)
    call("decompress", output, "-o", tmp_path / "back.safetensors", "--quiet")
    assert "layouts" not in load_checkpoint(tmp_path / "back.safetensors")[1]


def test_a_budget_counts_the_layouts(call, net, tmp_path):
    call("compress", net, "-o", tmp_path / "a.lac", "--size", "12KB", "--target", DEVICE, "--quiet")
    assert 11_880 <= (tmp_path / "a.lac").stat().st_size <= 12_000
    with laconic.open(tmp_path / "a.lac") as file:
        assert json.loads(file.metadata["layouts"])["weights"]["fc2.weight"] == [["rows", 0, 1]]
