"""Compressed models in transformers: the one place that imports it.

Importing this registers who reads a folder of `laconic compress MODEL -o SMALL`, so that the library's own
``AutoModel.from_pretrained("SMALL")`` works; `from_pretrained` here does the same by what every release of it has.
`module_of` builds the network of a folder, `text_of` reads what it is calibrated on. Nothing that comes with a model is
run.
"""

from laconic.errors import MissingPackage

try:
    from laconic.hf.loading import from_pretrained
    from laconic.hf.modules import module_of
    from laconic.hf.quantizer import LaconicConfig, LaconicQuantizer
    from laconic.hf.text import text_of
except ModuleNotFoundError as error:
    if error.name not in ("transformers", "tokenizers", "torch", "jaxtyping"):
        raise
    raise MissingPackage(f"laconic.hf needs {error.name}: pip install 'laconic[hf]'") from error

__all__ = ["LaconicConfig", "LaconicQuantizer", "from_pretrained", "module_of", "text_of"]
