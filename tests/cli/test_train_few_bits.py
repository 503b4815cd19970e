"""`laconic train --weights --activations`: what is written is what is judged, in a file of a bit a weight."""

import pytest
from safetensors.torch import load_file

from laconic.cli import run
from laconic.cli.jobs import train
from laconic.training.few_bits import WAYS

from .commands import TRAIN, parsed

ELEMENTS = 64 * 300 + 300 * 100 + 100 * 10


def test_a_binarized_network_is_evaluated_as_it_was_trained_and_its_file_has_a_bit_a_weight(call, tmp_path):
    net, file = tmp_path / "net.safetensors", tmp_path / "net.lac"
    told = parsed(call(*TRAIN, "-o", net, "--weights", "binary", "--activations", "binary", "--json"))
    assert (told["weights"], told["activations"]) == ("binary", "binary")
    weights = {name: tensor for name, tensor in load_file(net).items() if tensor.ndim == 2}
    assert {name: tensor.unique().tolist() for name, tensor in weights.items()} == told["values"]
    assert parsed(call("evaluate", net, "--json"))["error"] == told["test"]["error"] < 50
    call("compress", net, "-o", file, "--codebook", "2", "--quiet")
    assert file.stat().st_size < ELEMENTS / 8 + 4 * 410 + 600
    assert parsed(call("evaluate", file, "--json"))["error"] == told["test"]["error"]
    assert run(["shrink", str(file), "-o", str(tmp_path / "s.lac"), "--quiet"]) == 1


@pytest.mark.parametrize("way", WAYS)
def test_what_is_interrupted_ends_with_the_same_bytes(call, tmp_path, monkeypatch, way):
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    call(*TRAIN, "-o", whole, "--weights", way)
    save, saved = train.save, []

    def dying(*given):
        save(*given)
        saved.append(given)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "save", dying)
        assert run([*TRAIN, "-o", str(killed), "--weights", way]) == 130
    assert not killed.exists()
    call(*TRAIN, "-o", killed, "--weights", way, "--resume")
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--weights", "binary", "--regularize", "nuclear", "--price", "1"], "leave out --regularize"),
        (["--weights", "ternary", "--epochs", "0"], "--epochs 1 or more"),
        (["--weights", "ternary", "--simulate-workers", "2"], "--weights trains other numbers"),
        (["--activations", "binary", "--attention", "a.lac"], "leave out one of the two"),
    ],
)
def test_options_that_do_not_go_together_are_named(tmp_path, capsys, options, said):
    assert run([*TRAIN, "-o", str(tmp_path / "a.safetensors"), *options]) == 1
    assert said in " ".join("".join(capsys.readouterr()).split())
    assert not list(tmp_path.iterdir())
