"""Folders of models, there and back: what travels along, all or nothing, never over what was asked."""

import errno
import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import laconic
from laconic.cli import run
from laconic.cli.console import Output
from laconic.cli.jobs.folders import Beside, Written
from laconic.cli.jobs.ranks import within_by_ranks
from laconic.cli.options import Quality
from laconic.errors import FormatError
from laconic.format import container
from laconic.format.enclosed import BEFORE, FILE
from laconic.machines.wires import InOneProcess
from laconic.models.checkpoints import open_checkpoint
from laconic.models.ties import untied
from laconic.quantize.budget import Budget

from .commands import parsed

RANDOM = torch.Generator().manual_seed(0)
WEIGHTS = {f"l{n}.weight": torch.randn(64, 64, generator=RANDOM).bfloat16() for n in range(3)} | {
    "norm.weight": torch.ones(64)
}
ALONG = {
    "generation_config.json": "{}",
    "tokenizer.json": '{"ü": 1}',
    "merges.txt": "a b",
    "LICENSE": "Do what you like.",
    "1_Pooling/config.json": "{}",
}
BEHIND = {"modeling_mine.py": "raise SystemExit", "training_args.bin": "pickle", ".gitattributes": "*"}
CONFIG = {"vocab_size": 5, "auto_map": {"AutoModel": "modeling_mine.M"}, "model_type": "llama"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """`base`, a folder of a model in two shards."""
    monkeypatch.chdir(tmp_path)
    for name, text in {**ALONG, **BEHIND}.items():
        Path("base", name).parent.mkdir(parents=True, exist_ok=True)
        Path("base", name).write_text(text)
    Path("base/README.md").write_text("---\nlicense: mit\ntags:\n- x\n---\n# Mine\n")
    Path("base/config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    names, places = list(WEIGHTS), {}
    for number, own in enumerate((names[:2], names[2:]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: WEIGHTS[name] for name in own}, f"base/{file}", {"format": "pt"})
        places |= dict.fromkeys(own, file)
    Path("base/model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return tmp_path


def contents(folder="."):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def packed(*options):
    assert run(["compress", "base", "-o", "small", "--quiet", *options]) == 0


def test_what_goes_along_and_what_stays_behind(capsys):
    assert run(["compress", "base", "-o", "small", "--bits", "4"]) == 0
    out, err = capsys.readouterr()
    assert "base: not copied: modeling_mine.py, training_args.bin (Python files go along with --with-code)" in err
    assert f"wrote small: {Path('small', FILE).stat().st_size / 1e3:.2f} KB" in out
    there = contents("small")
    assert set(there) == {*ALONG, "config.json", "README.md", "README.base.md", FILE}
    assert all(there[name].decode() == text for name, text in ALONG.items())
    assert there["README.base.md"] == Path("base/README.md").read_bytes()
    config = json.loads(there["config.json"])
    assert config.pop("quantization_config") == {
        "quant_method": "laconic", "format_version": 1, "laconic_version": laconic.__version__, "dtype": "bfloat16"
    }  # fmt: skip
    assert config == CONFIG
    card = there["README.md"].decode()
    bits = 8 * len(there[FILE]) / sum(w.numel() for w in WEIGHTS.values() if w.ndim > 1)
    for part in ("base_model: base\n", "license: mit\n", f"{len(there[FILE]):,} bytes, {bits:.3f} bits a weight",
                 "signal over error of the weights: ", "laconic compress base --bits 4.0 --output small"):  # fmt: skip
        assert part in card
    assert str(Path.cwd()) not in "".join(text.decode("utf-8", "ignore") for text in there.values())
    assert set(contents()) == {*(f"base/{name}" for name in contents("base")), *(f"small/{name}" for name in there)}


def test_code_goes_along_where_it_is_asked_for():
    packed("--with-code")
    assert Path("small/modeling_mine.py").read_text() == BEHIND["modeling_mine.py"]


def test_there_and_back(call):
    call("compress", "base", "-o", "small", "--bits", "5")
    call("compress", "base", "-o", "alone.lac", "--size", str(Path("small", FILE).stat().st_size - BEFORE))
    told = parsed(call("decompress", "small", "-o", "back", "--shard", "9KB", "--json"))
    assert (told["tensors"], len(told["files"])) == (4, 3)
    back = contents("back")
    assert set(back) == {
        *ALONG, "config.json", "README.md", "model.safetensors.index.json", *told["files"]
    }  # fmt: skip
    assert back["config.json"] == Path("base/config.json").read_bytes()
    assert back["README.md"] == Path("base/README.md").read_bytes()
    assert all(len(back[name]) < 9_000 for name in told["files"][1:])
    index = json.loads(back["model.safetensors.index.json"])
    assert index["metadata"]["total_size"] == sum(w.nbytes for w in WEIGHTS.values())
    params, expected = open_checkpoint(Path("back")).params, laconic.load("small")
    assert sorted(params) == sorted(WEIGHTS)
    assert all(params[name].equal(expected[name]) for name in WEIGHTS)
    with safe_open(f"back/{told['files'][0]}", "pt") as file:
        assert file.metadata()["format"] == "pt"
    call("decompress", "small", "-o", "one")
    assert {"model.safetensors"} == {name for name in contents("one") if "safetensors" in name}
    call("decompress", "small", "-o", "w.safetensors")
    assert open_checkpoint(Path("w.safetensors")).params["l0.weight"].equal(expected["l0.weight"])


@pytest.mark.parametrize("options", [["--bits", "3"], ["--size", "7000"], ["--ratio", "4"]], ids=" ".join)
def test_the_file_is_within_what_was_asked_all_of_it(call, options):
    told = parsed(call("compress", "base", "-o", "small", *options, "--json"))
    size = Path("small", FILE).stat().st_size
    weights, files = 3 * 64 * 64, sum(p.stat().st_size for p in Path("base").glob("model-*.safetensors"))
    asked = {"--bits": 3 * weights / 8, "--size": 7000, "--ratio": files / 4}[options[0]]
    assert told["bytes"] == size
    assert 0.98 * asked < size <= asked


def test_two_ranks_write_the_same_folder():
    packed("--bits", "4")
    network, base = untied(open_checkpoint(Path("base")).params), Beside(Path("base"), code=False, command="a command")
    with laconic.open("small") as file:
        notes = file.metadata
    file = Written(Path("ranks"), force=False, beside=base)
    of = file.counted(Budget(bits=4)), [], Quality.default, notes, 1, file, InOneProcess(2)
    within_by_ranks(Output(quiet=True), network, *of, table=False)
    assert Path("ranks", FILE).read_bytes() == Path("small", FILE).read_bytes()
    assert set(contents("ranks")) == set(contents("small"))


def test_what_takes_a_lac_file_takes_the_folder(call):
    packed("--bits", "4")
    with laconic.open("small") as whole, laconic.open(Path("small", FILE)) as file:
        assert sorted(whole) == sorted(file) == sorted(WEIGHTS)
        container.write("plain.lac", whole.codes(), whole.metadata)
    assert Path("plain.lac").read_bytes() == Path("small", FILE).read_bytes()[BEFORE:]
    for command in (["inspect"], ["bound", "base"], ["inspect", "--against", "base"]):
        first, *others = command
        shown = [parsed(call(first, *others, path, "--json")) for path in ("small", "plain.lac")]
        for one in shown:
            del one["file" if first == "inspect" else "files"]
        assert shown[0] == shown[1]
    assert run(["compress", "small", "-o", "again.lac"]) == 1


def test_an_index_and_a_file_out_of_it(call):
    call("compress", "base/model.safetensors.index.json", "-o", "small", "--bits", "4")
    call("compress", "base", "-o", "small.lac", "--bits", "4")
    assert Path("small/tokenizer.json").exists()
    assert Path("small.lac").is_file()
    gets = parsed(call("plan", "base", "--codebook", "4", "--json"))["tensors"]
    assert [row["name"] for row in gets] == list(WEIGHTS)


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("place", ["laconic.models.companions.shutil.copyfile", "laconic.cli.jobs.folders.pack"])
def test_a_failure_leaves_nothing(capsys, monkeypatch, place):
    packed("--bits", "4")
    before = contents()
    monkeypatch.setattr(place, full)
    assert run(["compress", "base", "-o", "new", "--bits", "4"]) == 1
    assert run(["compress", "base", "-o", "small", "--bits", "3", "--force"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert contents() == before
    assert sorted(path.name for path in Path().iterdir()) == ["base", "small"]


def test_only_a_folder_of_a_model_is_replaced(capsys):
    packed("--bits", "4")
    before = contents("small")
    assert run(["compress", "base", "-o", "small", "--bits", "3"]) == 1
    assert "small holds files; name another folder, or replace it: --force" in capsys.readouterr().err
    Path("small/thesis.tex").write_text("x")
    assert run(["compress", "base", "-o", "small", "--bits", "3", "--force"]) == 1
    assert "files that would be lost: thesis.tex" in capsys.readouterr().err
    Path("small/thesis.tex").unlink()
    Path("notes").mkdir()
    Path("notes/a.txt").write_text("x")
    assert run(["decompress", "small", "-o", "notes", "--force"]) == 1
    assert "would be lost: a.txt" in capsys.readouterr().err
    assert contents("small") == before
    packed("--bits", "3", "--force")
    assert len(Path("small", FILE).read_bytes()) < len(before[FILE])


def test_the_output_is_no_part_of_the_model(capsys):
    before = contents()
    for output in ("base", "base/small", "."):
        assert run(["compress", "base", "-o", output, "--force"]) == 1
        assert "a folder of its own, outside base" in capsys.readouterr().err
    assert contents() == before


def test_a_damaged_file_is_named():
    packed("--bits", "4")
    whole = Path("small", FILE).read_bytes()
    for damaged in (whole[:-1], whole + b"x"):
        Path("small", FILE).write_bytes(damaged)
        with pytest.raises(FormatError, match=r"small/model.lac.safetensors: its tensor 'lac'"):
            laconic.open("small")
    Path("small", FILE).write_bytes(whole[:BEFORE] + b"\0" * (len(whole) - BEFORE))
    with pytest.raises(FormatError, match="small"):
        laconic.open("small")


def test_a_quantized_model_has_its_own_configuration_back():
    of = {**CONFIG, "quantization_config": {"quant_method": "gptq", "bits": 4}}
    Path("base/config.json").write_text(json.dumps(of, indent=2) + "\n")
    packed("--bits", "4")
    assert run(["decompress", "small", "-o", "back", "--quiet"]) == 0
    assert json.loads(Path("back/config.json").read_text()) == of
    shutil.rmtree("back")


def test_another_writer_of_safetensors_may_have_written_it():
    """A tool that reads the one tensor, and saves it again."""
    packed("--bits", "4")
    expected = laconic.load("small")
    with safe_open(Path("small", FILE), "pt") as file:
        blob = file.get_tensor("lac").clone()
    save_file({"lac": blob}, Path("small", FILE))
    assert all(laconic.load("small")[name].equal(tensor) for name, tensor in expected.items())


def test_shards_are_no_single_file(capsys):
    packed("--bits", "4")
    assert run(["decompress", "small", "-o", "w.safetensors", "--shard", "9KB"]) == 1
    assert "--shard writes a folder of files, but w.safetensors is one file" in capsys.readouterr().err
    assert not Path("w.safetensors").exists()


def test_a_folder_that_cannot_be_written_is_named(capsys, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "small/.x.tmp")

    packed("--bits", "4")
    monkeypatch.setattr("laconic.format.files.Path.mkdir", refused)
    assert run(["compress", "base", "-o", "deep/new", "--bits", "4"]) == 1
    error = capsys.readouterr().err
    assert "deep/new" in error
    assert "cannot be written" in error
    assert ".tmp" not in error


def test_a_page_has_a_head_that_yaml_reads_with_lists_of_the_one_before():
    yaml = pytest.importorskip("yaml")
    head = "license: mit\nlanguage:\n- de\n# and\n- 'no'\nlicense_link:\ntags:\n- x\nmodel-index:\n  - name: y\n"
    Path("base/README.md").write_text(f"---\n{head}---\n# Mine\n")
    Path("base").rename("my: model #1")
    assert run(["compress", "my: model #1", "-o", "small", "--bits", "4", "--quiet"]) == 0
    assert yaml.safe_load(Path("small/README.md").read_text().split("---\n")[1]) == {
        "base_model": "my: model #1", "base_model_relation": "quantized", "library_name": "transformers",
        "license": "mit", "language": ["de", "no"], "tags": ["laconic"],
    }  # fmt: skip


@pytest.mark.parametrize("options", [(), ("--recode",)])
def test_ranks_do_not_recode(capsys, monkeypatch, options):
    Path("base/config.json").write_text('{"quantization_config": {"quant_method": "exotic"}}')
    monkeypatch.setattr("laconic.cli.jobs.compress.connected", lambda _: nullcontext(InOneProcess(2)))
    assert run(["compress", "base", "-o", "small", *options]) == 1
    assert "torchrun" in capsys.readouterr().err
    assert not Path("small").exists()
