"""What transformers calls when it meets a folder of ours: `import laconic.hf` registers it.

The file of weights has one tensor of bytes, and a name that the library does not look for: who has not imported this
gets an error, and no network of random weights.
"""

import copy
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.quantizers import HfQuantizer, register_quantization_config, register_quantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from laconic.api import load
from laconic.errors import DataError, MissingPackage
from laconic.format.enclosed import FILE, TENSOR
from laconic.hf.loading import filled, plain
from laconic.models.companions import METHOD

try:
    from transformers.core_model_loading import ConversionOps, WeightConverter
except ModuleNotFoundError:  # before 5
    ConversionOps, WeightConverter = object, None


@register_quantization_config(METHOD)
class LaconicConfig(QuantizationConfigMixin):
    """What `config.json` says of how the weights are stored.

    Args:
        format_version: of the folder.
        dtype: of most weights, which the model has where its configuration names none.
        dequantize: the model has plain weights once it is loaded.
        others: what else it says.
    """

    def __init__(self, format_version: int = 1, dtype: str = "float32", dequantize: bool = True, **others: Any) -> None:
        if format_version != 1:
            raise DataError(f"the folder is of version {format_version}; this laconic reads 1: take a newer one")
        self.quant_method = METHOD
        self.format_version, self.dtype, self.dequantize = format_version, dtype, dequantize
        self.of = others.get("of")


class Decode(ConversionOps):  # of whatever release there is
    """The file of bytes becomes the parameters of the model.

    The library, asked for the same model with these tensors as a checkpoint, says which parameter each is.
    """

    supports_many_to_many = True

    def __init__(self, quantizer: "LaconicQuantizer") -> None:
        self.hf_quantizer = quantizer  # marks what is read as bytes: no cast

    def convert(self, input_dict: Any, model: Any = None, **others: Any) -> dict[str, Any]:
        """Return the parameters and buffers of the model by name, without those that the file does not have."""
        assert self.hf_quantizer.path is not None, "the library names the files before it reads them"
        config, path = plain(copy.deepcopy(model.config)), self.hf_quantizer.path
        inner, missing = filled(type(model), config, load(path), {"dtype": model.dtype}, path)
        self.hf_quantizer.conversions = getattr(inner, "_weight_conversions", None)
        return {name: tensor for name, tensor in inner.state_dict(keep_vars=True).items() if name not in missing}


@register_quantizer(METHOD)
class LaconicQuantizer(HfQuantizer):
    """Reads a folder of ours into a model of plain weights."""

    requires_calibration = True  # there is no other use than to read what is compressed
    path: Path | None = None
    conversions: Any = None

    def validate_environment(self, *args: Any, device_map: Any = None, **others: Any) -> None:
        """Check that the library is new enough, and nothing is asked that is not done."""
        if WeightConverter is None:
            raise MissingPackage(
                f"AutoModel.from_pretrained needs transformers 5 for this folder, not {transformers.__version__}; "
                "laconic.hf.from_pretrained does with it"
            )
        places = {str(place) for place in getattr(device_map, "values", lambda: [device_map or "cpu"])()}
        if places != {"cpu"}:
            raise DataError(f"device_map {device_map!r}: load the model on the CPU, then move it: model.to(...)")

    def update_attn_implementation(self, config: Any) -> Any:
        """Tell the library the name of the file, as soon as it has a configuration."""
        config.transformers_weights = FILE
        return config

    def update_dtype(self, dtype: Any) -> Any:
        """Return the type that was asked for, or that of the weights where the library has taken that of the bytes."""
        return dtype if dtype.is_floating_point else getattr(torch, self.quantization_config.dtype)

    def _process_model_before_weight_loading(self, model: Any, checkpoint_files: Any = None, **others: Any) -> Any:
        self.path = Path(checkpoint_files[0]) if checkpoint_files else None
        return model

    def _process_model_after_weight_loading(self, model: Any, **others: Any) -> Any:
        if hasattr(model.config, "transformers_weights"):
            del model.config.transformers_weights  # a model that is saved has its own
        model._weight_conversions = self.conversions
        return model

    def update_weight_conversions(self, weight_conversions: Any, model: Any) -> Any:
        """Return the one conversion that there is: of the bytes to everything."""
        return [WeightConverter([TENSOR], list(model.state_dict()), [Decode(self)])]

    def is_serializable(self, *args: Any, **others: Any) -> bool:
        """Say that a model is not saved as this."""
        return False

    @property
    def is_trainable(self) -> bool:
        """Whether it can be trained: its weights are plain ones."""
        return True
