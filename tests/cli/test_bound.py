"""`laconic bound`: curves, points, the page and the figure."""

import pytest

import laconic
from laconic.cli import run
from laconic.models.checkpoints import load_checkpoint

from .commands import parsed


@pytest.fixture(scope="module")
def files(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    asked = {"four": ["--codebook", "4"], "two-bits": ["--bits", "2"]}
    for name, arguments in asked.items():
        assert run(["compress", str(net), "-o", str(folder / f"{name}.lac"), *arguments, "--quiet"]) == 0
    return [folder / f"{name}.lac" for name in asked]


def squared_error(net, file):
    original, back = load_checkpoint(net)[0], laconic.load(file)
    return sum(float((back[n] - w).double().square().sum()) for n, w in original.items() if w.ndim > 1)


def test_points_and_gaps_add_up(call, net, files):
    record = parsed(call("bound", net, *files, "--json"))
    account = [parsed(call("inspect", file, "--json")) for file in files]
    assert record["error_of"] == "weights"
    for point, file, own in zip(record["files"], files, account, strict=True):
        assert point["file"] == file.name
        assert point["bits_per_weight"] == pytest.approx(own["bits_per_weight"])
        assert point["distortion"] == pytest.approx(squared_error(net, file))
        for curve, gap in point["gap"].items():
            assert gap == pytest.approx(point["bits_per_weight"] - point["bound"][curve])
    codebook, budget = (point["gap"]["scaled Gaussian"] for point in record["files"])
    assert budget < codebook
    rates = [row["bits_per_weight"]["Gaussian"] for row in record["curves"]]
    assert rates == sorted(rates)
    assert parsed(call("bound", net, *files, "--json")) == record


def test_with_a_task_the_error_is_that_of_outputs(call, net, files):
    record = parsed(call("bound", net, *files, "--data", "digits", "--samples", "200", "--json"))
    assert record["error_of"] == "outputs"
    assert record["tensors"] == ["fc1.weight", "fc2.weight", "fc3.weight"]
    assert list(record["files"][0]["gap"]) == ["Gaussian"]
    assert all(point["snr"] > 0 for point in record["files"])


def test_the_page_the_figure_and_the_words(call, net, files, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    shown = call("bound", net, *files, "-o", tmp_path / "gap")
    page = (tmp_path / "gap" / "report.md").read_text(encoding="utf-8")
    for text in (" ".join(shown.split()), page):
        assert "a Gaussian needs more bits than any other source" in text
        assert "above Gaussian" in text
    assert "![error against bits a weight](figure.png)" in page
    assert all(file.name in page for file in files)
    assert (tmp_path / "gap" / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert run(["bound", str(net), "-o", str(tmp_path / "gap")]) == 1
    assert "--force to replace it" in capsys.readouterr().err
    call("bound", net, "-o", tmp_path / "gap", "--force", "--quiet")
    assert "above" not in (tmp_path / "gap" / "report.md").read_text(encoding="utf-8")
    assert run(["bound", str(net), "-o", str(net)]) == 1
    assert "is a file; name a folder" in capsys.readouterr().err


def test_a_lossless_file_has_no_gap(call, net, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text("[rest]\nlossless = true\n")
    call("compress", net, "-o", tmp_path / "a.lac", "--plan", plan)
    (point,) = parsed(call("bound", net, tmp_path / "a.lac", "--json"))["files"]
    assert point["distortion"] == 0
    assert point["gap"]["Gaussian"] is None
    assert "inf" in call("bound", net, tmp_path / "a.lac", "-o", tmp_path / "page")


def test_files_of_one_name_are_told_by_their_folders(call, net, files, tmp_path):
    (tmp_path / files[0].name).write_bytes(files[0].read_bytes())
    pair = [files[0], tmp_path / files[0].name]
    assert [point["file"] for point in parsed(call("bound", net, *pair, "--json"))["files"]] == [str(p) for p in pair]


def test_files_and_tasks_of_other_networks_are_refused(net, published, files, capsys):
    assert run(["bound", str(published), str(files[0])]) == 1
    assert "it is of other weights" in capsys.readouterr().err
    assert run(["bound", str(net), "--net", "lenet5", "--data", "digits"]) == 1
    assert "lenet300" in capsys.readouterr().err
    assert run(["bound", str(net), "missing.lac"]) == 1
    assert "missing.lac" in capsys.readouterr().err
