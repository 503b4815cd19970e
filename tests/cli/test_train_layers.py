"""`laconic train --hint` and `--attention`: a network that looks within another one."""

import torch
from safetensors.torch import load_file

from laconic.cli import run
from laconic.models import nets
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import params_of

from .commands import TRAIN, parsed

TASK = """
import sys
sys.path.append({tests!r})
from teaching_nets import Thin, task_of


def thin():
    return task_of(Thin(3))


def wide():
    return task_of(Thin(6, seed=1))
"""


def prepared(tmp_path, monkeypatch, name):
    from teaching_nets import Thin

    (tmp_path / f"{name}.py").write_text(TASK.format(tests=str(__file__).rpartition("/cli/")[0]), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    save_checkpoint(tmp_path / "wide.safetensors", params_of(Thin(6, seed=1)), {})
    return ["train", "--task", f"{name}:thin", "--epochs", "2", "--lr", "0.01", "--teacher-task", f"{name}:wide"]


def test_hints_come_first_and_an_interrupted_stage_goes_on_to_the_same_bytes(net, tmp_path, capsys, monkeypatch):
    options = ["--hint", net, "--hint-layers", "fc1:fc1", "--hint-epochs", "2", "--hint-neurons", "20", "--epochs", "1"]
    command = [*map(str, [*TRAIN, *options])]
    assert run([*command, "-o", str(tmp_path / "whole.safetensors")]) == 0
    whole = load_file(tmp_path / "whole.safetensors")
    own = params_of(nets.build("lenet300", (1, 8, 8), 10, 0))
    assert {name: t.shape for name, t in whole.items()} == {name: t.shape for name, t in own.items()}
    assert run([*TRAIN, "--epochs", "1", "-o", str(tmp_path / "plain.safetensors")]) == 0
    assert not whole["fc1.weight"].equal(load_file(tmp_path / "plain.safetensors")["fc1.weight"])

    for stop_after in (1, 2):  # within the stage, and at its end
        output, write, written = tmp_path / f"{stop_after}.safetensors", save_checkpoint, []

        def dies(*args, after=stop_after, write=write, written=written, **how):
            write(*args, **how)
            written.append(args)
            if len(written) == after:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("laconic.cli.jobs.train_states.save_checkpoint", dies)
            assert run([*command, "-o", str(output)]) == 130
        assert run([*command, "-o", str(output), "--resume"]) == 0
        assert output.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    capsys.readouterr()
    assert run([*command[:-6], "--hint-epochs", "2", "-o", str(output), "--resume", "--force", "--json"]) == 0


def test_attention_by_pairs_of_layers_of_a_network_of_ones_own(tmp_path, capsys, monkeypatch):
    command = prepared(tmp_path, monkeypatch, "attended")
    own = {}
    for pairs in ("first:first", "first:first, second:second"):
        output = tmp_path / f"{len(pairs)}.safetensors"
        options = ["--attention", str(tmp_path / "wide.safetensors"), "--attention-layers", pairs]
        assert run([*command, *options, "-o", str(output), "--json"]) == 0
        assert set(parsed(capsys.readouterr().out)["validation"]) == {"loss", "error"}
        own[pairs] = load_file(output)["first.weight"]
    one, two = own.values()
    assert not torch.equal(one, two)


def test_layers_that_do_not_go_together_are_refused_before_training(tmp_path, capsys, monkeypatch):
    command = prepared(tmp_path, monkeypatch, "refused")
    file = str(tmp_path / "wide.safetensors")
    for options, said in [
        (["--attention", file, "--attention-layers", "frist:first"], "no layer 'frist'; near are first"),
        (["--attention", file, "--attention-layers", "first:second"], "(16, 6, 6, 6)"),
        (["--attention", file], "needs --attention-layers"),
        (["--hint", file, "--hint-layers", "first:second"], "no convolution makes maps larger"),
        (["--hint", file, "--hint-layers", "first:first,last:last"], "one layer of the teacher and one"),
    ]:
        assert run([*command, *options, "-o", str(tmp_path / "a.safetensors")]) == 1
        assert said in capsys.readouterr().err
    assert run([*command, "--attention", file, "--attention-layers", "first", "-o", str(tmp_path / "a")]) == 2
    assert not (tmp_path / "a.safetensors").exists()
