"""Networks in the directories of Hugging Face's libraries: the one place that imports `transformers` and `tokenizers`."""

from laconic.hf.modules import module_of
from laconic.hf.text import Text, text_of

__all__ = ["Text", "module_of", "text_of"]
