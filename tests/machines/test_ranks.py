"""`laconic compress` in two processes: the file of one, a rank that dies, another number of ranks, what is refused."""

import signal

import pytest
from ranks import commands

from laconic.cli import run
from laconic.models.checkpoints import load_checkpoint

LC = ["--effort", "train", "--codebook", "4", "--steps", "3", "--lr", "0.05", "--finetune", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    how = ["--net", "lenet300", "--data", "digits", "--epochs", "1", "--lr", "0.05", "--threads", "1", "-q"]
    assert run(["train", *how, "-o", str(path)]) == 0
    return str(path)


def test_two_processes_write_the_file_of_one_byte_by_byte(network, tmp_path, capsys):
    one, two = tmp_path / "1.lac", tmp_path / "2.lac"
    how = ["compress", network, "--bits", "2", "--quality", "fast", "--threads", "1", "--lossless", "fc3.*", "--json"]
    assert run([*how, "-o", str(one)]) == 0
    said = capsys.readouterr().out
    (code, out, err), (other, silent, _) = commands(tmp_path, [*how, "-o", two])
    assert (code, other, silent) == (0, 0, ""), err
    assert two.read_bytes() == one.read_bytes()
    assert out == said.replace("1.lac", "2.lac")


def test_a_rank_that_dies_ends_the_other_and_any_number_of_ranks_goes_on(network, tmp_path, capsys):
    output = tmp_path / "net.lac"
    how = ["compress", network, *LC, "--gradients", "topk:0.2", "-o", str(output)]
    (code, out, err), (killed, *_) = commands(tmp_path, [*how, "--timeout", "20"], dies=3)
    assert (code, out, killed) == (1, "", -signal.SIGKILL)
    assert "a worker is gone" in err
    assert not output.exists()
    assert load_checkpoint(output.with_name("net.lac.checkpoint"))[0].keys() >= {"codes", "weights/fc1.weight"}

    assert run([*how, "--resume", "--simulate-workers", "2", "--gradients", "float32"]) == 1
    assert "--gradients was topk:0.2, is float32" in capsys.readouterr().err
    assert run([*how, "--resume", "--simulate-workers", "3"]) == 0
    said = capsys.readouterr()
    assert "resuming after step 2" in said.err
    assert "3 ranks: each pushed" in said.err
    assert output.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--effort", "calibrate"], "--effort calibrate is for one process"),
        (["--codebook", "4"], "--codebook: several ranks do not do this; of the weights alone they meet a budget"),
        (["--bits", "3", "--choose"], "--choose: several ranks do not do this"),
        (["--max-drop", "1", "--effort", "train"], "--max-drop: several ranks do not do this"),
        (["--bits", "3", "--importance", "gradient"], "--importance: several ranks do not do this"),
        (["--bits", "3", "--data", "digits"], "--data: several ranks do not do this"),
        (["--bits", "3"], "--simulate-workers: only --effort train takes this"),
        ([*LC, "--gradients", "dgc"], "take topk in place of dgc"),
    ],
)
def test_what_several_ranks_do_not_do_is_refused_by_name(network, tmp_path, capsys, arguments, said):
    assert run(["compress", network, *arguments, "-o", str(tmp_path / "a.lac"), "--simulate-workers", "2"]) == 1
    assert said in " ".join(capsys.readouterr().err.split())
