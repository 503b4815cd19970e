"""Models of compressed folders, by what every release of transformers has: a configuration, and weights by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from laconic.errors import DataError, listed
from laconic.format import container
from laconic.format.container import LacFile
from laconic.hf.lazy import decoding, placeholders, sources
from laconic.models.companions import METHOD, require_packed
from laconic.models.directories import CONFIG, config_of
from laconic.models.params import all_of

_DTYPE = "dtype" if hasattr(transformers.PretrainedConfig(), "dtype") else "torch_dtype"
"""What the library calls the type of weights; its older releases load all as float32 unless told."""


def from_pretrained(
    path: str | Path, kind: Any = None, *, lazy: bool = False, limit: int | None = None, **options: Any
) -> Any:
    """Return the model of a folder that `laconic compress` has made, with the very weights that its file stands for.

    Args:
        path: the folder.
        kind: a class of transformers, as AutoModelForCausalLM; the one that `config.json` names unless given.
        lazy: each layer is decoded when it is first used: the first outputs come sooner where few layers are used, and
            what is not used takes no memory. Weights that are not decoded yet are on torch's meta device;
            `state_dict`, and so `save_pretrained`, decodes all.
        limit: bytes that the tensors may take decoded, see `laconic.open`.
        options: for the library's own `from_pretrained`, as ``attn_implementation``; never ``trust_remote_code``.

    Raises:
        DataError: for a folder that is none, or of which the configuration contradicts the weights, or names code of
            its own or another quantization; and where `lazy` cannot be.
        FormatError: when the file is not sound.
    """
    folder = Path(path)
    require_packed(folder)
    if options.pop("trust_remote_code", False):
        raise DataError("trust_remote_code: laconic runs no code that comes with a model")
    config = plain(_config(folder))
    chosen = _concrete(kind or _named(config), config)
    options = {_DTYPE: "auto", **options}
    if lazy and int(transformers.__version__.partition(".")[0]) < 5:
        raise DataError(f"lazy needs transformers 5, not {transformers.__version__}, which copies what it is given")
    if lazy:
        model = _lazily(folder, chosen, config, container.open(folder, limit), options)
    else:
        with container.open(folder, limit) as file:
            model, missing = filled(chosen, config, all_of(file), options, folder)
        if missing and kind is None:
            raise DataError(f"{folder} lacks {listed(sorted(missing))}, which {chosen.__name__} needs: name its class")
    if model.can_generate() and (folder / "generation_config.json").is_file():
        model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    return model.eval()


def plain(config: Any) -> Any:
    """Return a configuration without word of the compression.

    Raises:
        DataError: where the weights in the file are quantized ones of another method.
    """
    method = getattr(config, "quantization_config", None) or {}
    told = method if isinstance(method, Mapping) else vars(method)
    if of := told.get("of"):
        name = of.get("quant_method") if isinstance(of, Mapping) else "another method"
        raise DataError(
            f"the weights were quantized by {name} before they were compressed: laconic decompress gives that folder "
            "back, which the library loads"
        )
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    return config


def filled(
    kind: Any, config: Any, tensors: Mapping[str, Tensor], options: Mapping[str, Any], label: Path
) -> tuple[Any, set[str]]:
    """Return a model with these weights, which the library renames and merges as those of any checkpoint.

    Args:
        kind: its class.
        config: its configuration.
        tensors: by the names of the checkpoint.
        options: for the library.
        label: what to call them in messages.

    Returns:
        the model, and the names that no tensor was for.

    Raises:
        DataError: when shapes are not those of the configuration.
    """
    try:
        model, told = kind.from_pretrained(
            None, config=config, state_dict=dict(tensors), output_loading_info=True, **options
        )
    except RuntimeError as error:
        raise DataError(f"{label}: {CONFIG} does not fit the weights: {error}") from error
    return model, set(told["missing_keys"])


def _config(folder: Path) -> Any:
    """Return the configuration of a model."""
    told = config_of(folder)
    method = told.get("quantization_config")
    if not isinstance(method, dict) or method.get("quant_method") != METHOD:
        raise DataError(f"{folder / CONFIG} does not say that laconic reads the weights; compress the model anew")
    try:
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except ValueError as error:
        code = "it names code of its own, which laconic does not run" if "auto_map" in told else str(error)
        raise DataError(
            f"{folder / CONFIG}: transformers {transformers.__version__} does not know it: {code}"
        ) from error


def _named(config: Any) -> Any:
    """Return the class that a configuration names, or the one that finds it by its type."""
    names = getattr(config, "architectures", None)
    found = getattr(transformers, str(names[0]), None) if isinstance(names, list) and names else None
    is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    return found if is_model else transformers.AutoModel


def _concrete(kind: Any, config: Any) -> Any:
    """Return the class that one of the library's automatic ones stands for, which needs a folder by itself.

    Raises:
        DataError: when it stands for none of this configuration.
    """
    mapping = getattr(kind, "_model_mapping", None)
    if mapping is None:
        return kind
    if type(config) not in mapping:
        raise DataError(f"{kind.__name__} has no class for models of type {config.model_type}")
    found = mapping[type(config)]
    named = getattr(config, "architectures", None) or []
    several = found if isinstance(found, tuple) else (found,)
    return next((one for one in several if one.__name__ in named), several[0])


def _lazily(folder: Path, kind: Any, config: Any, file: LacFile, options: Mapping[str, Any]) -> Any:
    """Return a model whose layers decode their weights when they are first used."""
    stand_ins = placeholders(file)
    with torch.no_grad():
        model, missing = filled(kind, config, stand_ins, options, folder)
    found, others = sources(model, stand_ins)
    if unknown := sorted(set(others) - missing):
        raise DataError(
            f"{folder}: {listed(unknown)} are made of several tensors of the file, or of another type; load it without "
            "lazy"
        )
    return decoding(model, found, file)
