"""Checkpoints that somebody has quantized already: which tensors are integers, in which words, and of which weights.

Layouts are told by names, types and shapes; a configuration, where there is one, settles what these leave open.

Sources: AutoGPTQ and GPTQModel (`qweight`, `qzeros`, `scales`, `g_idx`; zeros are stored less 1 unless
`checkpoint_format` is `gptq_v2`), AutoAWQ's GEMM version, compressed-tensors `pack-quantized` (dense in later releases,
whole integers in each word before) and `int-quantized`.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from laconic.format.codes.words import Words
from laconic.models.params import Params, dtype_name, is_float

METHODS = {"gptq": "GPTQ", "awq": "AWQ", "compressed-tensors": "compressed-tensors"}
"""Values of `quant_method` whose layouts are known, by the names that they have here."""

QUANTIZATION = "quantization_config"
"""What the text beside the tensors, or `config.json`, calls the configuration of a quantization."""

_AROUND = ("config", "config.json")
"""What may have it within."""

_PAIR = "integers with scales"
_OF_BYTES, _BYTES = ("weight", "weight_q", "weight_packed"), ("int8", "uint8", "float8")
_PLAIN_SCALES = ("float16", "bfloat16", "float32")
_PARTNERS = ("weight_scale", "weight_zero_point")
_OFFSET_BITS = (4, 8, 2, 3, 5, 6, 7, 1)  # the usual ones first, where a shape allows several


@final
@dataclass(frozen=True)
class Layer:
    """A weight that is stored as integers and what they are multiplied by.

    Args:
        layout: whose it is, a value of `METHODS`, or "integers with scales".
        weight: name that the weight itself would have.
        bits: of an integer.
        parts: names of its tensors by what they are: integers, scales, zeros, order, shape.
        words: of the parts that are packed, the layouts that they may have.
        zero_offset: what is added to zeros as they are stored.
    """

    layout: str
    weight: str
    bits: int
    parts: Mapping[str, str]
    words: Mapping[str, tuple[Words, ...]]
    zero_offset: int = 0


@final
@dataclass(frozen=True)
class Quantized:
    """What is quantized in a checkpoint.

    Args:
        layers: one for each weight.
        notes: what a configuration says that the tensors do not, or that is not known here, a sentence each.
        unknown: the method that a configuration names, where it is not known here, or its layout is not: what weights
            are is not known, too.
        alike: what looks like layers, but is of the unknown method: how words are packed is all that is taken of it.
    """

    layers: tuple[Layer, ...]
    notes: tuple[str, ...] = ()
    unknown: str | None = None
    alike: tuple[Layer, ...] = ()

    @property
    def words(self) -> dict[str, tuple[Words, ...]]:
        """The layouts that packed tensors may have, by name."""
        layers = (*self.layers, *self.alike)
        return {layer.parts[part]: words for layer in layers for part, words in layer.words.items()}

    def __str__(self) -> str:
        kinds = sorted({f"{layer.layout}, {layer.bits} bits" for layer in self.layers})
        return f"{len(self.layers)} weights as {'; '.join(kinds)}"


def quantized(params: Params, metadata: Mapping[str, str]) -> Quantized:
    """Return what is quantized in a checkpoint; no layers where nothing is recognised.

    Args:
        params: by name; each is looked at once.
        metadata: text beside them; `quantization_config`, or `config` or `config.json` with one in it, in JSON, is the
            configuration.
    """
    config = configuration(metadata)
    shapes = {name: _Seen.of(tensor) for name, tensor in params.items()}
    layers = tuple(_layers(params, shapes, config))
    method, notes = config.get("quant_method"), list[str]()
    known = METHODS.get(method, "") if isinstance(method, str) else ""
    strange = [] if layers else _unexplained(shapes)
    if strange and (method is None or known):
        others = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        notes.append(
            f"{strange[0]}{others}: bytes with scales in a layout that is not known here: all tensors are kept as they "
            "are, without loss"
        )
        return Quantized((), tuple(notes), str(method or "bytes with scales"))
    if method is not None and not known:
        notes.append(f"quant_method {method!r} is not known here: its tensors are kept as they are, without loss")
    elif known and known not in {layer.layout for layer in layers}:
        notes.append(f"quant_method is {method!r}, but no tensors have its layout: they are taken as weights")
    if method is None or known:
        return Quantized(layers, tuple(notes))
    return Quantized((), tuple(notes), str(method), layers)


def configuration(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the quantization's configuration; an empty one where there is none, or none that can be read.

    >>> configuration({"quantization_config": '{"quant_method": "awq"}'})
    {'quant_method': 'awq'}
    """
    for key in (QUANTIZATION, *_AROUND):
        found = _parsed(metadata.get(key, ""))
        inner = found if key == QUANTIZATION else isinstance(found, dict) and found.get(QUANTIZATION)
        if isinstance(inner, dict):
            return inner
    return {}


def without_configuration(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the text beside tensors that are quantized no more.

    >>> without_configuration({"quantization_config": '{"quant_method": "awq"}', "format": "pt"})
    {'format': 'pt'}
    """
    left = {key: value for key, value in metadata.items() if key != QUANTIZATION}
    for key in _AROUND:
        found = _parsed(left.get(key, ""))
        if isinstance(found, dict) and QUANTIZATION in found:
            left[key] = json.dumps({name: value for name, value in found.items() if name != QUANTIZATION})
    return left


def _parsed(text: str) -> object:
    """Return what a text of JSON says; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@final
@dataclass(frozen=True)
class _Seen:
    """What is known of a tensor without its numbers."""

    dtype: str
    shape: tuple[int, ...]
    is_float: bool

    @classmethod
    def of(cls, tensor: Tensor) -> "_Seen":
        return cls(dtype_name(tensor), tuple(tensor.shape), is_float(tensor))


def _layers(params: Params, seen: Mapping[str, _Seen], config: Mapping[str, Any]) -> Iterator[Layer]:
    """Give the layers in the order of their integers."""
    beside = defaultdict[str, set[str]](set)  # prefix → the last parts of the names that have it
    for name in seen:
        prefix, _, last = name.rpartition(".")
        beside[prefix].add(last)
    for name, tensor in seen.items():
        prefix, _, last = name.rpartition(".")
        dot = f"{prefix}." if prefix else ""
        found = None
        if last == "qweight" and tensor.dtype == "int32" and len(tensor.shape) == 2:
            found = _gptq_or_awq(dot, seen, config)
        elif last == "weight_packed" and tensor.dtype == "int32" and len(tensor.shape) == 2:
            found = _compressed(dot, params, seen, _told_bits(config))
        elif last in ("weight_q", "weight") and tensor.dtype in ("int8", "uint8"):
            others = {one for one in beside[prefix] if one.startswith("weight_")} - {last, *_PARTNERS}
            found = None if others else _pair(dot, name, seen)
        if found is not None:
            yield found


def _unexplained(seen: Mapping[str, _Seen]) -> list[str]:
    """Return the names of weights of a byte an element that have scales beside them: they are not what they stand for.

    Such are 4-bit floats, two in a byte (NVFP4, MXFP4), and 8-bit floats with scales.
    """
    parts = {name: name.rpartition(".") for name in seen}
    scaled = {prefix for prefix, _, last in parts.values() if last.startswith("weight_scale")}
    return [
        name
        for name, (prefix, _, last) in parts.items()
        if prefix in scaled and last in _OF_BYTES and seen[name].dtype.startswith(_BYTES)
    ]


def _gptq_or_awq(dot: str, seen: Mapping[str, _Seen], config: Mapping[str, Any]) -> Layer | None:
    """Return a layer of `qweight`, (in · bits / 32, out) of GPTQ or (in, out · bits / 32) of AWQ."""
    names = {"integers": f"{dot}qweight", "zeros": f"{dot}qzeros", "scales": f"{dot}scales"}
    if not seen.keys() >= {*names.values()}:
        return None
    words, zeros, scales = (seen[name] for name in names.values())
    if zeros.dtype != "int32" or not scales.is_float or len(zeros.shape) != 2 or len(scales.shape) != 2:
        return None
    groups, outputs = scales.shape
    bits = 32 * zeros.shape[1] // outputs if outputs else 0
    whole = zeros.shape[0] == groups and 32 * zeros.shape[1] == bits * outputs
    if not whole or bits not in (2, 3, 4, 8) or not words.shape[0]:
        return None
    span, order = (3 if bits == 3 else 1), f"{dot}g_idx"
    if words.shape[1] == outputs:
        names |= {"order": order} if order in seen else {}
        packed = {"integers": (Words(bits, span, 0),), "zeros": (Words(bits, span, 1),)}
        less = 0 if config.get("checkpoint_format") == "gptq_v2" else 1
        return Layer("GPTQ", f"{dot}weight", bits, names, packed, less)
    if bits == 4 and words.shape[1] == zeros.shape[1]:
        packed = {"integers": (Words(4, 1, 1, 1, turned=True),), "zeros": (Words(4, 1, 1, 1),)}
        return Layer("AWQ", f"{dot}weight", 4, names, packed)
    return None


def _told_bits(config: Mapping[str, Any]) -> set[int]:
    """Return the bits of weights that a configuration of compressed-tensors names; none where it does not say."""
    groups = config.get("config_groups")
    each = (
        [group.get("weights") for group in groups.values() if isinstance(group, dict)]
        if isinstance(groups, dict)
        else []
    )
    return {bits for one in each if isinstance(one, dict) and isinstance(bits := one.get("num_bits"), int)}


def _compressed(dot: str, params: Params, seen: Mapping[str, _Seen], asked: set[int]) -> Layer | None:
    """Return a layer of `weight_packed`, (out, about in · bits / 32), of the bits that are asked for, if any are."""
    names = {"integers": f"{dot}weight_packed", "scales": f"{dot}weight_scale", "shape": f"{dot}weight_shape"}
    if not seen.keys() >= {*names.values()} or not seen[names["scales"]].is_float:
        return None
    rows, width = seen[names["integers"]].shape
    told = params[names["shape"]].tolist()
    if not (isinstance(told, list) and len(told) == 2 and told[0] == rows):
        return None
    known = [b for b in _OFFSET_BITS if b in asked or not asked]
    fits = [b for b in known if width in (-(-told[1] * b // 32), -(-told[1] // (32 // b)))]
    if not fits:
        return None
    bits = fits[0]
    spans = (1,) if 32 % bits == 0 else (bits, 1) if width == -(-told[1] * bits // 32) else (1,)
    packed = {"integers": tuple(Words(bits, span, 1) for span in spans)}
    zeros, order = f"{dot}weight_zero_point", f"{dot}weight_g_idx"
    names |= {part: name for part, name in {"zeros": zeros, "order": order}.items() if name in seen}
    if zeros in seen and seen[zeros].dtype == "int32":
        packed["zeros"] = tuple(Words(bits, span, 0) for span in spans)
    return Layer("compressed-tensors", f"{dot}weight", bits, names, packed)


def _pair(dot: str, name: str, seen: Mapping[str, _Seen]) -> Layer | None:
    """Return a layer of bytes with a scale, one of each row, or one of each group of a row.

    Bytes without a sign need zeros: without, they are several integers each, or floats, of a layout of their own.
    """
    scales, zeros = f"{dot}weight_scale", f"{dot}weight_zero_point"
    shape = seen[name].shape
    if scales not in seen or seen[scales].dtype not in _PLAIN_SCALES or not shape:
        return None
    per = seen[scales].shape
    if seen[name].dtype == "uint8" and zeros not in seen:
        return None
    if zeros in seen and (seen[zeros].is_float or (seen[zeros].shape != per and math.prod(seen[zeros].shape) != 1)):
        return None
    one, by_rows = all(n == 1 for n in per), per[:1] == shape[:1] and all(n == 1 for n in per[1:])
    grouped = len(shape) > 1 and per[:-1] == shape[:-1] and 0 < per[-1] and shape[-1] % per[-1] == 0
    if not (one or by_rows or grouped):
        return None
    names = {"integers": name, "scales": scales, **({"zeros": zeros} if zeros in seen else {})}
    return Layer(_PAIR, f"{dot}weight", 8, names, {})
