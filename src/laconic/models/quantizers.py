"""What quantizers say in files of their own beside `config.json`, as a `quantization_config` says it.

Sources: AutoGPTQ and GPTQModel (`quantize_config.json`), AutoAWQ (`quant_config.json`), ModelOpt
(`hf_quant_config.json`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from laconic.errors import DataError
from laconic.models.directories import object_of


def _gptq(told: Mapping[str, Any]) -> dict[str, Any]:
    """AutoGPTQ's file names no method before other tools wrote it too."""
    return {"quant_method": "gptq", **told}


def _awq(told: Mapping[str, Any]) -> dict[str, Any]:
    """AutoAWQ has names of its own for bits and groups."""
    names = {"w_bit": "bits", "q_group_size": "group_size"}
    return {"quant_method": "awq", **{names.get(key, key): value for key, value in told.items()}}


def _modelopt(told: Mapping[str, Any]) -> dict[str, Any]:
    """ModelOpt has it within, and an algorithm where others have a method."""
    inner = told.get("quantization")
    return {"quant_method": "modelopt", **(inner if isinstance(inner, dict) else {})}


FILES: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = MappingProxyType(
    {"quantize_config.json": _gptq, "quant_config.json": _awq, "hf_quant_config.json": _modelopt}
)
"""Name of a file → what its object says, as a `quantization_config`."""


def completed(folder: Path, config: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a `quantization_config` with what a file beside it adds, and a note on a file that is not heeded.

    Args:
        folder: of the model.
        config: of its `config.json`; empty where that says nothing. It is right where both say something.
    """
    for name, said in FILES.items():
        path = folder / name
        if not path.is_file():
            continue
        try:
            told = object_of(path)
        except DataError as error:
            return dict(config), (f"not heeded: {error}",)
        beside = said(told) if told else {}
        if not config or config.get("quant_method") == beside.get("quant_method"):
            return {**beside, **config}, ()
    return dict(config), ()
