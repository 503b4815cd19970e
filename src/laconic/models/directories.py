"""Folders of models as Hugging Face's libraries write them: which files hold the weights, and what is said of these.

A folder has `model.safetensors` or `pytorch_model.bin`, or shards with an index that says which tensor is where. No
tensor is read here.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256 as digest_of
from pathlib import Path
from typing import Any, final

from laconic.errors import DataError, listed
from laconic.format.files import sha256

CONFIG = "config.json"

ENDS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
"""What files of weights end in."""

_INDEX = ".index.json"

_USUAL = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""What a loader looks for, in its order."""

_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.\w+)")

_EMBEDDINGS = ("embed_tokens.weight", "word_embeddings.weight", "wte.weight", "shared.weight", "tok_embeddings.weight")
_HEADS = ("lm_head.weight", "cls.predictions.decoder.weight", "embed_out.weight", "output.weight")
"""Ends of the names of input embeddings, and names of output layers."""


@final
@dataclass(frozen=True, eq=False)
class Directory:
    """Where the weights of a model are.

    Args:
        folder: which they are in.
        files: that hold them, all of which are there.
        index: tensor → name of its file, where an index says so.
        config: what `config.json` says; empty where there is none.
        notes: what was chosen or left out, a sentence each.
    """

    folder: Path
    files: tuple[Path, ...]
    index: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def places(self, found: Mapping[Path, Collection[str]]) -> tuple[dict[str, Path], list[str]]:
        """Return the file of each tensor, and notes on what the index does not name.

        Args:
            found: the names that each file holds.

        Raises:
            DataError: when a file lacks a tensor that the index puts there, or two hold one of the same name.
        """
        for path, names in found.items():
            lacking = [name for name, file in self.index.items() if file == path.name and name not in names]
            if lacking:
                raise DataError(f"{path} lacks {listed(lacking)}, which the index says it holds; fetch it anew")
        counts = Counter(name for names in found.values() for name in names)
        twice = [name for name, count in counts.items() if count > 1 and name not in self.index]
        if twice:
            raise DataError(f"{self.folder}: {listed(twice)} in several files, and no index says which counts")
        places = {
            name: path
            for path, names in found.items()
            for name in names
            if self.index.get(name, path.name) == path.name
        }
        unnamed = [name for name in places if name not in self.index] if self.index else []
        notes = [f"{self.folder.name}: taken, though the index does not name it: {listed(unnamed)}"] if unnamed else []
        return places, notes

    def doubts(self, outline: Mapping[str, tuple[str, tuple[int, ...]]]) -> list[str]:
        """Return where the configuration, or files among each other, contradict the tensors.

        Args:
            outline: dtype and shape of each tensor by its name.
        """
        text = {**self.config, **self._text_config}
        notes = []
        for name, (_, shape) in outline.items():
            if not f".{name}".endswith(tuple(f".{end}" for end in _EMBEDDINGS)) or len(shape) != 2:
                continue
            if isinstance(rows := text.get("vocab_size"), int) and rows != shape[0]:
                notes.append(
                    f"{CONFIG} says vocab_size {rows}, but {name} has {shape[0]} rows: no library loads these weights "
                    "by it"
                )
        return notes

    @property
    def _text_config(self) -> Mapping[str, Any]:
        """What is said of the part that reads text, where a model has several."""
        part = self.config.get("text_config")
        return part if isinstance(part, dict) else {}

    def tied(self, names: Collection[str]) -> tuple[str, str] | None:
        """Return the embeddings and the output layer that the configuration ties, where the files have both."""
        ties = self.config.get("tie_word_embeddings", self._text_config.get("tie_word_embeddings"))
        heads = [name for name in names if name in _HEADS]
        inputs = [name for name in names if f".{name}".endswith(tuple(f".{end}" for end in _EMBEDDINGS))]
        return (inputs[0], heads[0]) if ties is True and heads and inputs else None


def located(path: Path) -> Directory | None:
    """Return where the weights are of a folder, or of the index of one; None for another file, or none.

    Raises:
        DataError: when there are none, several may be meant, one is missing, or index or configuration are damaged.
    """
    if path.is_dir():
        usual = [name for name in _USUAL if (path / name).is_file()]
        if not usual:
            return _unusual(path)
        others = [f"{path.name}: took {usual[0]}, not {listed(usual[1:])}"] if len(usual) > 1 else []
        if not usual[0].endswith(_INDEX):
            return Directory(path, (path / usual[0],), {}, config_of(path), tuple(others))
        return _indexed(path / usual[0], others)
    if path.name.endswith(_INDEX) and path.is_file():
        return _indexed(path, [])
    return None


def weight_files(path: Path) -> tuple[Path, ...]:
    """Return the files that hold the weights: of a folder, or an index, those in it, else ``path`` itself.

    Raises:
        DataError: as `located`.
    """
    directory = located(path)
    return directory.files if directory else (path,)


def bytes_of(path: Path) -> int:
    """Return the bytes of all files that hold the weights.

    Raises:
        DataError: as `located`.
    """
    return sum(file.stat().st_size for file in weight_files(path))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a checkpoint: of a file, or of the names and digests of several.

    Raises:
        DataError: as `located`.
    """
    files = weight_files(path)
    if files == (path,):
        return sha256(path)
    return digest_of("".join(f"{file.name} {sha256(file)}\n" for file in files).encode()).hexdigest()


def config_of(folder: Path) -> dict[str, Any]:
    """Return what `config.json` says; nothing where there is none.

    Raises:
        DataError: when it is no JSON object.
    """
    path = folder / CONFIG
    return object_of(path) if path.is_file() else {}


def object_of(path: Path) -> dict[str, Any]:
    """Return the object of a file of JSON.

    Raises:
        DataError: when it holds none.
    """
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {error}; it may be damaged or cut short") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no JSON object, but a {type(value).__name__}")
    return value


def _indexed(index: Path, notes: list[str]) -> Directory:
    """Return where the weights are that an index names."""
    folder, places = index.parent, object_of(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise DataError(f"{index} has no weight_map of names of tensors and files")
    strange = [str(file) for file in places.values() if not isinstance(file, str) or Path(file).name != file]
    if strange:
        raise DataError(f"{index} names files outside its folder: {listed(dict.fromkeys(strange))}")
    names = list(dict.fromkeys(places.values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{index.name} names {len(names)} files; missing in {folder}: {listed(missing)}; fetch them")
    stem = index.name.partition(".")[0]
    surplus = [name for name, match in _shards(folder).items() if match[1] == stem and name not in names]
    notes += [f"{folder.name}: left out, as the index does not name them: {listed(surplus)}"] if surplus else []
    return Directory(folder, tuple(folder / name for name in names), places, config_of(folder), tuple(notes))


def _shards(folder: Path) -> dict[str, re.Match[str]]:
    """Return the names of files in a folder that are one of so many."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return {name: match for name in names if (match := _SHARD.fullmatch(name)) and match[4] in ENDS}


def _unusual(folder: Path) -> Directory:
    """Return where the weights are in a folder that has none of the usual names."""
    shards = _shards(folder)
    if shards:
        return _without_index(folder, shards)
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix.lower() in ENDS)
    if len(names) == 1:
        return Directory(folder, (folder / names[0],), {}, config_of(folder), (f"{folder.name}: took {names[0]}",))
    if names:
        raise DataError(f"{folder} holds several checkpoints; name one of them: {listed(names)}")
    below = sorted(
        sub.name for sub in folder.iterdir() if sub.is_dir() and any((sub / name).is_file() for name in _USUAL)
    )
    inside = f"; there are some in its folders {listed(below)}: name one" if below else ""
    if ggufs := sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix.lower() == ".gguf"):
        raise DataError(f"{folder} holds weights of GGUF alone, which are taken as a file: name {listed(ggufs)}")
    raise DataError(f"{folder} is a folder without weights, of safetensors or torch.save{inside}")


def _without_index(folder: Path, shards: Mapping[str, re.Match[str]]) -> Directory:
    """Return where the weights are in a folder of shards that has lost its index."""
    kinds = {(match[1], match[3], match[4]) for match in shards.values()}
    if len(kinds) > 1:
        raise DataError(f"{folder} holds shards of several checkpoints, and no index: {listed(shards)}")
    ((stem, count, end),) = kinds
    wanted = [f"{stem}-{number:05d}-of-{count}{end}" for number in range(1, int(count) + 1)]
    if missing := [name for name in wanted if name not in shards]:
        raise DataError(f"{folder} holds {len(shards)} of {int(count)} shards; missing: {listed(missing)}; fetch them")
    notes = (f"{folder.name}: there is no index; took all {len(wanted)} shards",)
    return Directory(folder, tuple(folder / name for name in wanted), {}, config_of(folder), notes)
