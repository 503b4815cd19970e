"""`laconic compress` with a budget: what is asked, what is written, and what is said about it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

import laconic
from laconic.cli import options, run
from laconic.models.checkpoints import load_checkpoint, save_checkpoint

from .commands import parsed


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Two layers and their biases, 28,800 weights."""
    g = torch.Generator().manual_seed(0)
    tensors = {
        "conv.weight": torch.randn(40, 20, 3, 3, generator=g),
        "conv.bias": torch.randn(40, generator=g),
        "fc.weight": torch.randn(120, 180, generator=g) / 4,
        "fc.bias": torch.randn(120, generator=g),
    }
    path = tmp_path_factory.mktemp("budget") / "net.safetensors"
    save_checkpoint(path, tensors, {"net": "own"})
    return path


WEIGHTS = 40 * 20 * 9 + 120 * 180
CASES = {
    "bits": (["--bits", "3"], "3 bits per weight", 3 * WEIGHTS / 8),
    "size": (["--size", "12KB"], "12,000 bytes", 12_000),
    "size in KiB": (["--size", "12.5 KiB"], "12,800 bytes", 12_800),
    "nothing": ([], "4 bits per weight", 4 * WEIGHTS / 8),
    "fast": (["--bits", "2.5", "--quality", "fast"], "2.5 bits per weight", 2.5 * WEIGHTS / 8),
    "max": (["--bits", "2.5", "--quality", "max"], "2.5 bits per weight", 2.5 * WEIGHTS / 8),
}


def test_a_size_that_files_leap_over_is_said_to_be_missed(call, checkpoint, tmp_path):
    said = call("compress", checkpoint, "-o", tmp_path / "a.lac", "--size", "780")
    size = (tmp_path / "a.lac").stat().st_size
    short = f"{780 - size} bytes below the 780 asked for: no file that was tried lies between"
    assert (short in " ".join(said.split())) == (size < 0.99 * 780)


def snr_of(path: Path, file: Path) -> float:
    original, back = load_checkpoint(path)[0], laconic.load(file)
    matrices = [name for name, tensor in original.items() if tensor.ndim > 1]
    lost = sum(float(((back[name] - original[name]).double() ** 2).sum()) for name in matrices)
    return 10 * np.log10(sum(float((original[name].double() ** 2).sum()) for name in matrices) / lost)


@pytest.mark.parametrize("case", CASES)
def test_a_budget_is_met_and_told(call, checkpoint, tmp_path, case):
    arguments, asked, size = CASES[case]
    file = tmp_path / "a.lac"
    record = parsed(call("compress", checkpoint, "-o", file, *arguments, "--json"))
    assert record["asked"] == asked
    assert 0.99 * size < record["bytes"] == file.stat().st_size <= size
    assert record["reference_bytes"] == checkpoint.stat().st_size
    assert record["ratio"] == checkpoint.stat().st_size / file.stat().st_size
    assert record["bits_per_weight"] == pytest.approx(8 * file.stat().st_size / WEIGHTS)
    assert record["snr"] == pytest.approx(snr_of(checkpoint, file), abs=1e-4)
    assert 1 <= record["passes"] <= 8
    assert record["kept_lossless"] == []
    account = parsed(call("inspect", file, "--json"))
    assert account["metadata"]["net"] == "own"
    assert account["file_bytes"] == record["bytes"]
    original, back = load_checkpoint(checkpoint)[0], laconic.load(file)
    assert list(back) == list(original)
    assert all(torch.equal(back[name], original[name]) for name in ("conv.bias", "fc.bias"))


def test_a_plan_and_what_stays_lossless_take_their_bytes_first(call, checkpoint, tmp_path):
    file, plan = tmp_path / "a.lac", tmp_path / "a.toml"
    plan.write_text('[tensors]\n"fc.weight" = { codebook = 4 }\n')
    arguments = ["--bits", "3", "--plan", plan, "--lossless", "*.bias", "--json"]
    record = parsed(call("compress", checkpoint, "-o", file, *arguments))
    assert 0.99 * 3 * WEIGHTS / 8 < record["bytes"] <= 3 * WEIGHTS / 8
    assert record["snr"] == pytest.approx(snr_of(checkpoint, file), abs=1e-4)
    assert len(laconic.load(file)["fc.weight"].unique()) == 4
    record = parsed(call("compress", checkpoint, "-o", file, "--bits", "24", "--lossless", "fc*", "--force", "--json"))
    assert record["kept_lossless"] == ["fc.weight"]


def test_a_ratio_is_of_the_checkpoint(call, checkpoint, tmp_path):
    record = parsed(call("compress", checkpoint, "-o", tmp_path / "a.lac", "--ratio", "12", "--json"))
    assert record["asked"] == "ratio 12"
    assert 12 <= record["ratio"] < 12 / 0.99


def test_an_snr_is_reached(call, checkpoint, tmp_path):
    file = tmp_path / "a.lac"
    record = parsed(call("compress", checkpoint, "-o", file, "--snr", "20", "--json"))
    assert record["asked"] == "20 dB"
    assert 20 <= snr_of(checkpoint, file) < 20.1
    assert record["snr"] == pytest.approx(snr_of(checkpoint, file), abs=1e-4)


def test_the_table_says_it_too(call, checkpoint, tmp_path):
    shown = call("compress", checkpoint, "-o", tmp_path / "a.lac", "--size", "12KB")
    assert "asked 12,000 bytes" in shown
    assert "bits per weight at" in shown
    assert "dB" in shown


def test_tensors_that_are_left_weak_are_named_and_a_budget_leaves_none(call, tmp_path):
    tensors = {"large": 30 * torch.randn(60, 60), "small": torch.randn(20, 9) / 1e4}
    save_checkpoint(tmp_path / "a.safetensors", tensors, {})
    arguments = ("compress", tmp_path / "a.safetensors", "-o", tmp_path / "a.lac", "--force")
    record, shown = parsed(call(*arguments, "--keep", "0.3", "--json")), call(*arguments, "--keep", "0.3")
    assert record["weak"] == [{"name": "small", "snr": 0.0}]
    assert record["least_snr"] == 0 < 3 < record["snr"]
    assert "weak, with less than 3 dB of their own: small (all zero)" in shown
    record, shown = parsed(call(*arguments, "--bits", "3", "--json")), call(*arguments, "--bits", "3")
    assert record["weak"] == []
    assert record["snr"] - 10 < record["least_snr"] < record["snr"]
    assert f"least of a tensor: {record['least_snr']:.2f} dB, small" in shown


def test_more_effort_is_less_error(call, checkpoint, tmp_path):
    found = [
        parsed(call("compress", checkpoint, "-o", tmp_path / f"{q}.lac", "--bits", "2", "--quality", q, "--json"))[
            "snr"
        ]
        for q in ("fast", "default", "max")
    ]
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bits", "3", "--size", "9KB"], "--bits, --size: a budget is named once"),
        (["--ratio", "9", "--snr", "20"], "--ratio, --snr: a budget is named once"),
        (["--bits", "3", "--codebook", "4"], "--bits does not go with --codebook"),
        (["--size", "9KB", "--keep", "0.1"], "--size does not go with --keep"),
        (["--snr", "20", "--rank", "3"], "--snr does not go with --rank"),
        (["--lossless", "fc*", "--keep", "0.1"], "--lossless goes with a budget"),
        (["--lossless", "fc*", "--plan", "a.toml"], "--lossless goes with a budget"),
        (["--quality", "max", "--plan", "a.toml"], "--quality goes with a budget"),
        (["--bits", "3", "--lossless", "none*"], "pattern 'none*' matches no tensor"),
        (["--bits", "3", "--lossless", "fc*"], "the lossless tensors with all names"),
        (["--bits", "3", "--effort", "train"], "give --data"),
        (["--quality", "max", "--codebook", "4"], "--quality does not go with --codebook"),
        (["--size", "0"], "size is above 0 and finite, not 0"),
        (["--bits", "-1"], "bits is above 0 and finite, not -1"),
        (["--snr", "nan"], "snr is above 0 and finite, not nan"),
        (["--size", "300"], "300 bytes are too few"),
        (["--bits", "3", "--epochs", "4"], "--epochs: only --effort train takes this"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_with_a_sentence(capsys, checkpoint, tmp_path, arguments, words):
    assert run(["compress", str(checkpoint), "-o", str(tmp_path / "a.lac"), *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert words in " ".join(err.split())
    assert "Traceback" not in err
    assert not (tmp_path / "a.lac").exists()


SIZES = {
    "100": 100, "100B": 100, "100KB": 100_000, "1.5MiB": 1_572_864, "1.5 mib": 1_572_864, " 2 GB ": 2_000_000_000,
    "1GiB": 1 << 30,
}  # fmt: skip
BAD_SIZES = "", "KB", "-3KB", "1e3", "3 K", "3 iB", "1,000", "0x10", "1.2.3", "ten", "nan", "inf"


def test_sizes_are_numbers_with_a_unit(capsys, checkpoint, tmp_path):
    assert {text: options.size(text) for text in SIZES} == SIZES
    for bad in BAD_SIZES:
        with pytest.raises(typer.BadParameter, match="is no size"):
            options.size(bad)
    assert run(["compress", str(checkpoint), "-o", str(tmp_path / "a.lac"), "--size", "many"]) == 2
    assert "'many' is no size" in capsys.readouterr().err


def test_any_number_of_threads_writes_the_same_file(checkpoint, tmp_path):
    files = set()
    for threads in ("1", "3"):
        out = tmp_path / f"{threads}.lac"
        assert run(["compress", str(checkpoint), "-o", str(out), "--bits", "2", "--threads", threads, "--quiet"]) == 0
        files.add(out.read_bytes())
    assert len(files) == 1


def test_nobody_asked_for_what_leaves_no_room_and_who_asks_is_told_what_would(call, capsys, tmp_path):
    """A checkpoint that is quantized already: packed integers, and scales of two axes."""
    source = torch.Generator().manual_seed(0)
    packed = {"qweight": torch.randint(0, 2**31, (64, 8), generator=source, dtype=torch.int32)}
    save_checkpoint(tmp_path / "q.safetensors", packed | {"scales": torch.randn(64, 8, generator=source).half()}, {})
    arguments = ["compress", tmp_path / "q.safetensors", "-o", tmp_path / "q.lac"]
    assert "beside what stays as it is" in call(*arguments)
    back = laconic.load(tmp_path / "q.lac")
    assert torch.equal(back["qweight"], packed["qweight"])
    assert run([*map(str, arguments), "--force", "--bits", "4"]) == 1
    said = capsys.readouterr().err
    assert "most of it qweight" in said
    least = re.search(r"ask for ([\d,]+) bytes", said)[1].replace(",", "")
    call(*arguments, "--force", "--size", least)
    assert (tmp_path / "q.lac").stat().st_size <= int(least)
