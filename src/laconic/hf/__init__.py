"""Compressed models in transformers: the one place that imports it.

Importing this registers who reads a folder of `laconic compress MODEL -o SMALL`, so that the library's own
``AutoModel.from_pretrained("SMALL")`` works; `from_pretrained` here does the same by what every release of it has.
Nothing that comes with a model is run.
"""

from laconic.errors import MissingPackage

try:
    import transformers as _transformers
except ModuleNotFoundError as error:
    if error.name != "transformers":
        raise
    raise MissingPackage("laconic.hf needs transformers: pip install 'laconic[hf]'") from error

from laconic.hf.loading import from_pretrained
from laconic.hf.quantizer import LaconicConfig, LaconicQuantizer

__all__ = ["LaconicConfig", "LaconicQuantizer", "from_pretrained"]
