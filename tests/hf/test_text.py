"""A text becomes sequences, a directory a network, and both a file: what is said of them, and what is refused."""

import json

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from laconic.cli import run
from laconic.cli.jobs.text import _require_runs
from laconic.errors import DataError
from laconic.hf.modules import module_of
from laconic.hf.text import text_of

from .small import bert, llama

SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
WORDS = ["[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"]


def words() -> Tokenizer:
    """A token for each letter, with one before a text and one after it."""
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    torch.manual_seed(0)
    llama().save_pretrained(folder)
    words().save(str(folder / "tokenizer.json"))
    return folder


def test_a_directory_says_what_network_it_is(directory, tmp_path):
    assert type(module_of(directory)).__name__ == "LlamaForCausalLM"
    told = json.loads((directory / "config.json").read_text())
    with pytest.raises(DataError, match=r"has no config\.json"):
        module_of(tmp_path)
    for changed, words_of_it in (
        ({"architectures": ["Mine"]}, "code that comes with a directory is not run"),
        ({"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}, "of no network that transformers"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**told, **changed}))
        with pytest.raises(DataError, match=words_of_it):
            module_of(tmp_path)


def test_documents_of_a_language_model_are_cut_into_sequences(directory, tmp_path):
    text, module = tmp_path / "a.txt", llama()
    text.write_text("a b c d e f<|endoftext|>g h\n<|endoftext|>")
    found = text_of(text, directory, module, samples=9, length=5)
    assert sorted(one.tolist() for one in found.sequences) == [[1, 3, 4, 5, 6], [1, 9, 10, 2], [7, 8, 2]]
    assert (found.of, found.cut, found.tokens) == (3, 1, 12)
    (batch,) = found.batches()
    assert batch["attention_mask"].sum(1).tolist() == [3, 4, 5]
    few = text_of(text, directory, module, samples=2, length=5, seed=1)
    assert (len(few.sequences), few.of) == (2, 3)


def test_lines_are_the_sentences_of_an_encoder_and_keep_their_last_token(directory, tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("a b c d e f\n\ng h\n")
    found = text_of(text, directory, bert(), samples=9, length=5)
    assert [one.tolist() for one in found.sequences] == [[1, 3, 4, 5, 2], [1, 9, 10, 2]]
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"id": 1, "text": "a b c d e f"}\n"g h"\n\n')
    assert [one.tolist() for one in text_of(lines, directory, bert(), samples=9, length=5).sequences] == [
        one.tolist() for one in found.sequences
    ]


def test_token_ids_need_no_tokenizer(tmp_path):
    ids = np.arange(12, dtype=np.uint16).reshape(2, 6)
    np.save(tmp_path / "a.npy", ids)
    np.savez(tmp_path / "a.npz", one=ids[0], other=ids[1].astype(np.int64))
    for name in ("a.npy", "a.npz"):
        found = text_of(tmp_path / name, tmp_path, llama(), samples=9)
        assert np.array_equal(torch.stack(found.sequences).numpy(), ids)


def test_lines_end_with_a_line_feed_and_a_mark_of_the_byte_order_is_no_text(directory, tmp_path):
    (tmp_path / "a.jsonl").write_bytes('\ufeff"a\u2028b"\r\n{"text": "c\x85d"}\n'.encode())
    (tmp_path / "a.txt").write_bytes("\ufeffa\u2028b\r\nc\x85d\n".encode())
    for name in ("a.jsonl", "a.txt"):
        found = text_of(tmp_path / name, directory, bert(), samples=9)
        assert [one.tolist() for one in found.sequences] == [[1, 3, 4, 2], [1, 5, 6, 2]]


@pytest.mark.parametrize("kind", ["Roberta", "IBert"])
def test_an_encoder_that_counts_from_its_padding_on_takes_as_many_tokens_fewer(tmp_path, kind):
    config = getattr(transformers, f"{kind}Config")
    network = getattr(transformers, f"{kind}Model")(config(
        vocab_size=96, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=20, pad_token_id=3,
    )).eval()  # fmt: skip
    np.save(tmp_path / "a.npy", np.arange(4, 44))
    (batch,) = text_of(tmp_path / "a.npy", tmp_path, network, samples=9).batches()
    assert batch["input_ids"].shape == (1, 16)
    network(**batch)


def test_a_network_of_several_parts_reads_by_its_part_of_text(directory, tmp_path):
    np.save(tmp_path / "a.npy", np.arange(4, 44))
    network = llama()
    network.config = transformers.LlavaConfig(text_config=network.config)
    assert text_of(tmp_path / "a.npy", tmp_path, network, samples=9).tokens == 40


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (lambda: transformers.ViTModel(transformers.ViTConfig(**SMALL, image_size=8, patch_size=4)), "reads no text"),
        (
            lambda: transformers.CLIPModel(transformers.CLIPConfig(text_config=SMALL, vision_config=SMALL)),
            "the tokens of a text alone",
        ),
    ],
)
def test_a_network_of_no_text_is_refused(directory, tmp_path, capsys, network, why):
    with torch.device("meta"):
        config = network().config
    config.save_pretrained(tmp_path)
    np.save(tmp_path / "a.npy", np.arange(4, 14))
    save_file({"x.weight": torch.ones(8, 8)}, tmp_path / "model.safetensors")
    asked = ["compress", str(tmp_path / "model.safetensors"), "-o", str(tmp_path / "a.lac"), "--effort", "calibrate"]
    assert run([*asked, "--calibration", str(tmp_path / "a.npy")]) == 1
    assert why in " ".join(capsys.readouterr().err.split())


def test_a_sequence_that_a_network_does_not_take_is_told_with_the_option(tmp_path):
    with pytest.raises(DataError, match=r"of 65 tokens \(.*name fewer by --sequence-length"):
        _require_runs(bert(), {"input_ids": torch.ones(2, 65, dtype=torch.long)}, tmp_path)


BAD = {
    "none.txt": (None, "there is no such file"),
    "a.csv": ("a", r"text is a \.txt or a \.jsonl"),
    "empty.txt": (" ", "no sequence of tokens"),
    "a.jsonl": ('{"other": 1}', 'line 1: a string or an object with "text"'),
    "b.jsonl": ("{", "line 1, is no JSON"),
    "bytes.txt": (b"\xff\xfe", "no text in UTF-8"),
    "a.npy": ("x", "cannot be read as arrays"),
    "floats.npy": (np.ones(3), "integers of one axis or two, not float64"),
    "large.npy": (np.array([5, 96]), "has the token 96, but the network knows those from 0 to 95"),
    "objects.npy": (np.array([{}, {}]), "cannot be read as arrays"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_text_is_refused(directory, tmp_path, name):
    content, why = BAD[name]
    if isinstance(content, np.ndarray):
        np.save(tmp_path / name, content, allow_pickle=True)
    elif content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=why):
        text_of(tmp_path / name, directory, llama(), samples=9)


def test_from_a_directory_and_a_text_to_a_file(directory, tmp_path, capsys):
    text, asked = tmp_path / "a.txt", ["compress", str(directory / "model.safetensors"), "--effort", "calibrate"]
    rng = np.random.default_rng(0)
    text.write_text("<|endoftext|>".join(" ".join(rng.choice(WORDS[3:], rng.integers(8, 30))) for _ in range(24)))
    asked += [
        "--calibration",
        str(text),
        "--samples",
        "20",
        "--sequence-length",
        "16",
        "--bits",
        "4",
        "--quality",
        "fast",
    ]
    assert run([*asked, "-o", str(tmp_path / "a.lac"), "--json", "--stability"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)["calibration"]
    assert told["fidelity"]["tokens"] + told["tokens"] == int(err.split(" sequences, ")[1].split(" tokens")[0])
    assert f"{told['tokens']} tokens, 8 of 8 layers calibrated" in err
    assert told["fidelity"]["kl"] == pytest.approx(told["distance"], rel=1e-3)
    assert told["stability"]["enough"] in (4, 8, 16)
    assert run([*asked, "-o", str(tmp_path / "b.lac"), "--data", "digits"]) == 1
    assert "--calibration brings the data itself" in capsys.readouterr().err
    (tmp_path / "alone.safetensors").write_bytes((directory / "model.safetensors").read_bytes())
    asked[1] = str(tmp_path / "alone.safetensors")
    assert run([*asked, "-o", str(tmp_path / "b.lac")]) == 1
    assert "name its directory by --net" in capsys.readouterr().err
    assert run(["compress", asked[1], "-o", str(tmp_path / "b.lac"), "--calibration", str(text)]) == 1
    assert "--calibration: only --effort calibrate takes this" in capsys.readouterr().err
