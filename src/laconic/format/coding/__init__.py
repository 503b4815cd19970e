"""Symbols and numbers to bytes and back, exactly and fast; every malformed input is a `FormatError`."""

from laconic.format.coding.dtypes import FLOATS, dtype_of, itemsize
from laconic.format.coding.frequencies import entropy_bits
from laconic.format.coding.symbols import decode_symbols, encode_symbols, symbol_dtype
from laconic.format.coding.values import decode_values, encode_values
from laconic.format.coding.varints import Cursor, varint

__all__ = [
    "FLOATS",
    "Cursor",
    "decode_symbols",
    "decode_values",
    "dtype_of",
    "encode_symbols",
    "encode_values",
    "entropy_bits",
    "itemsize",
    "symbol_dtype",
    "varint",
]
