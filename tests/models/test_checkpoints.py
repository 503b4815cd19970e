"""Sound checkpoints as people save them: whatever the file is called, and wherever in it the network lies."""

import pytest
import torch
from safetensors.torch import save_file

from laconic.errors import DataError
from laconic.models.checkpoints import open_checkpoint
from laconic.models.state_dicts import Renamed, named_as

WEIGHTS = {"fc.weight": torch.arange(12.0).reshape(3, 4), "fc.bias": torch.zeros(3)}
OPTIMIZER = {"state": {"fc.weight": {"exp_avg": torch.ones(3, 4)}, 0: {"step": torch.ones(2)}}, "param_groups": [{}]}


def prefixed(prefix):
    return {prefix + name: tensor for name, tensor in WEIGHTS.items()}


def same(params, expected=WEIGHTS):
    return list(params) == list(expected) and all(params[name].equal(tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("name", ["w.bin", "w.ckpt", "w.PTH", "w", "w.safetensors", "w.lac"])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_file_is_what_it_begins_with(tmp_path, name, form):
    if form == "safetensors":
        save_file(WEIGHTS, tmp_path / name)
    else:
        torch.save(WEIGHTS, tmp_path / name, _use_new_zipfile_serialization=form == "zip")
    opened = open_checkpoint(tmp_path / name)
    assert same({name: opened.params[name] for name in WEIGHTS})
    assert (opened.metadata, opened.notes) == ({}, ())


NESTED = {
    "top": (WEIGHTS, None, []),
    "strays": ({**WEIGHTS, "epoch": 3, "lr": 0.1}, None, ["left out, as they are no tensors: epoch, lr"]),
    "state_dict": ({"state_dict": WEIGHTS}, None, ["under 'state_dict'"]),
    "beside": ({"model_state_dict": WEIGHTS, "epoch": 3}, None, ["under 'model_state_dict', not epoch"]),
    "optimizer": ({"net": WEIGHTS, "optimizer": OPTIMIZER}, None, ["under 'net', not optimizer"]),
    "a number": ({"params": WEIGHTS, "best": torch.tensor(3.0)}, None, ["under 'params', not best"]),
    "deep": ({"out": {"model": WEIGHTS}, "callbacks": {"a": {"best": torch.ones(2)}}}, None, ["under 'out.model'"]),
    "one of two": ({"g": WEIGHTS, "d": prefixed("d.")}, "g", ["under 'g', not d"]),
    "dots": ({"a.b": {"c": WEIGHTS}, "d": WEIGHTS}, "a.b.c", ["under 'a.b.c'"]),
    "all of it": ({**WEIGHTS, "ema": WEIGHTS}, ".", ["left out, as they are no tensors: ema"]),
    "extra state": ({**WEIGHTS, "fc._extra_state": {"amax": torch.ones(4)}}, None, ["fc._extra_state"]),
    "in parallel": (prefixed("module."), None, ["took module. off all names"]),
    "compiled": ({"model": prefixed("module._orig_mod.")}, None, ["'model'", "took module._orig_mod. off all names"]),
}


@pytest.mark.parametrize("case", NESTED)
def test_where_the_network_lies(tmp_path, case):
    content, key, notes = NESTED[case]
    torch.save(content, tmp_path / "a.pt")
    opened = open_checkpoint(tmp_path / "a.pt", key)
    assert same(opened.params)
    assert len(opened.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, opened.notes, strict=True)), opened.notes


def test_numbers_are_names_where_no_two_are_the_same(tmp_path):
    torch.save({0: torch.ones(2), "1": torch.zeros(2)}, tmp_path / "a.pt")
    assert list(open_checkpoint(tmp_path / "a.pt").params) == ["0", "1"]


def test_prefixes_of_some_names_stay(tmp_path):
    torch.save({**WEIGHTS, "module.a": torch.ones(2)}, tmp_path / "a.pt")
    assert list(open_checkpoint(tmp_path / "a.pt").params) == [*WEIGHTS, "module.a"]


def test_prefixes_come_off_a_safetensors_file_that_is_read_one_by_one(tmp_path):
    save_file(prefixed("module."), tmp_path / "a.safetensors", {"format": "pt"})
    opened = open_checkpoint(tmp_path / "a.safetensors")
    assert isinstance(opened.params, Renamed)
    assert same({name: opened.params[name] for name in WEIGHTS})
    assert opened.metadata == {"format": "pt"}


def test_names_are_those_of_the_network_where_wrappers_differ():
    assert named_as(WEIGHTS, WEIGHTS) is WEIGHTS
    assert same(named_as(prefixed("module."), WEIGHTS))
    assert same(named_as(WEIGHTS, prefixed("_orig_mod.")), prefixed("_orig_mod."))
    mixed = {"module.fc.weight": WEIGHTS["fc.weight"], "fc.bias": WEIGHTS["fc.bias"]}
    assert same(named_as(mixed, WEIGHTS))
    twice = {**WEIGHTS, "module.fc.bias": torch.ones(3)}
    assert named_as(twice, WEIGHTS) is twice, "two tensors for one name"


def test_a_key_is_for_mappings(tmp_path):
    save_file(WEIGHTS, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match="leave out --key model"):
        open_checkpoint(tmp_path / "a.safetensors", "model")
    torch.save({"g": WEIGHTS, "d": WEIGHTS, "epoch": 3}, tmp_path / "a.pt")
    for key in ("h", "epoch", "g.fc"):
        with pytest.raises(DataError, match=rf"no mapping '{key}'; those with tensors are g, d"):
            open_checkpoint(tmp_path / "a.pt", key)
