"""Networks in the directories of Hugging Face's libraries: the one place that imports these."""

from laconic.hf.modules import module_of

__all__ = ["module_of"]
