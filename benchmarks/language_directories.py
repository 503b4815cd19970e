"""Small published networks as directories of Hugging Face's layout: stories260K as a Llama, MiniLM as it comes.

    python benchmarks/language_directories.py --data FOLDER -o DIRECTORY

writes `DIRECTORY/` with the stories260K of FOLDER/lm: `config.json`, `model.safetensors`, and a `tokenizer.json` that
gives the tokens of llama2.c's own. llama2.c turns adjacent pairs of a head by one angle, transformers the first half of
it with the second: rows of queries and keys are put in that order, and nothing else changes.
"""

import argparse
import json
import struct
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from torch import Tensor

SPACE = "\u2581"
"""What a space is in a piece of the vocabulary."""

_SPECIAL = ("<unk>", "<s>", "</s>")
_NAMES = {
    "attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj", "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj", "feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj", "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}  # fmt: skip


def halves(weight: Tensor, heads: int) -> Tensor:
    """Return the rows of queries or keys with the first of each pair before all second ones, head by head.

    >>> halves(torch.arange(8.0)[:, None], 2).flatten().tolist()
    [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]
    """
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def pieces(path: Path) -> list[tuple[str, float]]:
    """Return the vocabulary of a tokenizer of llama2.c, each piece with its score."""
    data, at, found = path.read_bytes(), 4, list[tuple[str, float]]()
    while at < len(data):
        score, length = struct.unpack_from("<fi", data, at)
        found.append((data[at + 8 : at + 8 + length].decode(), score))
        at += 8 + length
    return found


def tokenizer_of(vocabulary: list[tuple[str, float]]) -> Tokenizer:
    """Return the tokenizer of a vocabulary with scores: the pair is joined first whose piece has the highest score."""
    named = [(_SPECIAL[place] if place < 3 else text.replace(" ", SPACE), score)
             for place, (text, score) in enumerate(vocabulary)]  # fmt: skip
    ids = {text: place for place, (text, _) in enumerate(named)}
    joined = sorted(
        (-score, ids[text[:cut]], ids[text[cut:]], text[:cut], text[cut:])
        for text, score in named[3:] for cut in range(1, len(text)) if text[:cut] in ids and text[cut:] in ids
    )  # fmt: skip
    merges = [(left, right) for *_, left, right in joined]
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=False))
    before: Any = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    after: Any = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.normalizer, tokenizer.decoder = before, after
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])  # type: ignore[assignment]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in _SPECIAL])
    return tokenizer


def stories(folder: Path, directory: Path) -> None:
    """Write stories260K as a directory.

    Args:
        folder: with the files of llama2.c.
        directory: that is made.
    """
    own = json.loads((folder / "stories260K.json").read_text(encoding="utf-8"))
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "dtype": "float32",
        "hidden_size": own["dim"], "intermediate_size": own["hidden_dim"], "num_hidden_layers": own["n_layers"],
        "num_attention_heads": own["n_heads"], "num_key_value_heads": own["n_kv_heads"],
        "vocab_size": own["vocab_size"], "max_position_embeddings": own["max_seq_len"],
        "rms_norm_eps": own["norm_eps"], "rope_theta": own["rope_theta"],
        "rope_parameters": {"rope_type": "default", "rope_theta": own["rope_theta"]},
        "tie_word_embeddings": True, "bos_token_id": own["bos"], "eos_token_id": own["eos"],
    }  # fmt: skip
    params = {"model.embed_tokens.weight": "tok_embeddings.weight", "model.norm.weight": "norm.weight"}
    for layer in range(own["n_layers"]):
        params |= {f"model.layers.{layer}.{new}.weight": f"layers.{layer}.{old}.weight" for old, new in _NAMES.items()}
    read = load_file(folder / "stories260K.safetensors")
    heads = {"q_proj": own["n_heads"], "k_proj": own["n_kv_heads"]}
    tensors = {new: read[old] for new, old in params.items()}
    tensors |= {
        name: halves(tensors[name], heads[name.split(".")[-2]]) for name in tensors if name.split(".")[-2] in heads
    }
    directory.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    tokenizer_of(pieces(folder / "tok512.bin")).save(str(directory / "tokenizer.json"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    stories(arguments.data / "lm", arguments.output)
    print(f"wrote {arguments.output}")
