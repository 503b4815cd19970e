"""`laconic compress --filters --method rounds`: pruned a little, trained, and again; what is empty can be cut out."""

from laconic.cli import run

from .commands import parsed

ROUNDS = ["--effort", "train", "--method", "rounds", "--steps", "2", "--finetune", "1", "--lr", "0.05"]


def test_filters_go_by_activity_in_rounds_each_of_which_is_said_and_shrink_cuts_them_out(call, net, tmp_path, capsys):
    file, small = tmp_path / "a.lac", tmp_path / "s.lac"
    arguments = ["compress", net, "-o", file, "--filters", "0.25", "--score", "activity", *ROUNDS, "--json"]
    assert run(list(map(str, arguments))) == 0
    out, err = capsys.readouterr()
    assert [step["file_bytes"] is not None for step in parsed(out)["history"]] == [True] * 3
    lines = [line for line in err.splitlines() if line.startswith("round ")]
    assert [line.split(":")[0] for line in lines] == ["round 1", "round 2"]
    assert "multiply-adds once what is empty is cut out" in lines[0]
    found = parsed(call("shrink", file, "-o", small, "--net", "lenet300", "--json"))
    assert found["multiply_adds"] <= 64 * 75 + 75 * 25 + 25 * 10
    assert f"{found['multiply_adds']:,} of" in lines[1]


def test_rounds_end_at_a_size(call, net, tmp_path):
    found = parsed(
        call("compress", net, "-o", tmp_path / "a.lac", "--filters", "0.05", "--size", "60KB", *ROUNDS, "--json")
    )
    assert found["bytes"] <= 60_000


def test_options_that_do_not_go_together_are_refused(net, tmp_path, capsys):
    begin = ["compress", str(net), "-o", str(tmp_path / "a.lac")]
    for options, message in (
        (["--keep", "0.1", "--score", "l1"], "--score goes with --filters"),
        (["--filters", "0.1", "--keep", "0.1"], "--filters does not combine with --keep"),
        (["--bits", "3", *ROUNDS], "say what becomes of the weights"),
    ):
        assert run([*begin, *options]) == 1
        assert message in capsys.readouterr().err
