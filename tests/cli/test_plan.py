"""`laconic plan` and `laconic techniques`: what could be, and what will be, before anything runs."""

import tomllib

import pytest
import torch

from laconic import AdaptiveCodebook, KeepLargest, LowRank
from laconic.cli import run
from laconic.models.checkpoints import save_checkpoint
from laconic.plans.plan import weights_only
from laconic.plans.techniques import TECHNIQUES
from laconic.plans.toml import parse_compression, parse_plan

from .commands import parsed

PARAMS = {
    "conv.bias": torch.ones(4),
    "conv.weight": torch.ones(4, 3, 2, 2),
    "fc.steps": torch.tensor(3),
    "fc.weight": torch.ones(5, 16).half(),
}


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, PARAMS, {})
    return path


def test_all_techniques_are_listed_with_what_they_promise(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    shown = call("techniques")
    found = parsed(call("techniques", "--json"))["techniques"]
    assert [record["key"] for record in found] == list(TECHNIQUES)
    for record, technique in zip(found, TECHNIQUES.values(), strict=True):
        assert record["line"] == technique.line
        assert record["line"] in shown
        assert record["exact"] is technique.exact
        assert record["metrics"] == [metric.__name__.lower() for metric in technique.metrics]
        assert list(record["parameters"]) == list(technique.options)
        assert isinstance(parse_compression(record["example"], "row"), technique.compression)


@pytest.mark.parametrize("key", TECHNIQUES)
def test_one_technique_is_shown_with_its_parameters(call, monkeypatch, key):
    monkeypatch.setenv("COLUMNS", "300")
    shown, technique = call("techniques", key), TECHNIQUES[key]
    for name, option in technique.options.items():
        assert name in shown
        assert option.unit in shown
    example = tomllib.loads("row = " + shown.partition("example: ")[2].strip())["row"]
    assert example == technique.example
    assert parsed(call("techniques", key, "--json"))["key"] == key


def test_a_technique_that_is_none_is_refused(capsys):
    assert run(["techniques", "magic"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: there is no technique 'magic'; there are lossless, sum,")


def test_what_each_tensor_gets_and_what_is_left_alone_and_why(call, weights):
    shown = call("plan", weights, "--keep", "0.05", "--codebook", "16")
    rows = [line for line in shown.splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == list(PARAMS)
    assert "left alone: fewer than two axes" in rows[0]
    assert "4 × 3 × 2 × 2" in rows[1]
    assert "float32" in rows[1]
    assert "{ keep = 0.05, values = { codebook = 16 }, joint = true }" in rows[1]
    assert "left alone: no floating-point numbers" in rows[2]
    assert "80" in rows[3]
    assert "float16" in rows[3]
    assert TECHNIQUES["keep"].line in shown
    assert "128 of 133 elements are compressed with loss" in shown
    found = parsed(call("plan", weights, "--keep", "0.05", "--json"))["tensors"]
    assert [record["name"] for record in found] == list(PARAMS)
    assert found[1]["joint_with"] == ["fc.weight"]
    assert found[1]["elements"] == 48
    assert found[0]["why"] == "fewer than two axes"
    assert found[3]["row"] == {"keep": 0.05, "joint": True}


@pytest.mark.parametrize(
    ("arguments", "compression"),
    [
        (["--codebook", "4"], AdaptiveCodebook(4)),
        (["--rank", "2", "--codebook", "8"], LowRank(2, left=AdaptiveCodebook(8), right=AdaptiveCodebook(8))),
        (["--keep", "0.5", "--per-tensor"], KeepLargest(0.5)),
    ],
    ids=str,
)
def test_a_plan_is_written_to_be_edited_and_read_again(call, weights, tmp_path, arguments, compression):
    shown = call("plan", weights, *arguments, "--toml")
    assert parse_plan(tomllib.loads(shown)) == weights_only(compression, PARAMS)
    path = tmp_path / "plan.toml"
    path.write_text(shown, encoding="utf-8")
    assert call("plan", weights, "--plan", path, "--toml") == shown
    assert parsed(call("plan", weights, "--plan", path, "--json"))["toml"] == shown
    call("compress", weights, "--plan", path, "-o", tmp_path / "a.lac")
    call("compress", weights, *arguments, "-o", tmp_path / "b.lac")
    assert (tmp_path / "a.lac").read_bytes() == (tmp_path / "b.lac").read_bytes()


def test_a_plan_says_why_it_leaves_tensors_alone(call, weights, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        '[tensors]\n"fc.weight" = { codebook = 2 }\n"*.bias" = { lossless = true }\n[rest]\nlossless = true'
    )
    found = parsed(call("plan", weights, "--plan", path, "--json"))["tensors"]
    rest = "the rest of the plan"
    assert [record["why"] for record in found] == ["the plan says so", rest, rest, None]


def test_the_plan_of_a_network_is_the_one_that_compress_takes(call, published):
    found = parsed(call("plan", published, "--codebook", "2", "--json"))
    assert sum(record["elements"] for record in found["tensors"] if record["why"] is None) == 266_200


WRONG = {
    "dead patterns": ('[tensors]\n"conv*" = { codebook = 2 }\n"lstm*" = { codebook = 2 }',
                                 ["'lstm*' matches no tensor"]),
    "integers": ('[tensors]\n"*" = { codebook = 2 }', ["fc.steps is int64", "lossless"]),
    "a bad row": ('[tensors]\n"*" = { sum = [{ codebook = 2 }, { keep = 3 }] }', ["*: sum: part 2: keep is the share"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_an_error_that_names_it_all(capsys, weights, tmp_path, name):
    document, messages = WRONG[name]
    path = tmp_path / "plan.toml"
    path.write_text(document)
    assert run(["plan", str(weights), "--plan", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert all(message in err for message in messages), err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what becomes of the weights"),
        (["--keep", "0.1", "--rank", "2"], "--keep and --rank do not combine"),
        (["--rank", "2", "--toml", "--json"], "one form at a time"),
    ],
)
def test_options_that_do_not_go_together(capsys, weights, arguments, message):
    assert run(["plan", str(weights), *arguments]) == 1
    assert message in capsys.readouterr().err
