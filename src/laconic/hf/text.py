"""A text, or token ids, as batches that a language model or an encoder is calibrated on.

Of a language model documents are cut into sequences, one after the other; of any other network a document is one
sequence, and what is beyond its length is left out. Sequences of about the same length share a batch, and an
``attention_mask`` leaves out what fills up the shorter ones.
"""

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from laconic.errors import DataError

LENGTH = 512
"""Tokens of a sequence, at most, unless somebody says how many, or the network takes fewer."""

_BATCH = 4096, 64
"""Tokens and sequences of a batch, at most."""

_LOGITS = 1 << 26
"""Numbers that a network says of a batch, at most, but for one sequence."""

_BETWEEN = "<|endoftext|>"
"""What stands between the documents of a text, if anything does."""

_FIELDS = ("text", "content", "sentence")
"""Where a line of JSON has its text: the first of these that it has."""


@final
@dataclass(frozen=True, eq=False)
class Text:
    """Sequences of tokens.

    Args:
        sequences: int64, of one axis each.
        of: how many there were to choose from.
        cut: of these, how many documents were longer than a sequence.
        length: of a sequence, at most.
        room: tokens of a batch, at most.
        filling: the token that shorter sequences are filled up with; a mask leaves it out.
    """

    sequences: tuple[Tensor, ...]
    of: int
    cut: int
    length: int
    room: int
    filling: int = 0

    @property
    def tokens(self) -> int:
        """How many there are."""
        return sum(map(len, self.sequences))

    def batches(self) -> list[dict[str, Tensor]]:
        """Return ``input_ids`` and ``attention_mask``, the shortest sequences first, each of shape (rows, tokens)."""
        ordered, found, rows = sorted(self.sequences, key=len), [], list[Tensor]()
        for one in ordered:
            if rows and ((len(rows) + 1) * len(one) > self.room or len(rows) == _BATCH[1]):
                found.append(self._batch(rows))
                rows = []
            rows.append(one)
        return [*found, self._batch(rows)]

    def _batch(self, rows: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return sequences side by side."""
        ids = nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=self.filling)
        lengths = torch.tensor(list(map(len, rows)))
        return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}


def text_of(
    path: Path, directory: Path, module: nn.Module, *, samples: int, length: int | None = None, seed: int = 0
) -> Text:
    """Return sequences of a file for a network.

    Args:
        path: a `.txt`, of which a language model reads documents (between "<|endoftext|>", if that is there), any other
            network lines; a `.jsonl` with a document a line, as a string or under "text", "content" or "sentence"; or a
            `.npy` or `.npz` of token ids: each row of an array is a document.
        directory: of the network, with its `tokenizer.json`, which ids do not need.
        module: the network.
        samples: how many sequences, chosen at random where there are more.
        length: tokens of a sequence, at most.
        seed: of the choice.

    Raises:
        DataError: when the file, its tokens or the tokenizer are not what they should be, or the network reads no text,
            or takes fewer tokens than ``length``.
    """
    config: Any = module.config
    if getattr(config, "is_encoder_decoder", False):
        raise DataError(
            f"{directory}: a network with encoder and decoder reads two texts, which one file does not give: calibrate "
            "it from Python, with batches of your own"
        )
    config = getattr(config, "get_text_config", lambda: config)()  # its own, where a network has several
    size = getattr(config, "vocab_size", None)
    if not isinstance(size, int):
        raise DataError(
            f"{directory}: {type(module).__name__} reads no text, as its configuration has no vocab_size: calibrate it "
            "on data of its own, with --net and --data, or --task"
        )
    most = _most(module, config)
    if length is not None and not 2 <= length <= most:
        raise DataError(f"a sequence of {length} tokens: this network takes from 2 to {most}")
    length = length or min(most, LENGTH)
    causal = bool(getattr(module, "can_generate", bool)())
    whole = list(_documents(path, directory, length, causal=causal))
    pieces = [piece for one in whole for piece in (_cut(one, length) if causal else [one[:length]])]
    pieces = [piece for piece in pieces if len(piece) >= (2 if causal else 1)]  # a language model says what comes next
    if not pieces:
        raise DataError(f"{path} has no sequence of tokens to calibrate on")
    least, largest = min(int(one.min()) for one in pieces), max(int(one.max()) for one in pieces)
    if least < 0 or largest >= size:
        raise DataError(
            f"{path} has the token {largest if largest >= size else least}, but the network knows those from 0 to "
            f"{size - 1}: is the tokenizer another network's?"
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pieces))[:samples])
    kept = tuple(torch.from_numpy(pieces[place].astype(np.int64)) for place in chosen)
    filling = getattr(config, "pad_token_id", None)
    room = min(_BATCH[0], max(length, _LOGITS // size))
    cut = sum(len(one) > length for one in whole)
    return Text(kept, len(pieces), cut, length, room, filling if isinstance(filling, int) and filling >= 0 else 0)


def _most(module: nn.Module, config: Any) -> int:
    """Return the tokens that a network takes.

    Those of RoBERTa's kin count positions from the one after their padding's, which leaves as many fewer.
    """
    most = getattr(config, "max_position_embeddings", None)
    most = most if isinstance(most, int) and most > 0 else LENGTH
    for name, part in module.named_modules():
        padding, weight = getattr(part, "padding_idx", None), getattr(part, "weight", None)
        if "position" in name.rpartition(".")[2] and isinstance(padding, int) and isinstance(weight, Tensor):
            most = min(most, len(weight) - padding - 1)
    return most


def _cut(document: np.ndarray, length: int) -> list[np.ndarray]:
    """Return a document in sequences, one after the other."""
    return [document[start : start + length] for start in range(0, len(document), length)]


def _documents(path: Path, directory: Path, length: int, *, causal: bool) -> Iterator[np.ndarray]:
    """Yield the tokens of each document."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file of text or token ids")
    kinds: dict[str, Callable[[Path], list[str]]] = {
        ".jsonl": _json_lines,
        ".txt": _texts if causal else lambda path: [line for line in _read(path).split("\n") if line.strip()],
    }
    kind = path.suffix.lower()
    if kind in (".npy", ".npz"):
        yield from _ids(path)
        return
    if kind not in kinds:
        raise DataError(f"{path}: text is a .txt or a .jsonl, token ids are a .npy or a .npz")
    tokenizer = _tokenizer(directory)
    if not causal:  # what it puts at the end of a sequence stays
        tokenizer.enable_truncation(length + 1)
    for found in tokenizer.encode_batch(kinds[kind](path)):
        ids = np.array(found.ids, np.int64)
        yield ids if causal or len(ids) <= length else np.append(ids[: length - 1], ids[-1])


def _tokenizer(directory: Path) -> Tokenizer:
    """Return the tokenizer of a directory, which neither cuts nor fills up."""
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise DataError(f"{directory} has no tokenizer.json: give token ids, as a .npy")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # theirs is a bare one
        raise DataError(f"{path} is no tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _read(path: Path) -> str:
    """Return a text, whose lines end with a line feed: what else Python takes for the end of one is part of it."""
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8: {error}") from error


def _texts(path: Path) -> list[str]:
    """Return the documents of a text."""
    return [one for one in map(str.strip, _read(path).split(_BETWEEN)) if one]


def _json_lines(path: Path) -> list[str]:
    """Return the document of each line."""
    found = []
    for number, line in enumerate(_read(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}, is no JSON: {error}") from error
        text = next((told[name] for name in _FIELDS if name in told), None) if isinstance(told, dict) else told
        if not isinstance(text, str):
            raise DataError(f'{path}, line {number}: a string or an object with "text" is wanted, not {line[:40]!r}')
        found += [text] if text.strip() else []
    return found


def _ids(path: Path) -> list[np.ndarray]:
    """Return the documents of arrays of token ids."""
    try:
        read = np.load(path, allow_pickle=False)
        arrays = [read] if isinstance(read, np.ndarray) else [read[name] for name in read.files]
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as arrays of token ids: {error}") from error
    found = list[np.ndarray]()
    for ids in arrays:
        if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2):
            raise DataError(f"{path}: token ids are integers of one axis or two, not {ids.dtype} {ids.shape}")
        found += [ids] if ids.ndim == 1 else list(ids)
    return found
