"""What goes along with the weights of a model's folder: configuration, tokenizer, licence; never code, unless asked.

A folder that is packed has the weights in one file of bytes, and in its configuration who reads them: the same
configuration as it was before lies within, and comes back.
"""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from laconic import interrupts
from laconic.errors import DataError
from laconic.format.enclosed import FILE
from laconic.models.directories import CONFIG, config_of, weight_files
from laconic.models.quantizers import FILES

METHOD = "laconic"
"""What a packed folder's configuration calls the quantization."""

CARD, BASE_CARD = "README.md", "README.base.md"
"""The page on a model, and in a packed folder the one on the model that it was made of."""

INDEX = "model.safetensors.index.json"

_TEXTS = (".json", ".jsonl", ".txt", ".md", ".jinja", ".model", ".tiktoken", ".vocab", ".bpe", ".yaml", ".yml")
_LICENCES = re.compile(r"(licen[cs]e|notice|copying|use_policy)", re.IGNORECASE)
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|" + re.escape(INDEX) + "|" + re.escape(FILE))
_CODE = ".py"

_OF, _CONFIG_KEY, _VERSION = "of", "quantization_config", "format_version"


def companions(folder: Path, *, code: bool = False) -> tuple[list[str], list[str]]:
    """Return the names of the files that go along, by their place in the folder, and of those that stay behind.

    The weights and their indexes, which the packed ones are instead of, are neither.

    Args:
        folder: of a model.
        code: whether its Python files go along.
    """
    weights = {Path(path.name) for path in weight_files(folder)}
    names = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    seen = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    others = [name for name in seen if name not in weights and not name.name.endswith(".index.json")]
    goes = {name: _goes(name) or (code and name.suffix == _CODE) for name in others}
    along, behind = ([name.as_posix() for name in others if goes[name] is wanted] for wanted in (True, False))
    return along, behind


def copy(source: Path, names: Iterable[str], target: Path) -> None:
    """Copy files of one folder to another, which may be new ones below it."""
    for name in names:
        interrupts.check()
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def lost(names: list[str]) -> list[str]:
    """Return which files of a folder nobody has written who writes models: all, where none holds weights."""
    if not any(_WEIGHTS.fullmatch(name) for name in names):
        return names
    return [name for name in names if not (_WEIGHTS.fullmatch(name) or _goes(Path(name)) or Path(name).suffix == _CODE)]


def packed_config(config: Mapping[str, Any], version: str, dtype: str, *, requantized: bool = False) -> str:
    """Return the text of a configuration that says who reads the weights; how it was lies within.

    Args:
        config: of the model.
        version: of laconic.
        dtype: of most weights, which the libraries do not find in a file of bytes.
        requantized: whether the weights are those that quantized ones stood for: how these were is gone.
    """
    before = {_OF: config[_CONFIG_KEY]} if _CONFIG_KEY in config and not requantized else {}
    method = {"quant_method": METHOD, _VERSION: 1, "laconic_version": version, "dtype": dtype, **before}
    return _text({**config, _CONFIG_KEY: method})


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as it was before it was packed."""
    method = config.get(_CONFIG_KEY)
    if not isinstance(method, Mapping) or method.get("quant_method") != METHOD:
        return dict(config)
    rest = {key: value for key, value in config.items() if key != _CONFIG_KEY}
    return {**rest, _CONFIG_KEY: method[_OF]} if _OF in method else rest


def pack(
    source: Path, target: Path, card: str, version: str, dtype: str, *, code: bool = False, requantized: bool = False
) -> None:
    """Put all but the weights of a model into a folder that is packed.

    Args:
        source: the folder of the model.
        target: the folder, which has the weights.
        card: the page on it.
        version: of laconic.
        dtype: of most weights.
        code: whether Python files go along.
        requantized: whether the weights are those that quantized ones stood for: files of how these were stay behind.
    """
    names, _ = companions(source, code=code)
    gone = (CARD, CONFIG, *(FILES if requantized else ()))
    copy(source, (name for name in names if name not in gone), target)
    if CARD in names:
        shutil.copyfile(source / CARD, target / BASE_CARD)
    if CONFIG in names:
        text = packed_config(config_of(source), version, dtype, requantized=requantized)
        (target / CONFIG).write_text(text, encoding="utf-8")
    (target / CARD).write_text(card, encoding="utf-8")


def unpack(source: Path, target: Path) -> None:
    """Put all but the weights of a packed folder into a plain one, as they were.

    Args:
        source: the packed folder.
        target: the plain one.
    """
    names, _ = companions(source, code=True)
    copy(source, (name for name in names if name not in (CARD, BASE_CARD, CONFIG)), target)
    if BASE_CARD in names:
        shutil.copyfile(source / BASE_CARD, target / CARD)
    if CONFIG in names:
        (target / CONFIG).write_text(_text(plain_config(config_of(source))), encoding="utf-8")


def require_packed(folder: Path) -> None:
    """Check that a folder is packed.

    Raises:
        DataError: when it is not.
    """
    if not (folder / FILE).is_file():
        raise DataError(f"{folder} has no {FILE}: laconic compress DIR -o SMALL makes such a folder")


def _goes(name: Path) -> bool:
    """Say whether a file goes along by itself: text that no one runs."""
    return name.suffix.lower() in _TEXTS or (not name.suffix and bool(_LICENCES.match(name.name)))


def _text(config: Mapping[str, Any]) -> str:
    """Return a configuration as the libraries write it."""
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"
