"""Compressed folders in transformers: the very weights, by its own call and by ours; without us an error."""

import importlib
import json
import sys
from pathlib import Path

import forked
import hf_models
import pytest
import torch
import transformers
from safetensors.torch import load_file

import laconic
import laconic.hf
from laconic.cli import run
from laconic.errors import DataError, MissingPackage

TOKENS = torch.arange(10).reshape(1, 10)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of three kinds of models, compressed: the plain one, and the model, by its kind."""
    top = tmp_path_factory.mktemp("hf")
    made = {}
    for kind in ("llama", "bert", "experts"):
        base, small = top / kind, top / f"{kind}-small"
        getattr(hf_models, kind)(base)
        assert run(["compress", str(base), "-o", str(small), "--bits", "6", "--quality", "fast", "--quiet"]) == 0
        assert run(["decompress", str(small), "-o", str(top / f"{kind}-plain"), "--quiet"]) == 0
        made[kind] = small
    return made


def plain(small):
    """The model of the folder that `laconic decompress` makes, which the library loads by itself."""
    base = small.with_name(small.name.replace("small", "plain"))
    (kind,) = json.loads((base / "config.json").read_text())["architectures"]
    return getattr(transformers, kind).from_pretrained(base)


def state(model):
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def same(model, other):
    first, second = state(model), state(other)
    return list(first) == list(second) and all(first[n].equal(second[n]) for n in first) and model.dtype == other.dtype


@pytest.mark.parametrize("kind", ["llama", "bert", "experts"])
def test_the_weights_are_those_of_the_plain_folder(folders, kind, tmp_path):
    small, expected = folders[kind], plain(folders[kind])
    ours = laconic.hf.from_pretrained(small)
    auto = transformers.AutoModel if kind == "bert" else transformers.AutoModelForCausalLM
    assert type(laconic.hf.from_pretrained(small, auto)) is type(expected)
    theirs, told = auto.from_pretrained(small, output_loading_info=True)
    assert same(ours, expected)
    assert same(theirs, expected)
    assert not any(told.values())
    assert not hasattr(theirs.config, "quantization_config")
    with torch.no_grad():
        outputs = [model(TOKENS)[0] for model in (expected, ours, theirs)]
    assert outputs[0].equal(outputs[1])
    assert outputs[0].equal(outputs[2])
    theirs.save_pretrained(tmp_path / "saved")
    assert same(type(expected).from_pretrained(tmp_path / "saved"), expected)


def test_another_class_finds_the_weights_and_is_told_of_what_is_new(folders):
    head = transformers.BertForSequenceClassification
    model, told = head.from_pretrained(folders["bert"], output_loading_info=True)
    assert told["missing_keys"] == {"classifier.weight", "classifier.bias"}
    assert same(model.bert, plain(folders["bert"]))
    assert same(laconic.hf.from_pretrained(folders["bert"], head).bert, model.bert)


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_lazy_layers_decode_when_they_are_used_to_the_same_bits(folders, kind):
    model, expected = laconic.hf.from_pretrained(folders[kind], lazy=True), plain(folders[kind])
    assert all(parameter.is_meta for parameter in model.parameters())
    layer, twin = (
        next(part for part in one.modules() if isinstance(part, torch.nn.Linear)) for one in (model, expected)
    )
    inputs = torch.randn(3, layer.in_features, dtype=expected.dtype)
    with torch.no_grad():
        assert layer(inputs).equal(twin(inputs))
        assert [not parameter.is_meta for parameter in model.parameters()].count(True) == len(list(layer.parameters()))
        assert model(TOKENS)[0].equal(expected(TOKENS)[0])
        assert model(TOKENS)[0].equal(expected(TOKENS)[0])
    assert same(model, expected)
    if kind == "llama":
        assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_lazy_model_that_has_not_run_is_saved_whole(folders, tmp_path):
    laconic.hf.from_pretrained(folders["llama"], lazy=True).save_pretrained(tmp_path)
    saved, expected = load_file(tmp_path / "model.safetensors"), plain(folders["llama"]).state_dict()
    assert saved
    assert all(tensor.equal(expected[name]) for name, tensor in saved.items())


def test_lazy_refuses_what_is_merged_of_several_tensors(folders):
    with pytest.raises(DataError, match=r"experts\S* are made of several tensors of the file"):
        laconic.hf.from_pretrained(folders["experts"], lazy=True)


WITHOUT = """
import sys
from transformers import AutoModelForCausalLM
assert "laconic.hf" not in sys.modules
try:
    AutoModelForCausalLM.from_pretrained(sys.argv[1])
except OSError as error:
    print(error)
    sys.exit(3)
"""


def test_without_us_there_is_an_error_and_no_random_weights(folders, tmp_path):
    code, out, err = forked.run(WITHOUT, folders["llama"], folder=tmp_path)
    assert code == 3, err
    assert "no file named model.safetensors" in out


def test_without_transformers_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers" or "laconic.hf" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackage, match=r"laconic.hf needs transformers: pip install 'laconic\[hf\]'"):
        importlib.import_module("laconic.hf")


def test_what_cannot_be_is_refused(folders, tmp_path):
    small = folders["llama"]
    load = laconic.hf.from_pretrained
    with pytest.raises(DataError, match="runs no code"):
        load(small, trust_remote_code=True)
    with pytest.raises(DataError, match=r"has no model.lac.safetensors"):
        load(small.with_name("llama-plain"))
    with pytest.raises(DataError, match="load the model on the CPU"):
        laconic.hf.LaconicQuantizer(laconic.hf.LaconicConfig()).validate_environment(device_map={"": "cuda:0"})
    with pytest.raises(DataError, match="AutoModelForMaskedLM has no class for models of type llama"):
        load(small, transformers.AutoModelForMaskedLM)
    config = json.loads((small / "config.json").read_text())
    of = {"quantization_config": {**config["quantization_config"], "of": {"quant_method": "gptq"}}}
    changes = {
        "does not fit the weights": {"vocab_size": 64},
        "quantized by gptq before": of,
        "code of its own": {"model_type": "mine", "auto_map": {"AutoConfig": "mine.C"}},
        "lacks model.layers.2": {"num_hidden_layers": 3},
        "does not say that laconic": {"quantization_config": {"quant_method": "gptq"}},
        "does not say that": {"quantization_config": "laconic"},
    }
    Path(tmp_path / "model.lac.safetensors").write_bytes((small / "model.lac.safetensors").read_bytes())
    for message, change in changes.items():
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(DataError, match=message):
            load(tmp_path)
