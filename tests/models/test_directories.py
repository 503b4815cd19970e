"""Folders of models are checkpoints: all their files are one mapping, and what is wrong with one is named."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from laconic.errors import DataError
from laconic.models.checkpoints import load_checkpoint, open_checkpoint, save_checkpoint
from laconic.models.directories import bytes_of, sha256_of, weight_files

RANDOM = torch.Generator().manual_seed(0)
WEIGHTS = {
    "model.embed_tokens.weight": torch.randn(16, 8, generator=RANDOM),
    "model.layers.0.q.weight": torch.randn(8, 8, generator=RANDOM),
    "model.norm.weight": torch.ones(8),
}
ENDS = {"safetensors": "model", "bin": "pytorch_model"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    return Path("m")


def name_of(number, end="safetensors", count=2):
    return f"{ENDS[end]}-{number:05d}-of-{count:05d}.{end}"


def write(path, tensors, end="safetensors"):
    save_file(tensors, path) if end == "safetensors" else torch.save(tensors, path)


def sharded(folder, end="safetensors", *, index=True, tensors=WEIGHTS):
    """Two files, of which the second has the last tensor alone."""
    names = list(tensors)
    parts = {name_of(1, end): names[:-1], name_of(2, end): names[-1:]}
    for file, own in parts.items():
        write(folder / file, {name: tensors[name] for name in own}, end)
    places = {name: file for file, own in parts.items() for name in own}
    if index:
        (folder / f"{ENDS[end]}.{end}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return places


def same(params, expected=WEIGHTS):
    return sorted(params) == sorted(expected) and all(params[name].equal(expected[name]) for name in expected)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("form", ["one", "index", "no index"])
def test_a_folder_is_one_checkpoint(folder, end, form):
    if form == "one":
        write(folder / f"{ENDS[end]}.{end}", WEIGHTS, end)
    else:
        sharded(folder, end, index=form == "index")
    opened = open_checkpoint(folder)
    assert same(opened.params)
    assert [note.partition("; ")[2] for note in opened.notes] == ["took all 2 shards"] * (form == "no index")
    assert bytes_of(folder) == sum(path.stat().st_size for path in folder.iterdir() if path.suffix == f".{end}")
    if form == "index":
        index = folder / f"{ENDS[end]}.{end}.index.json"
        assert same(open_checkpoint(index).params)
        assert sha256_of(index) == sha256_of(folder)


def test_digests_tell_folders_apart(folder):
    sharded(folder)
    before = sha256_of(folder)
    write(folder / name_of(2), {"model.norm.weight": torch.zeros(8)})
    assert sha256_of(folder) != before
    assert sha256_of(folder / name_of(1)) not in (before, sha256_of(folder))


def test_one_file_is_open_at_a_time_and_files_of_torch_stay_on_disk(folder):
    """After a tensor of another file was read, nothing of the first is mapped any more."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("the system does not tell what is mapped")
    for end in ENDS:
        sharded(folder, end)
        names = [str((folder / name_of(number, end)).resolve()) for number in (1, 2)]
        params = open_checkpoint(folder / f"{ENDS[end]}.{end}.index.json").params
        total = params["model.layers.0.q.weight"].sum().item()
        assert total == WEIGHTS["model.layers.0.q.weight"].sum().item()
        maps = Path("/proc/self/maps").read_text()
        assert names[0] in maps
        assert names[1] not in maps
        params["model.norm.weight"].sum()
        assert names[0] not in Path("/proc/self/maps").read_text()


def test_a_single_file_of_any_name_is_taken_and_said_to_be(folder):
    torch.save({"state_dict": WEIGHTS}, folder / "last.ckpt")
    opened = open_checkpoint(folder)
    assert same(opened.params)
    assert opened.notes[0] == "m: took last.ckpt"
    assert weight_files(folder) == (folder / "last.ckpt",)


def test_what_is_beside_the_weights_is_named(folder):
    sharded(folder)
    write(folder / name_of(3), {"x": torch.ones(2)})
    write(folder / name_of(2), {"model.norm.weight": torch.ones(8), "more": torch.ones(2)})
    torch.save({}, folder / "pytorch_model.bin")
    opened = open_checkpoint(folder)
    assert opened.notes == (
        "m: took model.safetensors.index.json, not pytorch_model.bin",
        f"m: left out, as the index does not name them: {name_of(3)}",
        "m: taken, though the index does not name it: more",
    )
    assert opened.params["more"].equal(torch.ones(2))


def test_the_configuration_is_compared_with_the_weights(folder):
    head = {**WEIGHTS, "lm_head.weight": WEIGHTS["model.embed_tokens.weight"].clone()}
    (folder / "config.json").write_text(json.dumps({"vocab_size": 16, "tie_word_embeddings": True}))
    save_file(head, folder / "model.safetensors")
    assert open_checkpoint(folder).notes == ()
    save_file({**head, "lm_head.weight": torch.zeros(16, 8)}, folder / "model.safetensors")
    (told,) = open_checkpoint(folder).notes
    assert told.startswith("config.json ties lm_head.weight to model.embed_tokens.weight, but they differ")
    (folder / "config.json").write_text(json.dumps({"text_config": {"vocab_size": 17}}))
    (told,) = open_checkpoint(folder).notes
    assert told.startswith("config.json says vocab_size 17, but model.embed_tokens.weight has 16 rows")


def test_files_of_other_types_are_named_and_each_tensor_keeps_its_own(folder):
    sharded(folder, tensors={**WEIGHTS, "lm_head.weight": torch.ones(16, 8, dtype=torch.bfloat16)})
    opened = open_checkpoint(folder)
    assert opened.notes == (
        f"m: files differ in the types of weights, and each keeps its own: {name_of(1)} F32; {name_of(2)} BF16",
    )
    assert opened.params["lm_head.weight"].dtype == torch.bfloat16


def nothing(folder):
    (folder / "readme").write_text("x")


def below(folder):
    (folder / "unet").mkdir()
    save_file(WEIGHTS, folder / "unet" / "model.safetensors")


def several(folder):
    torch.save(WEIGHTS, folder / "a.pt")
    torch.save(WEIGHTS, folder / "b.pt")


def missing(folder):
    sharded(folder)
    os.unlink(folder / name_of(2))


def incomplete(folder):
    sharded(folder, index=False)
    os.unlink(folder / name_of(1))


def outside(folder):
    sharded(folder)
    save_file(WEIGHTS, "secret.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))


def elsewhere(folder):
    sharded(folder)
    save_file({"x": torch.ones(2)}, folder / name_of(2))


def twice(folder):
    sharded(folder, index=False)
    save_file(WEIGHTS, folder / name_of(2))


def cut(folder):
    sharded(folder)
    (folder / name_of(2)).write_bytes((folder / name_of(2)).read_bytes()[:-4])


def text(name, content):
    return lambda folder: (sharded(folder), (folder / name).write_text(content))


WRONG = {
    "nothing": (nothing, ["m is a folder without weights"]),
    "in folders": (below, ["without weights", "in its folders unet: name one"]),
    "several": (several, ["several checkpoints; name one of them: a.pt, b.pt"]),
    "a shard is missing": (missing, ["names 2 files; missing in m", name_of(2)]),
    "a shard is missing, and the index": (incomplete, ["1 of 2 shards; missing", name_of(1)]),
    "outside": (outside, ["outside its folder", "../secret.safetensors"]),
    "elsewhere": (elsewhere, [f"{name_of(2)} lacks model.norm.weight"]),
    "twice": (twice, ["model.embed_tokens.weight", "in several files"]),
    "cut": (cut, [name_of(2), "cut short"]),
    "no index": (text("model.safetensors.index.json", "{}"), ["has no weight_map"]),
    "a damaged index": (text("model.safetensors.index.json", '{"weight_map'), ["index.json is no JSON"]),
    "a damaged configuration": (text("config.json", "[1]"), ["config.json holds no JSON object, but a list"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_folder_is_named(folder, case):
    make, parts = WRONG[case]
    make(folder)
    with pytest.raises(DataError) as raised:
        open_checkpoint(folder)
    assert all(part in str(raised.value) for part in parts), raised.value


def test_a_tied_name_that_was_left_out_is_there_in_a_folder_too(folder):
    save_checkpoint(folder / "model.safetensors", WEIGHTS, {"lm_head.weight": "model.embed_tokens.weight"})
    assert open_checkpoint(folder).params["lm_head.weight"].equal(WEIGHTS["model.embed_tokens.weight"])
    assert "lm_head.weight" in load_checkpoint(folder / "model.safetensors")[0]


def test_a_folder_of_gguf_alone_says_which_file_to_name(folder):
    (folder / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(DataError, match=r"GGUF alone, which are taken as a file: name a\.gguf"):
        open_checkpoint(folder)
