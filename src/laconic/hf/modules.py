"""A directory with a `config.json` as a module: built by `transformers`, never by code that lies in the directory."""

import json
from pathlib import Path
from typing import Any

import transformers
from torch import nn

from laconic.errors import DataError, listed


def module_of(directory: Path) -> nn.Module:
    """Return the network that a directory's `config.json` describes, in evaluation mode, with weights at random.

    It is the class that the configuration names as its architecture, or the plain model of its type where it names
    none; both as the installed `transformers` has them. Nothing is fetched.

    Args:
        directory: with a `config.json`.

    Raises:
        DataError: when there is no configuration, or none that `transformers` has a class for.
    """
    path = directory / "config.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{directory} has no config.json, which says what network it is") from error
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}") from error
    try:
        config = transformers.AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # theirs are of many types
        raise DataError(
            f"{path} is of no network that transformers {transformers.__version__} knows: {error}"
        ) from error
    config.use_cache = False
    names = told.get("architectures") or []
    kinds = [getattr(transformers, name, None) for name in names]
    known = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)]
    if names and not known:
        raise DataError(
            f"{path} names {listed(names)}, which transformers {transformers.__version__} does not have; code that "
            "comes with a directory is not run: give the network by --task, as a factory of your own"
        )
    try:
        module: Any = known[0](config) if known else transformers.AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:
        raise DataError(f"{path}: transformers cannot build this network: {error}") from error
    network: nn.Module = module.eval()
    return network
