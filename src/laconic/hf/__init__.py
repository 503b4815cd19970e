"""Compressed models in transformers: the one place that imports it.

Importing this registers who reads a folder of `laconic compress MODEL -o SMALL`, so that the library's own
``AutoModel.from_pretrained("SMALL")`` works; `from_pretrained` here does the same by what every release of it has.
Nothing that comes with a model is run.
"""

from laconic.errors import MissingPackage

try:
    from laconic.hf.loading import from_pretrained
    from laconic.hf.quantizer import LaconicConfig, LaconicQuantizer
except ModuleNotFoundError as error:
    if error.name not in ("transformers", "torch", "jaxtyping"):
        raise
    raise MissingPackage(f"laconic.hf needs {error.name}: pip install 'laconic[hf]'") from error

__all__ = ["LaconicConfig", "LaconicQuantizer", "from_pretrained"]
